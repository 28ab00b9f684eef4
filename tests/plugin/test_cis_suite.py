"""Which items the CIS suite has, without a cluster; and what a waiver makes of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_kubecluster.cis.judge import judge
from pytest_kubecluster.plugin.terminal import waivers_not_needed
from pytest_kubecluster.spec.benchmarks import benchmark_for
from pytest_kubecluster.spec.version import KubeVersion

SUITE = ("-p", "no:cacheprovider", "--pyargs", "pytest_kubecluster.cis")


@pytest.mark.parametrize("version", ["1.7.5", "1.24.17", "1.36.0"])
def test_one_item_per_node_and_check(pytester: pytest.Pytester, version: str) -> None:
    options = ("--kube-masters=1", "--kube-workers=1", f"--kube-hyperkube={version}")
    result = pytester.runpytest_subprocess("--collect-only", "-q", *options, *SUITE)
    checks = benchmark_for(KubeVersion.parse(version)).checks
    expected = [f"test_cis[{node}-{one}]" for node in ("master01", "worker01") for one in checks]
    found = [line.rpartition("::")[2] for line in result.outlines if "test_cis[" in line]
    assert found == expected


def test_without_a_cluster_all_are_skipped(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("-q", "--kube-masters=1", "--kube-workers=0", *SUITE)
    result.assert_outcomes(skipped=len(benchmark_for(KubeVersion(1, 7, 5)).checks))


def test_waiver_of_an_unknown_check_is_an_error_before_anything_boots(
    pytester: pytest.Pytester,
) -> None:
    text = 'version = "1.30.0"\n[cis.waivers]\nanonymus-auth = "ours"\n'
    (pytester.path / "kubecluster.toml").write_text(text)
    result = pytester.runpytest_subprocess("--kube-cluster", *SUITE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*cis.waivers: anonymus-auth: *did you mean anonymous-auth*"])


def test_waiver_that_is_not_needed_is_named() -> None:
    waived = SimpleNamespace(nodeid="a/b.py::test_cis[worker01-4.2.1]", wasxfail="waived: ours")
    other = SimpleNamespace(nodeid="a/b.py::test_other", wasxfail="a bug")
    assert waivers_not_needed([waived, other]) == [
        "test_cis[worker01-4.2.1] passes: its waiver is not needed"
    ]


def test_node_with_another_version_than_its_spec_is_not_judged_by_the_wrong_benchmark() -> None:
    seen = SimpleNamespace(read_as=KubeVersion(1, 24, 0), said_version="v1.24.0")
    kubelet = SimpleNamespace(version=KubeVersion(1, 30, 0))
    node: Any = SimpleNamespace(name="w", kubelet=seen, spec=SimpleNamespace(kubelet=kubelet))
    with pytest.raises(AssertionError, match=r"judged by cis-1\.24, but its spec states 1\.30\.0"):
        judge(node, "4.2.1", ())
