"""The flags of the API server: those of its version, and a few of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hollow_common import flags
from hollow_common.facts import FACTS
from hollow_common.values import PARSERS

if TYPE_CHECKING:
    from collections.abc import Mapping

OWN = {
    "cluster-signing-cert-file": ("string", ""),
    "cluster-signing-duration": ("duration", "8760h0m0s"),
    "cluster-signing-key-file": ("string", ""),
    "node-monitor-grace-period": ("duration", "0s"),
}
"""Flags of the controller manager, whose work the server does."""

USED = {
    **OWN,
    "advertise-address": ("ip", ""),
    "anonymous-auth": ("bool", "true"),
    "authorization-mode": ("stringSlice", "[AlwaysAllow]"),
    "bind-address": ("ip", "0.0.0.0"),
    "client-ca-file": ("string", ""),
    "enable-admission-plugins": ("stringSlice", "[]"),
    "admission-control": ("stringSlice", "[]"),
    "enable-bootstrap-token-auth": ("bool", "false"),
    "experimental-bootstrap-token-auth": ("bool", "false"),
    "etcd-cafile": ("string", ""),
    "etcd-certfile": ("string", ""),
    "etcd-keyfile": ("string", ""),
    "etcd-servers": ("stringSlice", "[]"),
    "kubelet-certificate-authority": ("string", ""),
    "kubelet-client-certificate": ("string", ""),
    "kubelet-client-key": ("string", ""),
    "kubelet-preferred-address-types": ("stringSlice", "[]"),
    "secure-port": ("int", "6443"),
    "service-cluster-ip-range": ("string", "10.0.0.0/24"),
    "tls-cert-file": ("string", ""),
    "tls-private-key-file": ("string", ""),
    "v": ("Level", "0"),
    "version": ("version", "false"),
}
"""Flags that change what the server does, with type and default; all others change nothing."""


ZEROS = {
    "bool": "false",
    "duration": "0s",
    "float64": "0",
    "int": "0",
    "int32": "0",
    "int64": "0",
    "stringSlice": "[]",
    "uint": "0",
    "version": "false",
}

ABSENT: dict[str, Any] = {
    "enable-admission-plugins": [],
    "enable-bootstrap-token-auth": False,
    "experimental-bootstrap-token-auth": False,
}


class FlagSet(flags.FlagSet):
    """The flags of the API server of a version."""

    absent = ABSENT
    warnings = flags.LOGGING_WARNINGS

    @classmethod
    def known(cls) -> Mapping[str, tuple[str, str, str | None, bool, str]]:
        """Return each flag's type, default, deprecation, whether help hides it, and its origin."""
        of_version = {**dict.fromkeys(OWN, ("string", None)), **FACTS["flags"]}
        known = {}
        for name, (collected, warning) in sorted(of_version.items()):
            # A value that changes nothing, and of a type that only the real server knows, is text.
            kind = collected if collected in PARSERS else "string"
            kind, default = USED.get(name, (kind, ZEROS.get(kind, "")))
            known[name] = kind, default, warning, warning is not None, "server"
        return known
