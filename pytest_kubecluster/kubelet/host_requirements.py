"""What kubelets require of the kernel, which container nodes share with this host."""

from __future__ import annotations

from collections.abc import Iterator, Set
from pathlib import Path

from pytest_kubecluster.spec.model import ClusterSpec, KubeletSpec
from pytest_kubecluster.spec.version import NEWEST, OLDEST, KubeVersion

CGROUP_V1, SWAP = "cgroup-v1", "swap"
TOLERABLE = (CGROUP_V1, SWAP)

_RUNS_ON_CGROUP_V2 = 19
_REFUSES_CGROUP_V1 = 35
_REFUSES_SWAP = 8

_CGROUP_V2 = Path("/sys/fs/cgroup/cgroup.controllers")
_SWAPS = Path("/proc/swaps")


def kernel_traits() -> frozenset[str]:
    """Return which of TOLERABLE this host has."""
    traits = set()
    if not _CGROUP_V2.exists():
        traits.add(CGROUP_V1)
    if _SWAPS.exists() and len(_SWAPS.read_text().splitlines()) > 1:
        traits.add(SWAP)
    return frozenset(traits)


def kernel_summary() -> str:
    """Return what this host's kernel means for real kubelets in containers."""
    traits, oldest, newest = kernel_traits(), f"1.{OLDEST}", f"1.{NEWEST}"
    last = f"1.{_REFUSES_CGROUP_V1 - 1}"
    runs = f"real kubelets {oldest} to {last}, newer ones with --kube-tolerate={CGROUP_V1}"
    if CGROUP_V1 not in traits:
        runs = f"real kubelets 1.{_RUNS_ON_CGROUP_V2} to {newest}"
    swap = f"swap on (real kubelets with --kube-tolerate={SWAP})" if SWAP in traits else "no swap"
    return f"cgroup {'v1' if CGROUP_V1 in traits else 'v2'}: {runs}; {swap}"


def machine_traits(version: KubeVersion) -> frozenset[str]:
    """Return which of TOLERABLE a virtual machine has if it was booted for that version."""
    return frozenset({CGROUP_V1} if needs_cgroup_v1(version) else ())


def needs_cgroup_v1(version: KubeVersion) -> bool:
    """Return whether a kubelet of that version supports cgroup v1 only."""
    return version.minor < _RUNS_ON_CGROUP_V2


def kernel_problems(spec: ClusterSpec, *, real: bool) -> Iterator[str]:
    """Yield why the nodes of ``spec`` would not run on this host, each reason with the way out.

    A hollow kubelet, not a ``real`` one, runs on any kernel.
    """
    if not real:
        return
    yield from kubelet_problems(spec, kernel_traits())


def kubelet_problems(spec: ClusterSpec, traits: Set[str]) -> Iterator[str]:
    """Yield why real kubelets of ``spec`` would not run on a kernel with these ``traits``."""
    found = (problem for node in spec for problem in _problems(node.kubelet, traits))
    yield from dict.fromkeys(found)


def _problems(kubelet: KubeletSpec, traits: Set[str]) -> Iterator[str]:
    number, minor = kubelet.version.number, kubelet.version.minor
    settings = kubelet.settings
    if CGROUP_V1 not in traits and needs_cgroup_v1(kubelet.version):
        yield (
            f"kubelet {number} cannot run here: this host has cgroup v2, and kubelets older than "
            f"1.{_RUNS_ON_CGROUP_V2} support cgroup v1 only; boot the host with "
            "systemd.unified_cgroup_hierarchy=0, or use a newer version or --kube-kubelet=hollow"
        )
    strict = minor >= _REFUSES_CGROUP_V1 and settings.get("fail-cgroupv1") != "false"
    if CGROUP_V1 in traits and strict:
        yield (
            f"kubelet {number} refuses to run here: this host has cgroup v1; allow it with "
            f"--kube-tolerate={CGROUP_V1} (which sets failCgroupV1: false), boot the host with "
            "cgroup v2, or use --kube-kubelet=hollow"
        )
    if SWAP in traits and minor >= _REFUSES_SWAP and settings.get("fail-swap-on") != "false":
        yield (
            f"kubelet {number} refuses to run here: this host has swap on; turn it off (swapoff "
            f"-a), allow it with --kube-tolerate={SWAP} (which sets failSwapOn: false), or use "
            "--kube-kubelet=hollow"
        )
