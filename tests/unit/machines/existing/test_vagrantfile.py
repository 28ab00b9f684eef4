from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.existing.role_patterns import RolePatterns
from pytest_kubecluster.machines.existing.vagrantfile import read_ssh_config, read_vagrantfile

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
    assert own.explain_left_out() == "left out because the name tells no role: lb (--kube-roles)"


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
def test_vagrantfile_that_cannot_be_used_is_named(text: str, message: str, tmp_path: Path) -> None:
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


def test_folder_without_a_vagrantfile_is_not_one_above(tmp_path: Path) -> None:
    (tmp_path / "Vagrantfile").write_text(MACHINES.format(names="%w[master1]"))
    (tmp_path / "below").mkdir()
    with pytest.raises(KubeClusterError, match=r"there is no Vagrantfile in .*below"):
        read_vagrantfile(tmp_path / "below", PATTERNS)
    with pytest.raises(KubeClusterError, match=r"Vagrantfile is a file; name the folder it is in"):
        read_vagrantfile(tmp_path / "Vagrantfile", PATTERNS)


def test_missing_vagrant_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Vagrantfile").write_text(MACHINES.format(names="%w[master1]"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KubeClusterError, match="vagrant is not on the PATH; install it with: "):
        read_vagrantfile(tmp_path, PATTERNS)


def test_what_vagrant_says_of_ssh() -> None:
    said = """\
Host master1
  HostName 127.0.0.1
  Port 2200
  IdentityFile /a/key
  IdentityFile "/another key"
  LogLevel FATAL

Host worker1
  HostName 127.0.0.1
"""
    assert read_ssh_config(said) == {
        "master1": {
            "HostName": "127.0.0.1",
            "Port": "2200",
            "IdentityFile": '/a/key\n  IdentityFile "/another key"',
        },
        "worker1": {"HostName": "127.0.0.1"},
    }
