"""The names that users import from the package itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import pytest_kubecluster

TYPED_TEST = """
    from collections.abc import Mapping

    import pytest

    from pytest_kubecluster import (
        ClusterSpec,
        KubeClusterError,
        KubeletSpec,
        KubeVersion,
        Label,
        Node,
        NodeSpec,
        SpecError,
        Taint,
    )


    def pytest_kubecluster_spec(config: pytest.Config, spec: ClusterSpec) -> ClusterSpec | None:
        return spec.with_flags({"v": "4"}, role="worker")


    def test_node(kube_node: Node, kube_nodes: tuple[Node, ...], kube_spec: ClusterSpec) -> None:
        wanted: KubeletSpec = kube_node.spec.kubelet
        node: NodeSpec = kube_spec[kube_node.name]
        version: KubeVersion = kube_spec.version
        labels: tuple[Label, ...] = wanted.labels
        taints: tuple[Taint, ...] = wanted.taints or ()
        assert kube_node.kubelet == wanted
        assert node and version and labels and taints and kube_nodes


    def test_files(kube_files: Mapping[str, Mapping[str, bytes]], kube_worker: Node) -> None:
        assert kube_files[kube_worker.name]["kubeconfig"]
        with pytest.raises((KubeClusterError, SpecError)):
            kube_worker.wait_until_healthy(0)
"""
WRONG_TEST = """
    from pytest_kubecluster import Node


    def test_node(kube_node: Node) -> None:
        assert kube_node.no_such_attribute
"""


def mypy(path: Path, text: str) -> tuple[int, str]:
    path.write_text(dedent(text))
    cache = Path(__file__).parents[2] / ".mypy_cache" / "typed-test"
    argv = [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={cache}", path.name]
    done = subprocess.run(argv, cwd=path.parent, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_strict_mypy_accepts_a_typed_test_and_rejects_a_wrong_one(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed (the extra lint)")
    status, output = mypy(tmp_path / "test_typed.py", TYPED_TEST)
    assert status == 0, output
    status, output = mypy(tmp_path / "test_wrong.py", WRONG_TEST)
    assert status == 1
    assert '"Node" has no attribute "no_such_attribute"' in output


def test_every_public_name_is_there_and_listed() -> None:
    for name in pytest_kubecluster.__all__:
        assert getattr(pytest_kubecluster, name).__name__ == name
        assert name in dir(pytest_kubecluster)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Cluster'"):
        _ = pytest_kubecluster.Cluster


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, pytest_kubecluster; print(*sorted(sys.modules))"
    modules = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert [name for name in modules if name.startswith("pytest_kubecluster.")] == []
