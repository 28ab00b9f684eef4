"""The settings of a run: options over ini keys over kubecluster.toml over defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

import pytest

from pytest_kubecluster.ansible.node_python import PythonTarball, python_tarball
from pytest_kubecluster.cluster.config import Settings
from pytest_kubecluster.cluster.sources import (
    PROVIDERS,
    Bundled,
    Download,
    Existing,
    FromInventory,
    FromKubeconfig,
    FromVagrantfile,
    Hollow,
    MachineSource,
)
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.kubelet.binary import KubeletBinary, inspect_kubelet, path_for_version
from pytest_kubecluster.kubelet.control_plane import ControlPlaneBinaries, inspect_control_plane
from pytest_kubecluster.machines.box_source import box_source
from pytest_kubecluster.plugin import options
from pytest_kubecluster.plugin.ini import ini_text
from pytest_kubecluster.plugin.options import OPTIONS, Option
from pytest_kubecluster.spec.defaults import LayoutName
from pytest_kubecluster.spec.specfile import SpecFile, SpecFileError, find_spec_file
from pytest_kubecluster.spec.version import KubeVersion
from pytest_kubecluster.util.ansible_cli import folder_of_ansible
from pytest_kubecluster.util.paths import readable_file

T = TypeVar("T")

_BUNDLED_ONLY = (
    options.PROVIDER,
    options.BOX,
    options.MASTERS,
    options.WORKERS,
    options.NETWORK,
    options.CONTROL_PLANE,
    options.REUSE,
)
"""Options that select which machines to boot."""
_TOPOLOGY_KEYS = {"hyperkube": "version"}
"""The keys of a spec file whose names differ from the option's."""


@dataclass(frozen=True)
class Given(Generic[T]):
    """The value of an option and where it was given."""

    value: T
    origin: str = ""
    folder: Path = Path()
    """What relative paths start from."""
    on_command_line: bool = False
    default: bool = False


class Values:
    """The values of all options."""

    def __init__(self, given: Mapping[str, Given[Any]]) -> None:
        """Hold ``given`` by the option's name."""
        self._given = given

    def __getitem__(self, option: Option[T]) -> T:
        """Return the value of an option."""
        value: T = self._given[option.name].value
        return value

    def given(self, option: Option[T]) -> Given[T]:
        """Return the value with its origin."""
        return self._given[option.name]

    def refuse(self, option: Option[Any], error: object) -> NoReturn:
        """Raise pytest.UsageError that names where the option was given."""
        raise pytest.UsageError(f"{self._given[option.name].origin}: {error}") from None


def read_settings(
    config: pytest.Config,
    version: KubeVersion | None = None,
    layout: LayoutName | None = None,
) -> Settings:
    """Read and check the options; ``version`` and ``layout`` replace those that they name.

    Raises pytest.UsageError that names the option and what it accepts.
    """
    spec_file = _spec_file(config)
    values = read_options(config, spec_file)
    version = version or values[options.HYPERKUBE]
    machines = _machines(values)
    reuses = not values.given(options.REUSE).default and not machines.existing
    playbook = values[options.PLAYBOOK]
    own_files = [path for path in (playbook, _inventory(machines)) if path]
    settings = Settings(
        version=version,
        bundled_layout=values[options.LAYOUT] if layout is None else layout,
        masters=values[options.MASTERS],
        workers=values[options.WORKERS],
        machines=machines,
        kubelet=_kubelet(values, version),
        control_plane=None if machines.existing else _control_plane(values, version),
        network=values[options.NETWORK],
        tolerate=values[options.TOLERATE],
        timeout=values[options.TIMEOUT] or machines.timeout,
        report=values[options.REPORT],
        keep=values[options.KEEP] or ("always" if reuses else "never"),
        reuse=values[options.REUSE] if reuses else None,
        python=_python(values),
        playbook=playbook,
        provision=values[options.PROVISION],
        roles=values[options.ROLES],
        forks=values[options.FORKS],
        sudo_password=values[options.SUDO_PASSWORD],
        disturb=values[options.DISTURB],
        kubeconfig=values[options.KUBECONFIG],
        version_stated=not values.given(options.HYPERKUBE).default
        or spec_file.topology.version is not None,
        spec_file=spec_file,
        ansible_folder=folder_of_ansible(config.rootpath, *own_files) if own_files else None,
    )
    _check_provisioning(settings)
    asked_for = layout is not None or values.given(options.LAYOUT).on_command_line
    if settings.layout == "found" and asked_for:
        theirs = options.PLAYBOOK.flag if playbook else f"machines without {options.PROVISION.flag}"
        raise pytest.UsageError(
            f"{options.LAYOUT.flag} cannot be combined with {theirs}: it is what the bundled "
            "playbook makes"
        )
    return settings


def read_options(config: pytest.Config, spec_file: SpecFile) -> Values:
    """Read every option by its own parser. Raises pytest.UsageError."""
    return Values({option.name: _read(config, option, spec_file) for option in OPTIONS})


