"""How systemd starts a kubelet, and what it starts: what that was, version by version.

From cluster/images/hyperkube and the history of Container Linux's and Flatcar's kubelet-wrapper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pytest_kubecluster.spec.version import KubeVersion

LauncherName = Literal["rkt", "docker", "host"]
"""kubelet-wrapper with an ACI (the seed), with a ``docker://`` image, or a binary on the host."""

LAUNCHERS: tuple[LauncherName, ...] = get_args(LauncherName)

Runtime = Literal["docker", "containerd"]

LAST_COREOS_IMAGE = 10
"""quay.io/coreos/hyperkube ends at v1.10.5_coreos.0."""
LAST_HYPERKUBE = 16
"""From 1.17 on the image holds a kubelet, and a script that plays hyperkube."""
LAST_IMAGE = 18
"""hyperkube's image ends here."""
LAST_DOCKERSHIM = 23

WRAPPER = "/usr/lib/coreos/kubelet-wrapper"
HOST_PROGRAM = "/opt/bin/kubelet"
INSTALLED = "/opt/hyperkube"
"""Below here, in a folder of its tag, is the kubelet that the bundled provisioning installs."""


@dataclass(frozen=True)
class Launcher:
    """The program that a unit starts, and the image it is told to run, if any."""

    name: LauncherName
    program: str
    image_url: str = ""
    image_args: str = ""
    """KUBELET_IMAGE_ARGS, where kubelet-wrapper's own ``--exec=/kubelet`` does not do."""


def launcher_for(version: KubeVersion, name: LauncherName | None = None) -> Launcher:
    """Return the launcher ``name``, or the one that people had at the time of ``version``."""
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
    """Return what the kubelet's executable is called in that version's release."""
    return "hyperkube" if version.minor <= LAST_HYPERKUBE else "kubelet"


def runtime_for(version: KubeVersion) -> Runtime:
    """Return the container runtime that a kubelet of that version works with out of the box."""
    return "docker" if version.minor <= LAST_DOCKERSHIM else "containerd"
