from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.existing.role_patterns import RolePatterns
from pytest_kubecluster.machines.existing.vagrantfile import parse_ssh_config, read_vagrantfile

PATTERNS = RolePatterns()
MACHINES = """\
Vagrant.configure("2") do |config|
  config.vm.provider(:docker)
  {names}.each {{ |name| config.vm.define(name) }}
end
"""

needs_vagrant = pytest.mark.skipif(not shutil.which("vagrant"), reason="Vagrant is not installed")


@needs_vagrant
def test_machines_and_their_states(tmp_path: Path) -> None:
    (tmp_path / "Vagrantfile").write_text(MACHINES.format(names="%w[master1 worker1 worker9 lb]"))
    own = read_vagrantfile(tmp_path, RolePatterns.parse("worker9=none"))
    assert [(m.name, m.role) for m in own.machines] == [
        ("master1", "master"),
        ("worker1", "worker"),
    ]
    assert (own.running, own.to_create, own.to_start) == ((), ("master1", "worker1"), ())
    assert own.without_address == ("master1", "worker1")
    assert own.explain_left_out() == "left out because no role matches the name (--kube-roles): lb"


@needs_vagrant
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Vagrant.configure('2') do |config\n", "syntax error"),
        ("raise 'boom'\n", "boom"),
        (
            "Vagrant.configure('2') { |c| c.vm.provider :docker }\n",
            "no machine that is a master or a worker: default",
        ),
        (MACHINES.format(names="%w[redis-master db]"), "worker: redis-master, db.*--kube-roles="),
        (MACHINES.format(names="[]"), "no machine that is a master or a worker: default"),
    ],
)
def test_unusable_vagrantfile_is_explained(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "Vagrantfile").write_text(text)
    with pytest.raises(KubeClusterError, match=f"(?s){message}") as raised:
        read_vagrantfile(tmp_path, PATTERNS)
    assert str(tmp_path) in str(raised.value)


@needs_vagrant
@pytest.mark.parametrize(
    "printed",
    ["Using box debian/bookworm64", "Ready.", "-" * 40, "box: debian, nodes: 2, network: 10.20/16"],
    ids=["no comma", "one word", "rule", "commas"],
)
def test_vagrantfile_that_prints(printed: str, tmp_path: Path) -> None:
    (tmp_path / "Vagrantfile").write_text(
        f'puts "{printed}"\n' + MACHINES.format(names="%w[k8s-master k8s-worker-1]")
    )
    own = read_vagrantfile(tmp_path, PATTERNS)
    assert own.to_create == ("k8s-master", "k8s-worker-1")


def test_vagrantfile_of_a_folder_above_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "Vagrantfile").write_text(MACHINES.format(names="%w[master1]"))
    (tmp_path / "below").mkdir()
    with pytest.raises(KubeClusterError, match=r"there is no Vagrantfile in .*below"):
        read_vagrantfile(tmp_path / "below", PATTERNS)
    with pytest.raises(KubeClusterError, match=r"Vagrantfile is a file; name the folder it is in"):
        read_vagrantfile(tmp_path / "Vagrantfile", PATTERNS)


def test_missing_vagrant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Vagrantfile").write_text(MACHINES.format(names="%w[master1]"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KubeClusterError, match="vagrant is not on the PATH; install it: "):
        read_vagrantfile(tmp_path, PATTERNS)


@needs_vagrant
def test_machine_that_vagrant_up_would_not_boot(tmp_path: Path) -> None:
    (tmp_path / "Vagrantfile").write_text(
        MACHINES.format(names="%w[k8s-master k8s-worker-1]").replace(
            "end\n",
            '  config.vm.define("k8s-worker-spare", autostart: false)\n'
            '  config.vm.define("k8s-worker-2", autostart: true)\n'
            '  config.vm.define("lb", autostart: false)\nend\n',
        )
    )
    own = read_vagrantfile(tmp_path, PATTERNS)
    assert own.to_create == ("k8s-master", "k8s-worker-1", "k8s-worker-2")
    assert own.explain_left_out() == (
        "left out because no role matches the name (--kube-roles): lb; "
        "not booted because of autostart: false: k8s-worker-spare"
    )


def fake_vagrant(
    folder: Path, monkeypatch: pytest.MonkeyPatch, status: str, autostart: str
) -> None:
    program = folder / "vagrant"
    program.write_text(
        "#!/bin/sh\n"
        f"case $1 in status) printf '{status}' ;; list-commands) printf '{autostart}' ;; esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_machine_without_autostart_is_used_if_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Vagrantfile").write_text("")
    states = {"master1": "running", "worker1": "running", "worker2": "poweroff"}
    status = "".join(f"1,{name},state,{state}\\n" for name, state in states.items())
    autostart = "1,worker1,autostart,false\\n1,worker2,autostart,false\\n"
    fake_vagrant(tmp_path, monkeypatch, status, autostart)
    own = read_vagrantfile(tmp_path, PATTERNS)
    assert (own.running, own.to_start) == (("master1", "worker1"), ())
    assert own.not_booted == ("worker2",)


def test_ssh_configuration_that_vagrant_prints() -> None:
    printed = """\
========================================
Ready.
Host master1
  HostName 127.0.0.1
  Port 2200
  IdentityFile /a/key
  IdentityFile "/another key"
  LogLevel FATAL
========================================

Host worker1
  HostName 127.0.0.1
"""
    assert parse_ssh_config(printed) == {
        "master1": {
            "HostName": "127.0.0.1",
            "Port": "2200",
            "IdentityFile": '/a/key\n  IdentityFile "/another key"',
        },
        "worker1": {"HostName": "127.0.0.1"},
    }