def _read(config: pytest.Config, option: Option[T], spec_file: SpecFile) -> Given[T]:
    here = config.invocation_params.dir
    origin, folder = f"ini key {option.ini}", config.inipath.parent if config.inipath else here
    try:
        text = config.getoption(option.flag)
        on_command_line = text is not None
        if on_command_line:
            origin, folder = option.flag, here
        else:
            text = ini_text(config, option)
        default = text is None
        if default:
            origin = f"{spec_file.path.name if spec_file.path else ''}: {option.name}"
            stated = getattr(spec_file.topology, _TOPOLOGY_KEYS.get(option.name, option.name), None)
            text = option.default if stated is None else str(stated)
        value = option.parse(text, folder)
    except (ValueError, TypeError, pytest.UsageError, KubeClusterError) as error:
        raise pytest.UsageError(f"{origin}: {error}") from None
    return Given(value, origin, folder, on_command_line, default)


def _spec_file(config: pytest.Config) -> SpecFile:
    """Return the nearest spec file, searched as pytest searches its ini file.

    That is upwards from the common ancestor of the paths on the command line, and at last in the
    root folder.
    """
    here = config.invocation_params.dir
    words = (word.split("::")[0] for word in config.known_args_namespace.file_or_dir)
    paths = [path for word in words if word and (path := here / word).exists()]
    start = Path(os.path.commonpath(paths)) if paths else here
    try:
        for folder in dict.fromkeys((start, *start.parents, config.rootpath)):
            if folder.is_dir() and (found := find_spec_file(folder)).path:
                return found
    except SpecFileError as error:
        raise pytest.UsageError(str(error)) from None
    return SpecFile()


def _machines(values: Values) -> MachineSource:
    inventory, vagrantfile = values[options.INVENTORY], values[options.VAGRANTFILE]
    if inventory and vagrantfile:
        raise pytest.UsageError(
            f"{options.INVENTORY.flag} cannot be combined with {options.VAGRANTFILE.flag}"
        )
    existing: Existing | None = None
    if inventory:
        # Machines that were not booted cannot be kept either.
        _check_combination(values, options.INVENTORY, (*_BUNDLED_ONLY, options.KEEP))
        existing = FromInventory(inventory)
    elif vagrantfile:
        _check_combination(values, options.VAGRANTFILE, _BUNDLED_ONLY)
        existing = FromVagrantfile(vagrantfile)
    elif kubeconfig := values[options.KUBECONFIG]:
        _check_combination(values, options.KUBECONFIG, (*_BUNDLED_ONLY, options.KEEP))
        existing = FromKubeconfig(kubeconfig)
    return existing or _bundled(values)


def _check_combination(
    values: Values, source: Option[Any], refused: tuple[Option[Any], ...]
) -> None:
    for option in refused:
        if values.given(option).on_command_line:
            raise pytest.UsageError(
                f"{option.flag} cannot be combined with {source.flag}: existing machines are used "
                "as they are"
            )


def _bundled(values: Values) -> Bundled:
    kind = PROVIDERS[values[options.PROVIDER]]
    text, checksum = values[options.BOX], values[options.BOX_CHECKSUM]
    if checksum and not text:
        values.refuse(options.BOX_CHECKSUM, f"requires {options.BOX.flag}")
    try:
        box = box_source(text, checksum, values.given(options.BOX).folder, images=kind.boots_images)
    except (ValueError, KubeClusterError) as error:
        values.refuse(options.BOX, error)
    if kind.needs_box and not box:
        raise pytest.UsageError(
            f"{options.PROVIDER.flag}={kind.name} requires {options.BOX.flag}, for example "
            f"{options.BOX.flag}=debian/bookworm64"
        )
    return kind(box)


def _kubelet(values: Values, version: KubeVersion) -> Hollow | Download | KubeletBinary:
    source = values[options.KUBELET]
    if isinstance(source, Hollow):
        return source
    if isinstance(source, Download):
        return Download(values[options.MIRROR])
    try:
        path = readable_file(path_for_version(source, version))
        return inspect_kubelet(path).of(version)
    except KubeClusterError as error:
        values.refuse(options.KUBELET, error)


def _control_plane(
    values: Values, version: KubeVersion
) -> Hollow | Download | ControlPlaneBinaries | None:
    source = values[options.CONTROL_PLANE]
    if source is None or isinstance(source, Hollow):
        return source
    if isinstance(source, Download):
        return Download(values[options.MIRROR])
    try:
        return inspect_control_plane(source, version)
    except KubeClusterError as error:
        values.refuse(options.CONTROL_PLANE, error)


def _python(values: Values) -> PythonTarball | None:
    text, checksum = values[options.PYTHON], values[options.PYTHON_CHECKSUM]
    if checksum and not text:
        values.refuse(options.PYTHON_CHECKSUM, f"requires {options.PYTHON.flag}")
    try:
        return python_tarball(text, checksum, values.given(options.PYTHON).folder)
    except (ValueError, KubeClusterError) as error:
        values.refuse(options.PYTHON, error)


def _inventory(machines: MachineSource) -> Path | None:
    return machines.path if isinstance(machines, FromInventory) else None


def _check_provisioning(settings: Settings) -> None:
    if settings.provisions:
        return
    if not settings.machines.existing:
        raise pytest.UsageError(
            f"{options.PROVISION.flag}=no requires existing machines ({options.INVENTORY.flag} or "
            f"{options.VAGRANTFILE.flag})"
        )
    for option, value in ((options.PLAYBOOK, settings.playbook), (options.PYTHON, settings.python)):
        if value:
            raise pytest.UsageError(
                f"{option.flag} requires {options.PROVISION.flag} with existing machines"
            )
