"""What the person asked for: options over ini keys over defaults, checked before anything boots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pytest_kubecluster.ansible.node_python import python_tarball
from pytest_kubecluster.cluster.config import ASK, DOWNLOAD, HOLLOW, Settings
from pytest_kubecluster.cluster.registry import check_name
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.kubelet.binary import KubeletBinary, inspect_kubelet, path_for_version
from pytest_kubecluster.kubelet.host_requirements import TOLERABLE
from pytest_kubecluster.machines.existing.role_patterns import DEFAULT_ROLES, RolePatterns
from pytest_kubecluster.machines.vm.box_source import box_source
from pytest_kubecluster.spec.model import DEFAULT_NETWORK, DEFAULT_VERSION
from pytest_kubecluster.spec.specfile import SpecFile, SpecFileError, find_spec_file
from pytest_kubecluster.spec.version import KNOWN, KubeVersion
from pytest_kubecluster.util.ansible_cli import folder_of_ansible
from pytest_kubecluster.util.checksum import Checksum

T = TypeVar("T")

PROVIDERS = ("docker", "libvirt", "virtualbox")
_TIMEOUT, _VM_TIMEOUT = 300.0, 1800.0
"""What booting may take: a machine that is emulated takes minutes."""
_TOPOLOGY_OPTIONS = {"version": "hyperkube"}
KEEP = ("never", "failed", "always")


@dataclass(frozen=True)
class Option:
    """An option and its ini key, which say the same thing in two places."""

    name: str
    default: str
    help: str
    metavar: str = ""
    bare: str | None = None
    """The value of the option where it is given without one."""

    @property
    def flag(self) -> str:
        """The command line's spelling."""
        return "--kube-" + self.name

    @property
    def ini(self) -> str:
        """The configuration file's spelling."""
        return "kube_" + self.name.replace("-", "_")


OPTIONS = (
    Option(
        "provider",
        "docker",
        "Vagrant provider that boots the machines: docker (container nodes), libvirt (virtual "
        "machines, emulated where there is no KVM) or virtualbox",
        "NAME",
    ),
    Option(
        "box",
        "",
        "What the machines boot from, instead of our own. Containers: a Docker image that starts "
        "systemd and lets the cluster's key in, best made FROM ours (docker image ls "
        "kubecluster-node). Virtual machines: a Vagrant box, by its name in the catalogue, a file "
        "or a URL",
        "NAME|FILE|URL",
    ),
    Option(
        "box-checksum",
        "",
        "What the box's file or URL must be, as sha256:HEX",
        "ALGORITHM:HEX",
    ),
    Option(
        "python",
        "",
        "A tarball with a Python for nodes that have none, 3.9 or newer, unpacked to /opt/python: "
        "python-build-standalone's install_only, PyPy, or any other with bin/python3 or bin/pypy3 "
        "at its top or in the one folder there. From a URL it is fetched here, not by the nodes",
        "FILE|URL",
    ),
    Option(
        "python-checksum",
        "",
        "What the tarball of --kube-python must be, as sha256:HEX; a URL needs one",
        "ALGORITHM:HEX",
    ),
    Option("masters", "3", "Number of masters", "N"),
    Option("workers", "1", "Number of workers", "N"),
    Option(
        "hyperkube",
        str(DEFAULT_VERSION),
        f"Kubelet version the spec is for: 1.7.5, v1.7.5 or the image tag v1.7.5_coreos.1; {KNOWN}",
        "VERSION",
    ),
    Option(
        "kubelet",
        HOLLOW,
        "Which kubelet runs: hollow (the bundled stand-in), download (the official release), or "
        "the path of a hyperkube or kubelet binary, in which {version} stands for the version",
        "hollow|download|PATH",
    ),
    Option(
        "mirror",
        "",
        "Where --kube-kubelet=download looks instead of dl.k8s.io/release: a URL or a folder that "
        "has v1.30.0/bin/linux/amd64/kubelet and its checksum",
        "URL|DIR",
    ),
    Option(
        "tolerate",
        "",
        "What of this host a real kubelet shall put up with, though its version refuses to by "
        f"default: {', '.join(TOLERABLE)}, or both with a comma",
        "LIST",
    ),
    Option(
        "network",
        "",
        f"The nodes' IPv4 subnet (default: {DEFAULT_NETWORK}, or the next one that is free)",
        "CIDR",
    ),
    Option(
        "playbook",
        "",
        "Your own Ansible playbook, run instead of the bundled one; its inventory has the groups "
        "masters, workers, role=master and role=worker",
        "PATH",
    ),
    Option(
        "vagrantfile",
        "",
        "The folder of your own Vagrantfile, used as it is: machines that run are used and left "
        "running, those that do not are booted and removed",
        "DIR",
    ),
    Option(
        "inventory",
        "",
        "An Ansible inventory (INI, YAML or a program) of machines that already run: they are "
        "looked at over ssh, and provisioned only with --kube-provision",
        "FILE",
    ),
    Option(
        "provision",
        "",
        "Whether to make kubelet nodes of your own machines: yes or no; by default an inventory's "
        "are left as they are",
        "yes|no",
        bare="yes",
    ),
    Option(
        "roles",
        DEFAULT_ROLES,
        "Which roles machines of your own have, by patterns for their groups and names; none "
        "leaves a machine out",
        "PATTERN=ROLE…",
    ),
    Option("forks", "10", "Number of your own machines to work on at the same time", "N"),
    Option(
        "sudo-password",
        "",
        "The password for sudo on your own machines: ask (at the terminal), or a file that has it "
        "in its first line; ansible_become_password in the inventory wins",
        "ask|FILE",
    ),
    Option(
        "disturb",
        "no",
        "Whether tests that kill and reboot may do so to machines that this run did not boot",
        "yes|no",
        bare="yes",
    ),
    Option(
        "timeout",
        "",
        f"Seconds that booting and provisioning may take: {_TIMEOUT:.0f} by default, and "
        f"{_VM_TIMEOUT:.0f} for virtual machines and those of your own Vagrantfile",
        "SECONDS",
    ),
    Option(
        "report",
        "",
        "A folder for a report of the run and, if it failed, for the nodes' diagnostics and all "
        "logs",
        "DIR",
    ),
    Option(
        "keep",
        "",
        "What becomes of the cluster afterwards: never, failed (kept if the run failed) or always "
        "kept; never, unless it was reused",
        "|".join(KEEP),
    ),
    Option(
        "reuse",
        "",
        "Use a cluster that was kept: the one of that name, or the last one kept for this "
        "project, which is booted if there is none",
        "NAME",
        bare="",
    ),
)


