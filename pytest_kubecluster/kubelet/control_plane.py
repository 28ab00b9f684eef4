"""The programs of a control plane: the bundled stand-in, or real ones on this host."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.kubelet.binary import check_architecture, output, path_for_version
from pytest_kubecluster.spec.control_plane import COMPONENTS, PROGRAMS, Component
from pytest_kubecluster.spec.version import KubeVersion
from pytest_kubecluster.util.paths import readable_file

HOLLOW: Mapping[Component, str] = {"kube-apiserver": f"{PROGRAMS}/kube-apiserver"}
"""The commands that start a hollow control plane: an API server."""

_HYPERKUBE = "hyperkube"
_OLDER_KUBELETS, _OLDER_KUBELETS_SINCE_28 = 2, 3
"""How many minors a kubelet may be older than its API server: Kubernetes' version skew policy."""


@dataclass(frozen=True)
class ControlPlaneBinaries:
    """A control plane's executables: a ``hyperkube``, or one for each component."""

    files: tuple[tuple[str, Path], ...]
    """The name on a node and the path on this host of each."""
    version: KubeVersion

    @property
    def commands(self) -> Mapping[Component, str]:
        """The commands that start the components on a node."""
        if len(self.files) == 1:
            # If it is called hyperkube, it knows these names in every version, and shorter ones in
            # old versions alone.
            return {name: f"{PROGRAMS}/{_HYPERKUBE} {name}" for name in COMPONENTS}
        return {name: f"{PROGRAMS}/{name}" for name in COMPONENTS}

    def serving(self, kubelets: KubeVersion) -> ControlPlaneBinaries:
        """Return these programs if they can serve kubelets of that version.

        Raises KubeClusterError with the rule that is broken.
        """
        minors = self.version.minor - kubelets.minor
        allowed = _OLDER_KUBELETS if self.version.minor < 28 else _OLDER_KUBELETS_SINCE_28
        if minors < 0:
            raise KubeClusterError(
                f"the control plane is {self.version.git_version}, older than the kubelets "
                f"({kubelets.git_version}): a kubelet must not be newer than its API server"
            )
        if minors > allowed:
            raise KubeClusterError(
                f"the control plane is {self.version.git_version}, and the kubelets are "
                f"{kubelets.git_version}: they may be at most {allowed} minor versions older"
            )
        return self


def inspect_control_plane(path: Path, kubelets: KubeVersion) -> ControlPlaneBinaries:
    """Look at a hyperkube, or a folder with the three programs, and ask each for its version.

    ``{version}`` in the path is replaced by that of the kubelets. Raises KubeClusterError with the
    problem: one that is missing, cannot be run, or is of another version than the others.
    """
    path = path_for_version(path, kubelets)
    if not path.is_dir():
        file = _executable(readable_file(path))
        version = _hyperkube_version(file)
        return ControlPlaneBinaries(((_HYPERKUBE, file),), version).serving(kubelets)
    missing = [name for name in COMPONENTS if not (path / name).is_file()]
    if len(missing) == len(COMPONENTS) and (path / _HYPERKUBE).is_file():
        return inspect_control_plane(path / _HYPERKUBE, kubelets)
    if missing:
        raise KubeClusterError(
            f"{path} has no {', '.join(missing)}; a control plane consists of "
            f"{', '.join(COMPONENTS)}, or of a hyperkube"
        )
    return inspect_programs({name: path / name for name in COMPONENTS}, kubelets)


def inspect_programs(paths: Mapping[str, Path], kubelets: KubeVersion) -> ControlPlaneBinaries:
    """Look at the three programs of a control plane, by name, or at a hyperkube alone.

    Raises KubeClusterError with the problem, as ``inspect_control_plane``.
    """
    if hyperkube := paths.get(_HYPERKUBE):
        return inspect_control_plane(hyperkube, kubelets)
    files = {name: _executable(readable_file(path)) for name, path in paths.items()}
    versions = {name: _version(file, name, ["--version"]) for name, file in files.items()}
    server = versions["kube-apiserver"]
    for name, version in versions.items():
        # Up to one minor older than the API server, for the time of an upgrade.
        if not 0 <= server.minor - version.minor <= 1:
            raise KubeClusterError(
                f"{files[name]} is {version.git_version}, and kube-apiserver "
                f"{server.git_version}: it may be at most one minor version older, and not newer"
            )
    return ControlPlaneBinaries(tuple(files.items()), server).serving(kubelets)


def _executable(path: Path) -> Path:
    if not os.access(path, os.X_OK):
        raise KubeClusterError(f"{path} is not executable; chmod +x it")
    check_architecture(path)
    return path


def _hyperkube_version(path: Path) -> KubeVersion:
    about = output(path, "--help").lower()
    if "hyperkube" not in about or "apiserver" not in about:
        raise KubeClusterError(
            f"{path} is not a hyperkube; give a hyperkube (up to 1.16) or a folder with "
            f"{', '.join(COMPONENTS)}"
        )
    return _version(path, "hyperkube", ["kube-apiserver", "--version"])


def _version(path: Path, name: str, words: list[str]) -> KubeVersion:
    printed = output(path, *words)
    found = re.search(r"^Kubernetes (v\S+)$", printed, re.MULTILINE)
    if found is None:
        raise KubeClusterError(
            f"{path} is not a {name}: {' '.join(words)} printed {printed[:80].strip()!r}"
        )
    try:
        return KubeVersion.parse(found[1])
    except ValueError as error:
        raise KubeClusterError(f"{path}: {error}") from None
