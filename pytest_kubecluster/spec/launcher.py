"""The program that a unit starts, and the container runtime, as they were version by version.

From cluster/images/hyperkube and the history of Container Linux's and Flatcar's kubelet-wrapper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pytest_kubecluster.spec.version import KubeVersion

LauncherName = Literal["rkt", "docker", "host"]
"""kubelet-wrapper with an ACI (as in the article), or with a ``docker://`` image, or a binary."""

LAUNCHERS: tuple[LauncherName, ...] = get_args(LauncherName)

Runtime = Literal["docker", "containerd"]

LAST_COREOS_IMAGE = 10
"""quay.io/coreos/hyperkube ends at v1.10.5_coreos.0."""
LAST_HYPERKUBE = 16
"""From 1.17 on the image contains a kubelet, and a script in place of hyperkube."""
LAST_IMAGE = 18
"""The last minor version with a hyperkube image."""
LAST_DOCKERSHIM = 23

WRAPPER = "/usr/lib/coreos/kubelet-wrapper"
HOST_PROGRAM = "/opt/bin/kubelet"
INSTALLED = "/opt/hyperkube"
"""The bundled provisioning installs a kubelet below this folder, in one named like its tag."""


@dataclass(frozen=True)
class Launcher:
    """The program that a unit starts, and the image it is configured with, if any."""

    name: LauncherName
    program: str
    image_url: str = ""
    image_args: str = ""
    """KUBELET_IMAGE_ARGS, where the default of kubelet-wrapper, ``--exec=/kubelet``, is wrong."""


def launcher_for(version: KubeVersion, name: LauncherName | None = None) -> Launcher:
    """Return the launcher ``name``, or the usual one at the time of ``version``."""
    if name is None:
        name = "host"
        if version.minor <= LAST_IMAGE:
            name = "rkt" if version.minor <= LAST_COREOS_IMAGE else "docker"
    if name == "host":
        return Launcher(name, HOST_PROGRAM)
    url = "quay.io/coreos/hyperkube" if name == "rkt" else "docker://k8s.gcr.io/hyperkube"
    args = "--exec=kubelet" if version.minor > LAST_HYPERKUBE else ""
    return Launcher(name, WRAPPER, url, args)


def executable_name(version: KubeVersion) -> str:
    """Return the name of the kubelet's executable in that version's release."""
    return "hyperkube" if version.minor <= LAST_HYPERKUBE else "kubelet"


def runtime_for(version: KubeVersion) -> Runtime:
    """Return the container runtime that a kubelet of that version uses by default."""
    return "docker" if version.minor <= LAST_DOCKERSHIM else "containerd"