def add_options(parser: pytest.Parser) -> None:
    """Declare every option twice: on the command line and as an ini key."""
    group = parser.getgroup("kubecluster", "Kubernetes node cluster")
    group.addoption(
        "--kube-cluster",
        action="store_true",
        help="Boot the cluster for this session",
    )
    for option in OPTIONS:
        default = f"default: {option.default}; " if option.default else ""
        takes_none = {} if option.bare is None else {"nargs": "?", "const": option.bare}
        group.addoption(
            option.flag,
            metavar=option.metavar,
            help=f"{option.help} ({default}ini: {option.ini})",
            **takes_none,
        )
        parser.addini(option.ini, f"{option.help} (default for {option.flag})")


def read_settings(config: pytest.Config, version: KubeVersion | None = None) -> Settings:
    """Read and check the options; ``version`` is taken instead of the one they name.

    Raises pytest.UsageError naming the option and what it takes.
    """

    def read(name: str, parse: Callable[[str], T]) -> T:
        option = next(o for o in OPTIONS if o.name == name)
        given: Any = config.getoption(option.flag)
        source = option.flag
        if given is None:
            given, source = config.getini(option.ini), f"ini key {option.ini}"
        if not given and source != option.flag:
            given = from_file.get(name) or option.default
        try:
            return parse(str(given))
        except (ValueError, KubeClusterError) as error:
            raise pytest.UsageError(f"{source}: {error}") from None

    spec_file = _spec_file(config.rootpath)
    from_file = {
        _TOPOLOGY_OPTIONS.get(name, name): str(value)
        for name, value in vars(spec_file.topology).items()
        if value is not None
    }
    version = version or read("hyperkube", KubeVersion.parse_known)
    asks = config.getoption("--kube-reuse") is not None or config.getini("kube_reuse")
    reuse = read("reuse", _name) if asks else None
    provider = read("provider", _provider)
    box_checksum, python_checksum = (
        read(name, lambda text: Checksum.parse(text) if text else None)
        for name in ("box-checksum", "python-checksum")
    )
    vagrantfile = read("vagrantfile", lambda text: _path(text, config.rootpath))
    usual_timeout = _TIMEOUT if provider == "docker" and not vagrantfile else _VM_TIMEOUT
    settings = Settings(
        provider=provider,
        masters=read("masters", _count),
        workers=read("workers", _count),
        version=version,
        network=read("network", lambda text: _network(text) if text else None),
        kubelet=read("kubelet", lambda text: _kubelet(text, config.rootpath, version)),
        download=read("kubelet", lambda text: text == DOWNLOAD),
        mirror=read("mirror", lambda text: _mirror(text, config.rootpath)),
        tolerate=read("tolerate", _tolerate),
        timeout=read("timeout", lambda text: _seconds(text, usual_timeout)),
        report=read("report", lambda text: _path(text, config.rootpath)),
        keep=read("keep", _keep) or ("always" if reuse is not None else "never"),
        reuse=reuse,
        box=read("box", lambda text: box_source(text, box_checksum, config.rootpath, provider)),
        python=read("python", lambda text: python_tarball(text, python_checksum, config.rootpath)),
        playbook=read("playbook", lambda text: _playbook(text, config.rootpath)),
        inventory=read("inventory", lambda text: _path(text, config.rootpath)),
        vagrantfile=vagrantfile,
        provision=read("provision", lambda text: _truth(text) if text else None),
        roles=read("roles", RolePatterns.parse),
        forks=read("forks", _positive),
        sudo_password=read("sudo-password", lambda text: _password(text, config.rootpath)),
        disturb=read("disturb", _truth),
        spec_file=spec_file,
    )
    _check_together(settings, config)
    if theirs := [path for path in (settings.playbook, settings.inventory) if path]:
        folder = folder_of_ansible(config.rootpath, *theirs)
        settings = replace(settings, ansible_folder=folder)
    return replace(settings, reuse=None) if settings.own_machines else settings


