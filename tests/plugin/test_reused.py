"""A run that reuses a cluster takes the options that made it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_kubecluster.cluster.registry import ClusterFolder, create_cluster_folder
from pytest_kubecluster.plugin.options import given_options
from pytest_kubecluster.plugin.session import ClusterSession


@pytest.fixture
def demo(
    pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ClusterFolder]:
    """Return a kept cluster of this project that was made with two options."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = create_cluster_folder(pytester.path, "demo")
    folder.keep()
    folder.write(options=("--kube-masters=2", "--kube-hyperkube=1.30.0", "--kube-gone=1"))
    folder.lock.release()
    yield folder
    record = folder.read()
    assert record is not None
    shutil.rmtree(record.sockets)


def session(pytester: pytest.Pytester, *options: str) -> ClusterSession:
    pytester.makeini("[pytest]\nkube_workers = 2\nkube_hyperkube = 1.20.0\n")
    return ClusterSession(pytester.parseconfig("--kube-cluster", *options))


@pytest.mark.parametrize("reuse", ["--kube-reuse=demo", "--kube-reuse"])
def test_options_that_made_the_cluster_hold(
    reuse: str, demo: ClusterFolder, pytester: pytest.Pytester
) -> None:
    settings = session(pytester, reuse).settings
    # As if they were on the command line: over the ini file.
    assert (settings.masters, settings.workers) == (2, 2)
    assert settings.version.number == "1.30.0"


def test_options_of_the_command_line_come_first(
    demo: ClusterFolder, pytester: pytest.Pytester
) -> None:
    reusing = session(pytester, "--kube-reuse=demo", "--kube-masters=1")
    assert (reusing.settings.masters, reusing.settings.version.number) == (1, "1.30.0")
    assert given_options(reusing.config) == ("--kube-masters=1", "--kube-hyperkube=1.30.0")


@pytest.mark.parametrize("options", [(), ("--kube-reuse=other",)])
def test_other_runs_do_not_take_them(
    options: tuple[str, ...], demo: ClusterFolder, pytester: pytest.Pytester
) -> None:
    assert session(pytester, *options).settings.masters == 3


def test_options_mean_the_same_in_every_folder(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makefile(".yml", site="- hosts: all\n")
    pytester.makefile(".tgz", python="")
    monkeypatch.chdir(pytester.mkdir("sub"))
    config = pytester.parseconfig(
        "--kube-playbook=../site.yml",
        "--kube-kubelet=kubelets/{version}",
        "--kube-python=../python.tgz",
        "--kube-masters=1",
        "--kube-control-plane=hollow",
    )
    here = pytester.path / "sub"
    assert set(given_options(config)) == {
        f"--kube-playbook={here}/../site.yml",
        f"--kube-kubelet={here}/kubelets/{{version}}",
        f"--kube-python={here}/../python.tgz",
        "--kube-masters=1",
        "--kube-control-plane=hollow",
    }
