"""The layout of kubeadm: what its packages and ``kubeadm init`` or ``join`` leave on a node.

Sources, read at each minor: packages in kubernetes/release (packages/deb, cmd/krel/templates);
cmd/kubeadm/app/phases/kubelet/flags.go and componentconfigs/kubelet.go; the kubelet's
certificate/bootstrap. Compared with the files that kubeadm 1.36.3 wrote, and with published ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

from pytest_kubecluster.layouts.kubeadm_changes import kubeadm_changes
from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.base import Base
from pytest_kubecluster.spec.launcher import LAST_DOCKERSHIM
from pytest_kubecluster.spec.model import FileSpec, KubeletSpec, SpecError
from pytest_kubecluster.spec.parts import (
    FileStatement,
    HostStatement,
    IdentityStatement,
    Label,
    Taint,
)
from pytest_kubecluster.spec.statements import NODE_USER
from pytest_kubecluster.spec.topology import Machine
from pytest_kubecluster.spec.version import KubeVersion

OLDEST = 11
"""The first minor whose kubeadm writes a configuration file and an environment file."""

CERTIFICATE = "/var/lib/kubelet/pki/kubelet-client-current.pem"
"""Where a kubelet keeps the client certificate that it rotates."""

BOOTSTRAP = "/etc/kubernetes/bootstrap-kubelet.conf"
"""The kubeconfig that ``kubeadm join`` gives the kubelet, and removes when it has joined."""

_CA = "/etc/kubernetes/pki/ca"
_CONFIG = "/var/lib/kubelet/config.yaml"
_FLAGS = "/var/lib/kubelet/kubeadm-flags.env"
_DEFAULTS = "/etc/default/kubelet"
_SOCKET = "unix:///var/run/containerd/containerd.sock"
_RESOLV_CONF = "/run/systemd/resolve/resolv.conf"

_FULL_UNTIL = 17
"""Until this minor kubeadm writes every default; later ones write what it decides, and zeros."""
_RESOLVER_FLAG_UNTIL = 18
"""Until this minor kubeadm finds the cgroup driver and systemd-resolved for flags."""
_OWN_PACKAGES = 24
"""The first minor of pkgs.k8s.io; before, the packages were Google's."""
_LOCAL_API_SERVER = 33
"""The first minor with the gate ControlPlaneKubeletLocalMode on (kubernetes#129956)."""
INSTANCE_CONFIG = 34
"""The first minor with the gate NodeLocalCRISocket on (kubernetes#131981)."""

_PAUSE = (
    ("3.10.1", 34),
    ("3.10", 31),
    ("3.9", 26),
    ("3.8", 25),
    ("3.7", 24),
    ("3.6", 23),
    ("3.5", 22),
    ("3.4.1", 21),
    ("3.2", 18),
    ("3.1", 13),
)
"""The pause images, and the first minor with each (PauseVersion in constants.go)."""
_PAUSE_UNTIL = 34
_OLD_REGISTRY_UNTIL = 24

Spans = tuple[tuple[str, int, int], ...]
"""Names, with the first and the last minor that has each."""

_POINTERS = (
    "cpuCFSQuotaPeriod",
    "logging.flushFrequency",
    "containerLogMonitorInterval",
    "crashLoopBackOff.maxContainerRestartPeriod",
)
"""Durations that are left out while they are not set; all others are written as 0s."""

_EMPTY_OBJECTS: Spans = (("logging", 19, 22), ("memorySwap", 22, 99), ("crashLoopBackOff", 32, 99))
"""Objects without a value that are written as ``{}``."""


_MASTER, _CONTROL_PLANE = "node-role.kubernetes.io/master", "node-role.kubernetes.io/control-plane"
_LABELS: Spans = (
    (_MASTER, OLDEST, 23),
    (_CONTROL_PLANE, 20, 99),
    ("node.kubernetes.io/exclude-from-external-load-balancers", 21, 99),
)
_TAINTS: Spans = ((_MASTER, OLDEST, 24), (_CONTROL_PLANE, 24, 99))
"""What ``kubeadm init phase mark-control-plane`` sets on masters, and its first and last minor.

From cmd/kubeadm/app/phases/markcontrolplane; kubernetes/kubeadm#2200 and #2375.
"""


def kubeadm_kubelet(machine: Machine, version: KubeVersion, *, first: bool = False) -> KubeletSpec:
    """Return the kubelet of a node that kubeadm set up, with the flag --node-ip as an extra one.

    ``first`` is the master of ``kubeadm init``, whose kubeconfig embeds its certificate; the others
    joined, and have theirs in the file that the kubelet rotates. Raises SpecError for a version
    whose kubeadm writes no configuration.
    """
    minor = version.minor
    if minor < OLDEST:
        raise SpecError(
            f"the layout kubeadm needs kubelet 1.{OLDEST} or newer, not {version.number}: before, "
            "kubeadm wrote no configuration file; use the layout classic"
        )
    unit = _unit_folder(minor)
    identity = IdentityStatement(f"{NODE_USER}{machine.name.lower()}", ("system:nodes",))
    return KubeletSpec(
        version,
        "kubeadm",
        node_ips=(machine.address,),
        taints=(),
        cluster_dns=(IPv4Address("10.96.0.10"),),
        cluster_domain="cluster.local",
        anonymous_auth=False,
        unit_path=f"{unit}/kubelet.service",
        unit_drop_ins=(drop_in(minor),),
        unit_environment_files=(_DEFAULTS, _FLAGS),
        kubeconfig="/etc/kubernetes/kubelet.conf",
        client_ca_file=f"{_CA}.crt",
        manifests="/etc/kubernetes/manifests",
        config_path=_CONFIG,
        launched_by="host",
        program="/usr/bin/kubelet",
        base=_base(version),
        more_files=tuple(_more_files(minor, first=first)),
        modes=(("kubelet.yaml", 0o644),),
        own_files=(FileStatement(f"{_CA}.key", absent=True, said_in="the layout kubeadm"),),
        identity=identity,
        host=HostStatement(resolver=False),
        # The packages' unit is not ordered after the runtime; a kubelet that finds none ends.
        restarts_at_boot=1,
        local_api_server=minor >= _LOCAL_API_SERVER,
        api_labels=tuple(_marks(minor, _LABELS)) if machine.role == "master" else (),
        api_taints=tuple(
            Taint(label.key, "", "NoSchedule")
            for label in _marks(minor, _TAINTS)
            if machine.role == "master"
        ),
    )