def _check_together(settings: Settings, config: pytest.Config) -> None:
    """Refuse options that say nothing of machines of one's own, or only of them."""
    if settings.inventory and settings.vagrantfile:
        raise pytest.UsageError("--kube-inventory and --kube-vagrantfile: the machines are of one")
    if settings.own_machines:
        about_ours = ["provider", "box", "masters", "workers", "network", "reuse"]
        for name in [*about_ours, "keep"] if settings.inventory else about_ours:
            if config.getoption(f"--kube-{name}") is not None:
                raise pytest.UsageError(
                    f"--kube-{name} says nothing of machines of your own "
                    f"(--kube-{settings.source}): they are used as they are"
                )
    elif not settings.provisions:
        raise pytest.UsageError("--kube-provision=no leaves machines of ours without a kubelet")
    if settings.provider == "virtualbox" and not settings.box:
        raise pytest.UsageError(
            "--kube-provider=virtualbox needs a box: --kube-box=debian/bookworm64, for one"
        )
    if settings.playbook and not settings.provisions:
        raise pytest.UsageError("--kube-playbook is not run without --kube-provision")
    if settings.python and not settings.provisions:
        raise pytest.UsageError("--kube-python brings nothing without --kube-provision")


def _spec_file(project: Path) -> SpecFile:
    try:
        return find_spec_file(project)
    except SpecFileError as error:
        raise pytest.UsageError(str(error)) from None


def _provider(text: str) -> str:
    if text not in PROVIDERS:
        raise ValueError(f"{text!r} is no provider there is; choose from {', '.join(PROVIDERS)}")
    return text


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"{text!r} is no number of nodes; give 0 or more")
    return int(text)


def _positive(text: str) -> int:
    if not (number := _count(text)):
        raise ValueError("0 machines at the same time is never")
    return number


def _truth(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError(f"{text!r} is neither yes nor no")
    return text == "yes"


def _password(text: str, rootpath: Path) -> str:
    if text in ("", ASK):
        return text
    try:
        lines = (rootpath / Path(text).expanduser()).read_text().splitlines()
    except OSError as error:
        raise ValueError(f"{text} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{text} is no text: {error}") from None
    if not lines or not lines[0]:
        raise ValueError(f"{text} has no password in its first line")
    return lines[0]


def _network(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise ValueError(
            f"{text!r} is no IPv4 network ({error}); write it as {DEFAULT_NETWORK}"
        ) from None


def _keep(text: str) -> str:
    if text and text not in KEEP:
        raise ValueError(f"{text!r} is no way to keep a cluster; choose from {', '.join(KEEP)}")
    return text


def _name(text: str) -> str:
    if text:
        check_name(text)
    return text


def _path(text: str, rootpath: Path) -> Path | None:
    return rootpath / Path(text).expanduser() if text else None


def _playbook(text: str, rootpath: Path) -> Path | None:
    # Imported here: what runs playbooks is not needed where nothing boots.
    from pytest_kubecluster.ansible.run import check_playbook

    path = _path(text, rootpath)
    return check_playbook(path) if path else None


def _seconds(text: str, default: float) -> float:
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{text!r} is no number of seconds above 0")
    return seconds


def _mirror(text: str, rootpath: Path) -> str | None:
    if not text or text.startswith(("http://", "https://")):
        return text or None
    folder = rootpath / Path(text).expanduser()
    if not folder.is_dir():
        raise ValueError(f"{text!r} is neither a folder nor an http or https URL")
    return str(folder)


def _tolerate(text: str) -> frozenset[str]:
    given = frozenset(filter(None, (word.strip() for word in text.split(","))))
    if unknown := sorted(given.difference(TOLERABLE)):
        raise ValueError(f"{unknown[0]!r} is not one of {', '.join(TOLERABLE)}")
    return given


def _kubelet(text: str, rootpath: Path, version: KubeVersion) -> KubeletBinary | None:
    if text in (HOLLOW, DOWNLOAD):
        return None
    path = rootpath / Path(text).expanduser()
    return inspect_kubelet(path_for_version(path, version)).of(version)
