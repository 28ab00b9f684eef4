from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kubecluster.kubelet import host_requirements as kernel
from pytest_kubecluster.kubelet.host_requirements import kernel_problems, kernel_traits
from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.spec.version import KubeVersion

SWAPS = "Filename\tType\tSize\tUsed\tPriority\n"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A host with cgroup v2 and no swap, as files."""
    monkeypatch.setattr(kernel, "_CGROUP_V2", tmp_path / "cgroup.controllers")
    monkeypatch.setattr(kernel, "_SWAPS", tmp_path / "swaps")
    (tmp_path / "cgroup.controllers").touch()
    (tmp_path / "swaps").write_text(SWAPS)
    return tmp_path


def problems(version: str, **tolerated: bool) -> list[str]:
    spec = cluster_spec(version=KubeVersion.parse(version), **tolerated)  # type: ignore[arg-type]
    return list(kernel_problems(spec, real=True))


def test_traits(host: Path) -> None:
    assert kernel_traits() == frozenset()
    (host / "cgroup.controllers").unlink()
    assert kernel_traits() == {"cgroup-v1"}
    (host / "swaps").write_text(SWAPS + "/dev/vda2 partition 1 0 -2\n")
    assert kernel_traits() == {"cgroup-v1", "swap"}


def test_old_kubelets_do_not_run_on_cgroup_v2(host: Path) -> None:
    (problem,) = problems("1.18.20")
    assert problem.startswith("kubelet 1.18.20 cannot run here: this host has cgroup v2")
    assert "--kube-kubelet=hollow" in problem
    assert problems("1.19.0") == []


def test_new_kubelets_refuse_cgroup_v1_unless_allowed(host: Path) -> None:
    (host / "cgroup.controllers").unlink()
    assert problems("1.34.0") == []
    (problem,) = problems("1.35.0")
    assert "this host has cgroup v1" in problem
    assert "--kube-tolerate=cgroup-v1" in problem
    assert problems("1.35.0", cgroup_v1=True) == []


def test_own_flag_counts_as_well(host: Path) -> None:
    (host / "cgroup.controllers").unlink()
    spec = cluster_spec(version=KubeVersion.parse("1.36"))
    assert list(kernel_problems(spec.with_flags({"fail-cgroupv1": "false"}), real=True)) == []


def test_kubelets_refuse_swap_unless_allowed(host: Path) -> None:
    (host / "swaps").write_text(SWAPS + "/dev/vda2 partition 1 0 -2\n")
    (host / "cgroup.controllers").unlink()
    assert problems("1.7.5") == []
    (problem,) = problems("1.8.0")
    assert "swapoff -a" in problem
    assert "--kube-tolerate=swap" in problem
    assert problems("1.8.0", swap=True) == []
