"""Real programs of a control plane, checked before anything boots."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.kubelet.control_plane import inspect_control_plane
from pytest_kubecluster.spec.control_plane import COMPONENTS
from pytest_kubecluster.spec.version import KubeVersion


def program(path: Path, version: str, about: str = "") -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(
        f'#!/bin/sh\ncase "$*" in *--version*) echo Kubernetes {version};; *) echo "{about}";; esac\n'
    )
    path.chmod(0o755)
    return path


def folder(where: Path, version: str, **others: str) -> Path:
    for name in COMPONENTS:
        program(where / name, others.get(name.replace("-", "_"), version))
    return where


def inspect(path: Path, kubelets: str) -> KubeVersion:
    return inspect_control_plane(path, KubeVersion.parse(kubelets)).version


def test_folder_with_three_programs(tmp_path: Path) -> None:
    found = inspect_control_plane(folder(tmp_path, "v1.30.1"), KubeVersion.parse("1.30.1"))
    assert found.version.number == "1.30.1"
    assert found.commands["kube-scheduler"].endswith("/kube-scheduler")


def test_hyperkube(tmp_path: Path) -> None:
    path = tmp_path / "hyperkube"
    # As that of 1.16, which dropped the names without kube-, and whose own --version is an error.
    path.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        '"kube-apiserver --version") echo Kubernetes v1.16.15;;\n'
        '--help) echo "hyperkube: kube-apiserver";;\n'
        '*) echo "Error: unknown command"; exit 1;;\n'
        "esac\n"
    )
    path.chmod(0o755)
    found = inspect_control_plane(path, KubeVersion.parse("1.16.15"))
    assert found.commands["kube-controller-manager"].endswith("/hyperkube kube-controller-manager")
    assert inspect_control_plane(tmp_path, KubeVersion.parse("1.16.15")) == found


def test_version_in_the_path(tmp_path: Path) -> None:
    folder(tmp_path / "v1.30.1", "v1.30.1")
    assert inspect(tmp_path / "{version}", "1.30.1").number == "1.30.1"


@pytest.mark.parametrize(("server", "kubelets"), [("v1.28.0", "1.25.0"), ("v1.16.4", "1.14.0")])
def test_kubelets_may_be_older(tmp_path: Path, server: str, kubelets: str) -> None:
    assert inspect(folder(tmp_path, server), kubelets).git_version == server


@pytest.mark.parametrize(
    ("server", "kubelets", "problem"),
    [
        ("v1.29.0", "1.30.0", "a kubelet must not be newer than its API server"),
        ("v1.28.0", "1.24.0", "at most 3 minor versions older"),
        ("v1.27.0", "1.24.0", "at most 2 minor versions older"),
    ],
)
def test_skew(tmp_path: Path, server: str, kubelets: str, problem: str) -> None:
    with pytest.raises(KubeClusterError, match=problem):
        inspect(folder(tmp_path, server), kubelets)


def test_one_of_three_is_missing(tmp_path: Path) -> None:
    (folder(tmp_path, "v1.30.1") / "kube-scheduler").unlink()
    with pytest.raises(KubeClusterError, match="has no kube-scheduler"):
        inspect(tmp_path, "1.30.1")


def test_one_of_three_is_of_another_version(tmp_path: Path) -> None:
    folder(tmp_path, "v1.30.1", kube_scheduler="v1.31.0")
    with pytest.raises(KubeClusterError, match=r"kube-scheduler is v1\.31\.0"):
        inspect(tmp_path, "1.30.1")


def test_what_is_not_a_control_plane(tmp_path: Path) -> None:
    kubelet = program(tmp_path / "kubelet", "v1.30.1", "the kubelet")
    with pytest.raises(KubeClusterError, match="is not a hyperkube"):
        inspect(kubelet, "1.30.1")
    with pytest.raises(KubeClusterError, match="nothing"):
        inspect(tmp_path / "nothing", "1.30.1")
    kubelet.chmod(0o644)
    with pytest.raises(KubeClusterError, match="is not executable"):
        inspect(kubelet, "1.30.1")
