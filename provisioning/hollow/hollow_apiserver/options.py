"""The flags of the API server: cmd/kube-apiserver/app/options, and two of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hollow_common import flags

if TYPE_CHECKING:
    from collections.abc import Mapping

USED = {
    "advertise-address": ("ip", ""),
    "anonymous-auth": ("bool", "true"),
    "authorization-mode": ("stringSlice", "[AlwaysAllow]"),
    "bind-address": ("ip", "0.0.0.0"),
    "client-ca-file": ("string", ""),
    "cluster-signing-cert-file": ("string", ""),
    "cluster-signing-duration": ("duration", "8760h0m0s"),
    "cluster-signing-key-file": ("string", ""),
    "enable-admission-plugins": ("stringSlice", "[]"),
    "admission-control": ("stringSlice", "[]"),
    "enable-bootstrap-token-auth": ("bool", "false"),
    "experimental-bootstrap-token-auth": ("bool", "false"),
    "etcd-cafile": ("string", ""),
    "etcd-certfile": ("string", ""),
    "etcd-keyfile": ("string", ""),
    "etcd-servers": ("stringSlice", "[]"),
    "help": ("bool", "false"),
    "kubelet-certificate-authority": ("string", ""),
    "kubelet-client-certificate": ("string", ""),
    "kubelet-client-key": ("string", ""),
    "kubelet-preferred-address-types": ("stringSlice", "[]"),
    "node-monitor-grace-period": ("duration", "0s"),
    "secure-port": ("int", "6443"),
    "service-cluster-ip-range": ("string", "10.0.0.0/24"),
    "tls-cert-file": ("string", ""),
    "tls-private-key-file": ("string", ""),
    "v": ("Level", "0"),
    "version": ("version", "false"),
}
"""Flags that change what the server does, with type and default.

The controller manager's, cluster-signing-… and node-monitor-grace-period, are here as the server
does its work.
"""

BOOLEANS = (
    "alsologtostderr", "allow-privileged", "contention-profiling",
    "enable-aggregator-routing", "enable-garbage-collector", "enable-priority-and-fairness",
    "etcd-quorum-read", "kubelet-https", "logtostderr", "one-output", "profiling",
    "repair-malformed-updates", "service-account-extend-token-expiration",
    "service-account-lookup", "watch-cache",
)  # fmt: skip
TEXTS = (
    "admission-control-config-file", "api-audiences", "apiserver-count", "audit-log-maxage",
    "audit-log-maxbackup", "audit-log-maxsize", "audit-log-path", "audit-policy-file",
    "authentication-config", "authentication-token-webhook-cache-ttl",
    "authentication-token-webhook-config-file", "authorization-config",
    "authorization-webhook-config-file", "basic-auth-file", "cert-dir", "cloud-config",
    "cloud-provider", "cors-allowed-origins", "default-not-ready-toleration-seconds",
    "default-unreachable-toleration-seconds", "default-watch-cache-size",
    "delete-collection-workers",
    "disable-admission-plugins", "emulated-version", "encryption-provider-config",
    "endpoint-reconciler-type", "etcd-compaction-interval", "etcd-prefix", "event-ttl",
    "external-hostname", "feature-gates", "goaway-chance", "insecure-bind-address",
    "insecure-port", "kubelet-timeout", "lease-reuse-duration-seconds", "log-dir",
    "log-flush-frequency", "logging-format", "max-mutating-requests-inflight",
    "max-requests-inflight", "min-request-timeout", "oidc-client-id", "oidc-issuer-url",
    "proxy-client-cert-file", "proxy-client-key-file", "request-timeout",
    "requestheader-allowed-names", "requestheader-client-ca-file",
    "requestheader-extra-headers-prefix", "requestheader-group-headers",
    "requestheader-username-headers", "runtime-config", "service-account-api-audiences",
    "service-account-issuer", "service-account-jwks-uri", "service-account-key-file",
    "service-account-max-token-expiration", "service-account-signing-key-file",
    "service-node-port-range", "shutdown-delay-duration", "stderrthreshold", "storage-backend",
    "storage-media-type", "tls-ca-file", "tls-cipher-suites", "tls-min-version",
    "tls-sni-cert-key", "token-auth-file", "tracing-config-file", "vmodule", "watch-cache-sizes",
)  # fmt: skip
"""Flags of the real server that this one takes and that change nothing."""


class FlagSet(flags.FlagSet):
    """The flags of the API server."""

    @classmethod
    def known(cls) -> Mapping[str, tuple[str, str, str | None, bool, str]]:
        """Return each flag's type, default, deprecation, whether help hides it, and its origin."""
        ignored = {
            **dict.fromkeys(BOOLEANS, ("bool", "false")),
            **dict.fromkeys(TEXTS, ("string", "")),
        }
        return {
            name: (kind, default, None, False, "server")
            for name, (kind, default) in sorted({**ignored, **USED}.items())
        }
