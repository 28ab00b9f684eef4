"""What kubeadm writes otherwise than before, minor by minor."""

from __future__ import annotations

from pytest_kubecluster.spec.translate import Change

_CHANGES = (
    (
        12,
        Change(
            "kubeadm-flags.env without --cni-bin-dir and --cni-conf-dir",
            "they were the defaults",
            "cmd/kubeadm/app/phases/kubelet/flags.go",
        ),
    ),
    (
        13,
        Change(
            "kubeadm-flags.env: --pod-infra-container-image",
            "kubeadm's own image registry counts for the pause image",
            "kubernetes#70603",
        ),
    ),
    (
        15,
        Change(
            "kubeadm-flags.env: its value is quoted",
            "shells can source the file",
            "kubernetes#76201",
        ),
    ),
    (
        18,
        Change(
            "config.yaml: zeros instead of defaults",
            "kubeadm no longer knows the kubelet's defaults; 0s means the default",
            "cmd/kubeadm/app/componentconfigs",
        ),
    ),
    (
        19,
        Change(
            "--cgroup-driver and --resolv-conf are in config.yaml",
            "flags of the kubelet are deprecated",
            "cmd/kubeadm/app/componentconfigs/kubelet.go",
        ),
    ),
    (
        19,
        Change(
            "kubelet.service waits for network-online.target",
            "systemd-resolved knows its servers then",
            "kubernetes/release 7a9ce59e",
        ),
    ),
    (
        21,
        Change(
            "config.yaml: cgroupDriver is systemd",
            "the container runtime has to be configured alike",
            "kubernetes#99471",
        ),
    ),
    (
        24,
        Change(
            "kubeadm-flags.env: --container-runtime-endpoint is containerd's",
            "dockershim is gone",
            "KEP-2221",
        ),
    ),
    (
        24,
        Change(
            "unit and drop-in are in /usr/lib/systemd/system, with a file /etc/default/kubelet",
            "the packages are those of pkgs.k8s.io",
            "kubernetes/release cmd/krel/templates",
        ),
    ),
    (
        25,
        Change(
            "kubeadm-flags.env: --pod-infra-container-image of registry.k8s.io",
            "the registry k8s.gcr.io is frozen",
            "CHANGELOG-1.25",
        ),
    ),
    (
        26,
        Change(
            "kubeadm-flags.env without --container-runtime",
            "remote is its only value",
            "kubernetes#112000",
        ),
    ),
    (
        27,
        Change(
            "config.yaml: containerRuntimeEndpoint, empty",
            "the new field is always written, and the flag wins",
            "KubeletConfiguration v1beta1",
        ),
    ),
    (
        33,
        Change(
            "kubelet.conf of a master names the node's own API server",
            "the gate ControlPlaneKubeletLocalMode is on",
            "kubernetes#129956, KEP-4471",
        ),
    ),
    (
        34,
        Change(
            "instance-config.yaml and config.yaml have the socket, kubeadm-flags.env has not",
            "the gate NodeLocalCRISocket is on",
            "kubernetes#131981, KEP-4656",
        ),
    ),
    (
        34,
        Change(
            "kubelet.conf without preferences",
            "the field is deprecated, and left out while it is empty",
            "kubernetes#131741",
        ),
    ),
    (
        35,
        Change(
            "kubeadm-flags.env without --pod-infra-container-image",
            "the kubelet has no such flag any more",
            "kubernetes#106893",
        ),
    ),
)
"""The first minor with a change, and the change."""


def kubeadm_changes(minor: int) -> tuple[Change, ...]:
    """Return what differs from the files of kubeadm 1.11."""
    return tuple(change for since, change in _CHANGES if since <= minor)
