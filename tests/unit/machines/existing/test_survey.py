from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest
import tomlkit

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.access import Access
from pytest_kubecluster.machines.existing.survey import (
    Reach,
    Survey,
    address_missing,
    ask_machine,
    parse_survey,
    python_missing,
    survey_machine,
    survey_machines,
)
from pytest_kubecluster.machines.ssh import Ssh
from pytest_kubecluster.spec.parts import NO_ADDRESS

VIRTUALBOX = """\
user 1000
connection 10.0.2.2 50812 10.0.2.15 22
sudo installed
sudo free
unusable /usr/bin/python3
python /usr/bin/python3.11
node-ip 172.17.5.101
route default via 10.0.2.2 dev eth0 proto dhcp src 10.0.2.15 metric 1024
address 2: eth0    inet 10.0.2.15/24 brd 10.0.2.255 scope global dynamic eth0
address 3: eth1    inet 172.17.5.101/24 brd 172.17.5.255 scope global eth1
address 4: docker0    inet 172.18.0.1/16 brd 172.18.255.255 scope global docker0
address 3: eth1    inet6 fd00::101/64 scope global
"""
CLOUD = """\
user 0
connection 203.0.113.9 50812 10.1.0.7 22
python /usr/bin/python3
route default via 10.1.0.1 dev ens5
address 2: ens5    inet 10.1.0.7/20 scope global ens5
"""


def parsed(text: str) -> Survey:
    seen = parse_survey(text)
    assert seen is not None
    return seen


def test_lines_of_a_machine() -> None:
    seen = parsed(VIRTUALBOX)
    assert (seen.is_root, seen.sudo_is_installed, seen.sudo_is_free) == (False, True, True)
    assert (seen.python, seen.unusable_pythons) == ("/usr/bin/python3.11", ("/usr/bin/python3",))
    assert (seen.server, seen.node_ip) == (ip_address("10.0.2.15"), ip_address("172.17.5.101"))
    assert seen.default_interface == "eth0"
    assert [str(address) for address in seen.addresses] == [
        "10.0.2.15 on eth0",
        "172.17.5.101 on eth1",
        "172.18.0.1 on docker0",
        "fd00::101 on eth1",
    ]


def test_lines_of_something_else() -> None:
    assert parse_survey("This account is currently not available.\n") is None


def test_first_node_ip_of_a_dual_stack_kubelet() -> None:
    assert parsed("user 0\nnode-ip 10.0.0.1,2001:db8::1\n").node_ip == ip_address("10.0.0.1")


