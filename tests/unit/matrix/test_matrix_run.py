from __future__ import annotations

import pytest

from pytest_kubecluster.cli.matrix import _layouts
from pytest_kubecluster.cluster.config import Settings
from pytest_kubecluster.cluster.sources import Download, Libvirt
from pytest_kubecluster.layouts.cluster import OLDEST_OF, cluster_spec
from pytest_kubecluster.matrix.run import kernel_problem, read_versions
from pytest_kubecluster.report.results import Column
from pytest_kubecluster.spec.version import KubeVersion

OLD, NEW = (KubeVersion.parse(text) for text in ("1.7.5", "1.30.0"))


def test_versions_are_read_once_each() -> None:
    assert read_versions(["1.7.5", "v1.7.5", "1.30"]) == [OLD, NEW]
    assert len(read_versions(["all", "1.7.5"])) == 31
    assert len(read_versions(["all"], OLDEST_OF["kubeadm"])) == 26


@pytest.mark.parametrize("words", [["1.6.0"], ["1.7.5", "newest"], ["1.30.0-rc.1"]])
def test_invalid_version(words: list[str]) -> None:
    with pytest.raises(ValueError, match=words[-1]):
        read_versions(words)


@pytest.mark.parametrize(
    ("first", "version", "problem"),
    [
        ("1.7.5", "1.30.0", ""),
        ("1.7.5", "1.36.0", "booted for 1.7.5 with cgroup v1, on which this version does not run"),
        ("1.30.0", "1.7.5", "booted for 1.30.0 with cgroup v2, on which this version does not run"),
        ("1.30.0", "1.36.0", ""),
    ],
)
def test_kubelet_that_virtual_machines_have_the_wrong_kernel_for(
    first: str, version: str, problem: str
) -> None:
    settings = Settings(KubeVersion.parse(version), machines=Libvirt(), kubelet=Download())
    spec = cluster_spec(version=KubeVersion.parse(version))
    assert problem in (said := kernel_problem(spec, settings, KubeVersion.parse(first)))
    assert bool(said) is bool(problem)


def test_column_is_named_after_its_version_and_layout() -> None:
    assert (Column(NEW).number, Column(NEW).tag) == ("1.30.0", "v1.30.0")
    assert Column(NEW, layout="kubeadm").number == "1.30.0 kubeadm"
    assert Column(NEW, layout="kubeadm").tag == "v1.30.0 kubeadm"


def test_layouts_of_a_matrix() -> None:
    several = ["--kube-layout=classic,kubeadm", "--kube-masters=1", "--kube-layout=kubeadm"]
    assert _layouts(several) == (["classic", "kubeadm"], ["--kube-masters=1"])
    assert _layouts(["--kube-masters=1"]) == ([], ["--kube-masters=1"])
    with pytest.raises(pytest.UsageError, match=r"--kube-layout: invalid choice 'found' .choose"):
        _layouts(["--kube-layout=found"])
