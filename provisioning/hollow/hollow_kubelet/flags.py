"""The flags of the kubelet and of hyperkube."""

from __future__ import annotations

from typing import Any

from hollow_common import flags

WARNINGS = {
    "config-file": (
        "This parameter should be set via the config file specified by the Kubelet's --config "
        "flag. See https://kubernetes.io/docs/tasks/administer-cluster/kubelet-config-file/ for "
        "more information."
    ),
    "cadvisor": (
        "This is a cadvisor flag that was mistakenly registered with the Kubelet. Due to legacy "
        "concerns, it will follow the standard CLI deprecation timeline before being removed."
    ),
    **flags.LOGGING_WARNINGS,
}


ABSENT: dict[str, Any] = {
    "allow-privileged": False, "api-servers": [], "bootstrap-kubeconfig": "", "cadvisor-port": 0,
    "cloud-config": "", "cni-conf-dir": "", "config": "", "config-dir": "",
    "container-runtime": "remote", "container-runtime-endpoint": "", "enable-server": True,
    "experimental-allocatable-ignore-eviction": False,
    "experimental-allowed-unsafe-sysctls": [], "experimental-bootstrap-kubeconfig": "",
    "experimental-qos-reserved": {}, "fail-cgroupv1": False, "fail-swap-on": False,
    "host-ipc-sources": [], "host-network-sources": [], "host-pid-sources": [],
    "iptables-drop-bit": 15, "iptables-masquerade-bit": 14, "keep-terminated-pod-volumes": False,
    "network-plugin": "", "provider-id": "", "register-schedulable": True,
    "require-kubeconfig": False, "runonce": False,
}  # fmt: skip


class FlagSet(flags.FlagSet):
    """The flags of hyperkube or of its kubelet."""

    absent = ABSENT
    warnings = WARNINGS