@dataclass(frozen=True)
class FakeSsh(Ssh):
    """Machines that print what is given instead of running a command."""

    config: Path = Path("/nonexistent")
    printed: dict[str, str] = field(default_factory=dict)
    host: str = "node.example.org"
    sudo_takes: str = ""
    refused: frozenset[str] = frozenset()
    calls: list[str] = field(default_factory=list)

    def run(
        self, node: str, command: Sequence[str], *, timeout: float, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        if command[0] == "sudo":
            right = stdin.decode().strip() == self.sudo_takes
            return subprocess.CompletedProcess(command, 0 if right else 1, b"", b"Sorry.\n")
        return subprocess.CompletedProcess(command, 0, self.printed[node].encode(), b"")

    def connect_now(self, node: str) -> None:
        self.calls.append(f"connect {node}")
        if node in self.refused:
            raise KubeClusterError(f"{node} cannot be reached over ssh: Permission denied")

    def disconnect(self, node: str) -> None:
        self.calls.append(f"disconnect {node}")

    def hostname(self, node: str) -> str:
        return self.host

    def user(self, node: str) -> str:
        return "op"


@pytest.mark.parametrize(
    ("text", "host", "address"),
    [
        (VIRTUALBOX, "127.0.0.1", "172.17.5.101"),
        (VIRTUALBOX, "localhost", "172.17.5.101"),
        (CLOUD, "198.51.100.7", "10.1.0.7"),
        (CLOUD + "address 3: ens6    inet 10.9.0.7/20 scope global ens6\n", "w-1", "10.1.0.7"),
    ],
)
def test_address_behind_nat_and_by_name(text: str, host: str, address: str) -> None:
    seen = survey_machine(FakeSsh(printed={"a": text}, host=host), "a", Reach({}))
    assert (str(seen.address), seen.problem) == (address, "")


def test_interface_of_vagrant_is_not_the_nodes() -> None:
    text = VIRTUALBOX.replace("node-ip 172.17.5.101\n", "")
    ssh = FakeSsh(printed={"a": text}, host="192.168.121.5")
    assert str(survey_machine(ssh, "a", Reach({}, by_vagrant=True)).address) == "172.17.5.101"
    assert str(survey_machine(ssh, "a", Reach({})).address) == "10.0.2.15"


def test_machine_with_ipv6_only() -> None:
    text = (
        "user 0\nconnection ::1 1 2001:db8::7 22\naddress 2: e inet6 2001:db8::7/64 scope global\n"
    )
    seen = survey_machine(FakeSsh(printed={"a": text}), "a", Reach({}))
    assert (str(seen.address), seen.address_problem) == ("2001:db8::7", "")


NO_SUDO = CLOUD.replace("user 0", "user 1000")
ASKS = NO_SUDO + "sudo installed\n"
SAYS = "sudo-says sudo: {}\n"


@pytest.mark.parametrize(
    ("text", "own", "given", "password", "problem"),
    [
        (CLOUD, "wrong", "", "", ""),
        (NO_SUDO, "", "", "", "a: op is not root and sudo is not installed; log in as root"),
        (ASKS + "sudo free\n", "wrong", "", "", ""),
        (ASKS, "", "", "", "a: sudo asks for a password; set ansible_become_password in the inv"),
        (ASKS + SAYS.format("a password is required"), "right", "", "right", ""),
        (ASKS + SAYS.format("you must have a tty"), "x", "", "", "a: sudo does not run: sudo: you"),
        (ASKS, "right", "wrong", "right", ""),
        (ASKS, "", "right", "right", ""),
        (ASKS, "", "wrong", "", "a: sudo refuses the password: Sorry."),
    ],
)
def test_password_of_sudo(text: str, own: str, given: str, password: str, problem: str) -> None:
    ssh = FakeSsh(printed={"a": text}, sudo_takes="right")
    seen = survey_machine(ssh, "a", Reach({}, sudo_password=own), sudo_password=given)
    assert (seen.sudo_password, seen.problem[: len(problem) or None]) == (password, problem)
    assert "right" not in repr(seen)


def test_login_shell_that_runs_no_commands_is_explained() -> None:
    ssh = FakeSsh(printed={"a": "This account is currently not available.\n"})
    assert survey_machine(ssh, "a", Reach({})).problem == (
        "a: the login shell of op does not run commands: This account is currently not available."
    )


def test_failure_of_one_machine_is_its_own() -> None:
    ssh = FakeSsh(printed={"a": CLOUD, "c": CLOUD}, refused=frozenset(["b"]))
    reach = {"a": Reach({}), "b": Reach({}, hint=" (a hint)"), "c": Reach({})}
    seen = survey_machines(ssh, reach, forks=2, keep_connections=False)
    assert {name: one.problem for name, one in seen.items()} == {
        "a": "",
        "b": "b cannot be reached over ssh: Permission denied (a hint)",
        "c": "",
    }
    assert [call for call in ssh.calls if call.startswith("dis")] != []
    assert not [
        call
        for call in FakeSsh(printed={"a": CLOUD}).calls
        if survey_machines(ssh, {"a": Reach({})}, forks=1) and call.startswith("dis")
    ]


def test_machines_are_surveyed_at_the_same_time() -> None:
    together = threading.Barrier(5, timeout=20)

    @dataclass(frozen=True)
    class Waiting(FakeSsh):
        def connect_now(self, node: str) -> None:
            together.wait()

    names = [f"worker{number}" for number in range(20)]
    ssh = Waiting(printed=dict.fromkeys(names, CLOUD))
    seen = survey_machines(ssh, {name: Reach({}) for name in names}, forks=5)
    assert [*seen] == names
    assert {one.problem for one in seen.values()} == {""}


def test_access_has_the_survey_result() -> None:
    brought = Access("config", "files", python="/opt/python/bin/python3")
    seen = replace(parsed(CLOUD), sudo_password="x")
    assert seen.access(brought) == replace(
        brought, is_root=True, python="/usr/bin/python3", sudo_password="x"
    )
    assert Survey(problem="no").access(brought) == replace(brought, problem="no")


def test_advice_about_a_missing_address_is_valid_toml() -> None:
    name = "cp-1.k8s.example.org"
    seen = Survey(address_problem="cannot tell which address is the node's: 10.0.0.1 on eth0, …")
    message = address_missing(name, seen, Reach({}), NO_ADDRESS)
    said, _, advice = message.partition("write in kubecluster.toml:\n")
    assert said == (
        f"{name}: cannot tell which address is the node's: 10.0.0.1 on eth0, …\n"
        "  set private_ipv4 in the inventory, or "
    )
    assert tomlkit.parse(advice).unwrap() == {"node": {name: {"address": "ADDRESS"}}}
    assert "[node.cp-1]" in address_missing("cp-1", seen, Reach({}), NO_ADDRESS)


def test_address_that_ssh_connects_to_has_to_be_the_machines() -> None:
    presumed = IPv4Address("172.24.4.9")
    seen = replace(parsed(CLOUD), address=IPv4Address("10.1.0.7"))
    message = address_missing("a", seen, Reach({}, presumed=presumed), presumed)
    assert (
        "172.24.4.9, which ssh connects to, is not an address of the machine: 10.1.0.7" in message
    )
    assert message.endswith('  [node.a]\n  address = "10.1.0.7"')
    assert address_missing("a", seen, Reach({}), presumed) == ""
    assert address_missing("a", seen, Reach({}, presumed=presumed), IPv4Address("10.1.0.8")) == ""
    own = IPv4Address("10.1.0.7")
    assert address_missing("a", seen, Reach({}, presumed=own), own) == ""


def test_missing_python_is_explained() -> None:
    message = python_missing(
        "w-1", Survey(unusable_pythons=("/usr/bin/python3",)), provisions=False
    )
    assert message == (
        "w-1: no Python 3.9 or newer was found on the machine; /usr/bin/python3 cannot be used\n"
        "  install one, set ansible_python_interpreter in the inventory"
    )
    assert "--kube-python=TARBALL" in python_missing("w-1", Survey(), provisions=True)


@dataclass(frozen=True)
class Here(Ssh):
    """No machine but this one."""

    config: Path = Path("/nonexistent")
    path: str = ""

    def run(
        self, node: str, command: Sequence[str], *, timeout: float, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        environment = {"PATH": f"{self.path}:/usr/sbin:/usr/bin:/sbin:/bin"}
        return subprocess.run(
            list(command),
            input=stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
            env=environment,
        )


def python(path: Path, status: int) -> str:
    """Make a program that ends as a Python does when it is asked whether it is too old."""
    path.write_text(f"#!/bin/sh\nexit {status}\n")
    path.chmod(0o755)
    return str(path)


def test_python_of_the_inventory_comes_first_if_it_is_usable(tmp_path: Path) -> None:
    here = Here(path=str(tmp_path))
    assert ask_machine(here, "node", sys.executable).python == sys.executable
    python(tmp_path / "python3.9", 0)
    assert ask_machine(here, "node", "python3.9").python == str(tmp_path / "python3.9")
    old = python(tmp_path / "old", 1)
    seen = ask_machine(here, "node", old)
    assert seen.python == ask_machine(here, "node").python != old
    assert old in seen.unusable_pythons
    missing = ask_machine(here, "node", str(tmp_path / "none"))
    assert missing.python == ask_machine(here, "node").python


def test_newer_python_beside_an_old_one_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = python(tmp_path / "usual", 1)
    newer = python(tmp_path / "python3.11", 0)
    names = (usual, "python3.12", "python3.11", "python3")
    monkeypatch.setattr("pytest_kubecluster.machines.existing.survey._PYTHONS", names)
    seen = ask_machine(Here(path=str(tmp_path)), "node")
    assert (seen.python, seen.unusable_pythons) == (newer, (usual,))
