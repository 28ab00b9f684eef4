from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.vagrant import VANISHED, Vagrant
from pytest_kubecluster.util.process import Commands


@pytest.mark.parametrize(
    ("said", "vanished"),
    [
        ("Stderr: Error response from daemon: network kubecluster-p1-46304c not found", True),
        ("Error response from daemon: No such container: 4f1f", True),
        ("Error: No such network: 0b2c", True),
        ("Stderr: Error: No such object: 5a56ed4771c1", True),
        ("no such box", False),
        ("Error: command docker not found", False),
    ],
)
def test_object_that_another_run_removed_is_recognised(said: str, vanished: bool) -> None:
    assert bool(VANISHED.search(said)) is vanished


def test_progress_bar_is_reported_as_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vagrant = tmp_path / "vagrant"
    vagrant.write_text(
        "#!/bin/sh\nprintf '\\033[KProgress: 1%%\\033[KProgress: 2%%\\033[KDone\\n'\n"
    )
    vagrant.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    said: list[str] = []
    Vagrant(tmp_path, Commands(tmp_path), env=os.environ, timeout=20, on_line=said.append).boot()
    assert said == ["Done"]


def fake_vagrant(folder: Path, monkeypatch: pytest.MonkeyPatch, output: str, status: int) -> None:
    (folder / "output").write_text(output)
    program = folder / "vagrant"
    program.write_text(f"#!/bin/sh\ncat '{folder / 'output'}'\nexit {status}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def asked(folder: Path) -> Vagrant:
    return Vagrant(folder, None, env=os.environ, timeout=20)


STATUS = """\
Using box debian/bookworm64
1,2
1795611339,k8s-master,metadata,provider,docker
1795611339,,ui,warn,A new version is there%!(VAGRANT_COMMA) state: 2.4
1795611339,k8s-master,provider-name,docker
1795611339,k8s-worker-1,provider-name,docker
box: debian, nodes: 2, network: 10.20.0.0/24
1795611339,k8s-master,state,not_created
1795611339,k8s-master,state-human-long,It runs%!(VAGRANT_COMMA)\\nnot.
1795611339,k8s-worker-1,state,running
"""


def test_status_skips_what_a_vagrantfile_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_vagrant(tmp_path, monkeypatch, STATUS, 0)
    assert [tuple(status) for status in asked(tmp_path).status()] == [
        ("k8s-master", "not_created", "docker"),
        ("k8s-worker-1", "running", "docker"),
    ]


def test_ssh_config_skips_what_a_vagrantfile_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = "Host a\\n  HostName 10.0.0.2\\n  ProxyCommand x %h%!(VAGRANT_COMMA)%p\\n"
    raw = config.replace("\\n", "\n").replace("%!(VAGRANT_COMMA)", ",")
    fake_vagrant(tmp_path, monkeypatch, f"=====\n1,a,ssh-config,{config}\n{raw}\n", 0)
    assert asked(tmp_path).ssh_config("a") == raw


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (
            "NoDefaultProvider,No usable provider.\\n\\nIt relies on systems%!(VAGRANT_COMMA) such.",
            [
                "Vagrantfile: Vagrant has no usable provider for these machines on this host",
                "  name one in the Vagrantfile (config.vm.provider :docker), set VAGRANT_DEFAULT",
                "    It relies on systems, such.",
            ],
        ),
        (
            "ProviderNotFound,The provider 'vmware' could not be found.",
            ["  name one in the Vagrantfile", "    The provider 'vmware' could not be found."],
        ),
        (
            "LocalDataDirectoryNotAccessible,Not writable:\\n\\n  /a%!(VAGRANT_COMMA)b",
            ["Vagrantfile: vagrant status failed:", "    Not writable:\n\n      /a,b"],
        ),
    ],
)
def test_errors_of_vagrant_are_decoded(
    error: str, lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = error.partition(",")[2]
    output = f"1,,ui,error,{text}\n1,,error-exit,Vagrant::Errors::{error}\n"
    fake_vagrant(tmp_path, monkeypatch, output, 1)
    with pytest.raises(KubeClusterError) as raised:
        asked(tmp_path).status()
    said = str(raised.value)
    assert "VAGRANT_COMMA" not in said
    assert "\\n" not in said
    assert [line for line in lines if line not in said] == []
