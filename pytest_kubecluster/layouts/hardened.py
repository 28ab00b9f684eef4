"""The hardened layout: the article's node with what the CIS benchmark of its version asks for.

Each measure has its reason and its source; docs/explanation/layouts.md lists them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pytest_kubecluster.layouts.classic import classic_kubelet
from pytest_kubecluster.layouts.kubeadm import CERTIFICATE
from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.model import FileSpec, KubeletSpec, SpecError
from pytest_kubecluster.spec.parts import FileStatement, IdentityStatement
from pytest_kubecluster.spec.statements import NODE_USER
from pytest_kubecluster.spec.topology import Machine
from pytest_kubecluster.spec.translate import Change
from pytest_kubecluster.spec.version import KubeVersion

OLDEST = 10
"""The first minor that can have a serving certificate of its own and the gate that CIS asks for."""

BOOTSTRAP = "/etc/kubernetes/bootstrap-kubeconfig"
"""The kubeconfig with which a node joins, where there is a control plane."""

_SERVING = "/etc/kubernetes/pki/kubelet"
_SYSCTLS = "/etc/sysctl.d/90-kubelet.conf"
_CIPHERS = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
)
"""The suites with forward secrecy that every kubelet from 1.10 on knows by these names."""

_KERNEL_UNTIL = 24
"""The last minor whose benchmark asks for --protect-kernel-defaults (cis-1.24)."""
_ADDRESSES = range(29, 32)
"""The minors whose benchmark asks for IPAddressDeny (cis-1.11)."""


def hardened_kubelet(machine: Machine, version: KubeVersion) -> KubeletSpec:
    """Return the kubelet of a hardened node. Raises SpecError for a version that cannot be one."""
    minor = version.minor
    if minor < OLDEST:
        raise SpecError(
            f"the layout hardened needs kubelet 1.{OLDEST} or newer, not {version.number}: with "
            "RotateKubeletServerCertificate, older ones serve no certificate that they are given; "
            "use the layout classic"
        )
    settings = dict(_settings(minor))
    return replace(
        classic_kubelet(machine, version),
        layout="hardened",
        # Only pods whose admission the API server grants are privileged: CIS 2.1.1.
        allow_privileged=False,
        ca_key_file="",
        extra_settings=tuple(settings.items()),
        modes=(("ca.crt", 0o600), ("kubelet.service", 0o600)),
        more_files=tuple(_more_files(minor)),
        own_files=(FileStatement("/etc/kubernetes/ca.key", absent=True, said_in=_SAID_IN),),
        identity=IdentityStatement(f"{NODE_USER}{machine.name.lower()}", ("system:nodes",)),
        signed_serving=True,
        sysctls=_SYSCTLS if minor <= _KERNEL_UNTIL else "",
        limits_addresses=minor in _ADDRESSES,
        more_changes=tuple(_changes(minor)),
        said_in=tuple((name, _SAID_IN) for name in settings),
    )


_SAID_IN = "the layout hardened"


def _more_files(minor: int) -> Iterator[FileSpec]:
    yield FileSpec(
        "kubelet-client.pem", CERTIFICATE, 0o600, secret=True, from_pki=True, rotated=True
    )
    yield FileSpec("kubelet.crt", f"{_SERVING}.crt", 0o644, from_pki=True)
    yield FileSpec("kubelet.key", f"{_SERVING}.key", 0o600, secret=True, from_pki=True)
    if minor <= _KERNEL_UNTIL:
        yield FileSpec("90-kubelet.conf", _SYSCTLS, 0o644)


def _settings(minor: int) -> Iterator[tuple[str, Any]]:
    """Yield the settings by flag, those that this minor has."""
    known = catalog.flags(f"1.{minor}")
    for since, until, name, value, _, _ in MEASURES:
        if name in known and since <= minor <= until:
            yield name, value


def _changes(minor: int) -> Iterator[Change]:
    known = catalog.flags(f"1.{minor}")
    for since, until, name, _, reason, source in MEASURES:
        if name in known and since <= minor <= until:
            yield Change(f"--{name} set", reason, source)


_ALL, _NEWEST = OLDEST, 99

MEASURES: tuple[tuple[int, int, str, Any, str, str], ...] = (
    (
        _ALL,
        _NEWEST,
        "authorization-mode",
        "Webhook",
        "the API server decides what a client may do; any certificate of the CA could do all",
        "CIS 4.2.2",
    ),
    (
        _ALL,
        _NEWEST,
        "authentication-token-webhook",
        True,
        "service accounts are known by their tokens",
        "Kubernetes docs: kubelet authentication",
    ),
    (
        _ALL,
        _NEWEST,
        "read-only-port",
        0,
        "it answers everyone, with no authentication",
        "CIS 4.2.4",
    ),
    (
        _ALL,
        _NEWEST,
        "streaming-connection-idle-timeout",
        "5m",
        "idle connections of exec and port-forward are closed",
        "CIS 4.2.5",
    ),
    (
        _ALL,
        _KERNEL_UNTIL,
        "protect-kernel-defaults",
        True,
        "the kubelet fails rather than change the kernel; 90-kubelet.conf sets what it needs",
        "CIS 4.2.6 until cis-1.24",
    ),
    (
        _ALL,
        _NEWEST,
        "make-iptables-util-chains",
        True,
        "the kubelet keeps its iptables rules in step with the pods' network",
        "CIS 4.2.7",
    ),
    (
        _ALL,
        10,
        "keep-terminated-pod-volumes",
        False,
        "volumes of ended pods, and secrets on them, are unmounted",
        "CIS 2.1.9 until cis-1.2",
    ),
    (
        _ALL,
        23,
        "event-qps",
        0,
        "no event is dropped",
        "CIS 4.2.9 until cis-1.23",
    ),
    (
        _ALL,
        11,
        "cadvisor-port",
        0,
        "it answers everyone, with no authentication",
        "CIS 2.1.12 until cis-1.3",
    ),
    (
        _ALL,
        _NEWEST,
        "tls-cert-file",
        f"{_SERVING}.crt",
        "clients can verify a certificate of the CA, but not one that the kubelet signed itself",
        "CIS 4.2.10",
    ),
    (
        _ALL,
        _NEWEST,
        "tls-private-key-file",
        f"{_SERVING}.key",
        "its key",
        "CIS 4.2.10",
    ),
    (
        _ALL,
        _NEWEST,
        "rotate-certificates",
        True,
        "the kubelet asks for its next client certificate before this one ends",
        "CIS 4.2.11",
    ),
    (
        10,
        10,
        "feature-gates",
        {"RotateKubeletClientCertificate": True, "RotateKubeletServerCertificate": True},
        "the gates of certificate rotation are stated",
        "CIS 2.1.14 and 2.1.15 of cis-1.2",
    ),
    (
        11,
        14,
        "feature-gates",
        {"RotateKubeletServerCertificate": True},
        "the gate of certificate rotation is stated",
        "CIS 2.1.14 of cis-1.3",
    ),
    (
        _ALL,
        _NEWEST,
        "tls-cipher-suites",
        _CIPHERS,
        "suites with forward secrecy alone",
        "CIS 4.2.13",
    ),
    (
        25,
        _NEWEST,
        "pod-max-pids",
        4096,
        "a pod cannot take all process ids of the node",
        "CIS 4.2.13 from cis-1.7",
    ),
    (
        29,
        _NEWEST,
        "seccomp-default",
        True,
        "containers get the runtime's seccomp profile unless they ask for another",
        "CIS 4.2.14 from cis-1.11",
    ),
)
"""First and last minor, flag, value, reason and source of each measure."""
