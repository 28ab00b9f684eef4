"""kubectl and kubeconfig: what they give to clients of a kept cluster's API server."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kubecluster.artifacts.control_plane import admin_kubeconfig
from pytest_kubecluster.artifacts.pki import ensure_pki
from pytest_kubecluster.cli import main
from pytest_kubecluster.cluster.registry import ClusterFolder, create_cluster_folder
from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.spec.model import ControlPlaneSpec


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterFolder]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "mine"))
    made = create_cluster_folder(tmp_path, "one")
    made.keep()
    yield made
    made.sockets().rmdir()


@pytest.fixture
def with_control_plane(folder: ClusterFolder) -> ClusterFolder:
    spec = cluster_spec()
    spec = replace(spec, control_plane=ControlPlaneSpec(spec.version))
    admin_kubeconfig(spec, ensure_pki(folder.path / "pki"), folder.path / "kubeconfig")
    return folder


@pytest.mark.parametrize("command", ["kubectl", "kubeconfig"])
def test_cluster_without_a_control_plane(
    folder: ClusterFolder, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, folder.name]) == 1
    assert "has no control plane" in capsys.readouterr().err


def test_kubectl_that_is_not_installed(
    with_control_plane: ClusterFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["kubectl", with_control_plane.name, "--", "get", "nodes"]) == 1
    assert "kubectl is not installed" in capsys.readouterr().err


def test_kubectl_gets_its_arguments_and_the_kubeconfig(
    with_control_plane: ClusterFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "kubectl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$KUBECONFIG $*" >{tmp_path}/called; exit 3\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")
    assert main(["kubectl", with_control_plane.name, "--", "get", "nodes"]) == 3
    called = (tmp_path / "called").read_text().strip()
    assert called == f"{with_control_plane.path}/kubeconfig get nodes"


def test_printed_kubeconfig_needs_no_other_file(
    with_control_plane: ClusterFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["kubeconfig", with_control_plane.name]) == 0
    document = yaml.safe_load(capsys.readouterr().out)
    assert document["current-context"] == "kubecluster-one"
    assert document["users"][0]["user"].keys() == {"client-certificate-data", "client-key-data"}
    assert {one["context"]["user"] for one in document["contexts"]} == {"kubecluster-one"}


def test_merged_kubeconfig_keeps_what_was_there(
    with_control_plane: ClusterFolder, tmp_path: Path
) -> None:
    mine: dict[str, Any] = {
        "clusters": [{"name": "work", "cluster": {"server": "https://work"}}],
        "current-context": "work",
    }
    path = tmp_path / "mine"
    path.write_text(yaml.safe_dump(mine))
    path.chmod(0o644)
    for _ in range(2):
        assert main(["kubeconfig", "--merge", with_control_plane.name]) == 0
    merged = yaml.safe_load(path.read_text())
    assert [one["name"] for one in merged["clusters"]][:2] == ["work", "kubecluster-one"]
    assert len(merged["clusters"]) == 5
    assert merged["current-context"] == "kubecluster-one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_file_that_is_no_kubeconfig_is_left_as_it_is(
    with_control_plane: ClusterFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("- no kubeconfig\n")
    assert main(["kubeconfig", "--merge", with_control_plane.name]) == 1
    assert "is not a kubeconfig" in capsys.readouterr().err
    assert (tmp_path / "mine").read_text() == "- no kubeconfig\n"