def _marks(minor: int, spans: Spans) -> Iterator[Label]:
    return (Label(key) for key, first, last in spans if first <= minor <= last)


def drop_in(minor: int) -> str:
    """Return the path of the drop-in that kubeadm's package adds to the kubelet's unit."""
    folder = "/etc/systemd/system" if minor < _OWN_PACKAGES else "/usr/lib/systemd/system"
    return f"{folder}/kubelet.service.d/10-kubeadm.conf"


def _unit_folder(minor: int) -> str:
    return "/lib/systemd/system" if minor < _OWN_PACKAGES else "/usr/lib/systemd/system"


def _more_files(minor: int, *, first: bool) -> Iterator[FileSpec]:
    yield FileSpec("10-kubeadm.conf", drop_in(minor), 0o644)
    yield FileSpec("kubeadm-flags.env", _FLAGS, 0o644)
    if minor >= _OWN_PACKAGES:
        yield FileSpec("kubelet.env", _DEFAULTS, 0o644)
    if minor >= INSTANCE_CONFIG:
        yield FileSpec("instance-config.yaml", "/var/lib/kubelet/instance-config.yaml", 0o644)
    if not first:
        yield FileSpec(
            "kubelet-client.pem", CERTIFICATE, 0o600, secret=True, from_pki=True, rotated=True
        )


def _base(version: KubeVersion) -> Base:
    first = (
        ("bootstrap-kubeconfig", BOOTSTRAP),
        ("kubeconfig", "/etc/kubernetes/kubelet.conf"),
        ("config", _CONFIG),
    )
    minor = version.minor
    return Base(first, tuple(_environment(minor)), tuple(_fields(version)), kubeadm_changes(minor))


def _environment(minor: int) -> Iterator[tuple[str, str]]:
    """Yield the flags of kubeadm-flags.env, on a node with systemd-resolved."""
    if minor <= LAST_DOCKERSHIM:
        yield "network-plugin", "cni"
    elif minor < INSTANCE_CONFIG:
        yield "container-runtime-endpoint", _SOCKET
    if LAST_DOCKERSHIM < minor < 26:
        yield "container-runtime", "remote"
    if minor == OLDEST:
        yield "cni-conf-dir", "/etc/cni/net.d"
        yield "cni-bin-dir", "/opt/cni/bin"
    if minor <= _RESOLVER_FLAG_UNTIL:
        yield "cgroup-driver", "cgroupfs"
        yield "resolv-conf", _RESOLV_CONF
    pause = next((tag for tag, since in _PAUSE if minor >= since), "")
    if pause and minor <= _PAUSE_UNTIL:
        registry = "k8s.gcr.io" if minor <= _OLD_REGISTRY_UNTIL else "registry.k8s.io"
        yield "pod-infra-container-image", f"{registry}/pause:{pause}"


def _fields(version: KubeVersion) -> Iterator[tuple[str, Any]]:
    """Yield the fields of config.yaml by path, and its empty objects; nothing is sorted."""
    minor = version.minor
    known = catalog.fields(version.minor_version)
    for path, field in known.items():
        if minor <= _FULL_UNTIL and (field.shown or field.default not in _ZEROS):
            yield path, field.default
        elif minor > _FULL_UNTIL and field.type == "duration" and path not in _POINTERS:
            yield path, "0s"
    yield from ((name, {}) for name, since, until in _EMPTY_OBJECTS if since <= minor <= until)
    if minor >= 23:
        yield "logging.flushFrequency", 0
        yield "logging.verbosity", 0
        for form in ("json", "text"):
            if (path := f"logging.options.{form}.infoBufferSize") in known:
                yield path, "0"
    yield "authentication.anonymous.enabled", False
    yield "authentication.webhook.enabled", True
    yield "authorization.mode", "Webhook"
    yield "healthzBindAddress", "127.0.0.1"
    yield "healthzPort", 10248
    yield "rotateCertificates", True
    if minor > _RESOLVER_FLAG_UNTIL:
        # Until 1.20, as Docker has it; since, systemd whatever the runtime has (kubernetes#99471).
        yield "cgroupDriver", "cgroupfs" if minor <= 20 else "systemd"
        yield "resolvConf", _RESOLV_CONF
    if "containerRuntimeEndpoint" in known:
        yield "containerRuntimeEndpoint", _SOCKET if minor >= INSTANCE_CONFIG else ""


_ZEROS: tuple[Any, ...] = (None, "", [], {}, 0, False, "0s")
