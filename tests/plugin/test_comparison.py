"""How a failed ``node.kubelet == node.spec.kubelet`` is shown: whole, without -vv."""

from __future__ import annotations

import pytest

TEST = """
    from pytest_kubecluster.layouts.cluster import cluster_spec
    from pytest_kubecluster.nodes.kubelet import Kubelet
    from pytest_kubecluster.nodes.verdict import Difference, Evidence

    NODE = cluster_spec().nodes[0]

    class Fake(Kubelet):
        def __init__(self):
            pass

        spec = NODE

        def differences(self, spec):
            found = [Difference(f"--flag-{{n}}", "right", "wrong", Evidence.PROCESS, "the spec") for n in range({number})]
            return found

    def test_it(kube_spec):
        assert Fake() == NODE.kubelet
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.delenv("CI", raising=False)

    def run(number: int) -> list[str]:
        pytester.makepyfile(TEST.format(number=number))
        result = pytester.runpytest("--kube-cluster")
        result.assert_outcomes(failed=1)
        return result.outlines

    return run


def test_short_table_is_the_explanation(run) -> None:  # type: ignore[no-untyped-def]
    lines = run(2)
    rows = [line.split() for line in lines if "--flag-" in line]
    assert rows == [["E", f"--flag-{n}", "right", "wrong"] for n in range(2)]
    assert any("the kubelet does not match its spec: 2 differences" in line for line in lines)


def test_long_table_is_below_the_failure_as_a_whole(run) -> None:  # type: ignore[no-untyped-def]
    lines = run(30)
    assert any("30 differences, listed below" in line for line in lines)
    rows = [line.split() for line in lines if "--flag-" in line]
    assert rows == [[f"--flag-{n}", "right", "wrong", "the", "spec"] for n in range(30)]
    assert not any("-vv" in line for line in lines)
