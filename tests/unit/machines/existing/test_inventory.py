"""Inventories of every form, read by Ansible itself; no machine is asked anything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.existing.inventory import Inventory, InventoryHost, read_inventory
from pytest_kubecluster.machines.existing.role_patterns import DEFAULT_ROLES, RolePatterns
from pytest_kubecluster.spec.model import NOT_ASKED, Machine

INI = """\
[role=master]
a ansible_host=10.0.0.1
[role=worker]
b ansible_host=bastion.example.org private_ipv4=10.0.0.2
[all:vars]
ansible_user=core
"""
YAML = """\
all:
  vars: {ansible_port: 2222}
  children:
    kube_control_plane: {hosts: {10.0.0.1: {}}}
    kube_node: {hosts: {w: {ansible_host: "{{ base }}.2", base: 10.0.0}}}
    k8s_cluster: {children: {kube_control_plane: {}, kube_node: {}}}
    etcd: {hosts: {10.0.0.1: {}}}
"""
PROGRAM = """\
#!/bin/sh
echo '{"masters": {"hosts": ["a"]}, "_meta": {"hostvars": {"a": {"ansible_host": "127.0.0.1"}}}}'
"""


def read(path: Path, text: str, roles: str = DEFAULT_ROLES, mode: int = 0o644) -> Inventory:
    path.write_text(text)
    path.chmod(mode)
    return read_inventory(path, RolePatterns.parse(roles), path.parent)


def shown(inventory: Inventory) -> list[tuple[str, str, str]]:
    return [(m.name, m.role, str(m.address)) for m in inventory.machines]


def test_ini_with_the_groups_of_the_article(tmp_path: Path) -> None:
    inventory = read(tmp_path / "hosts.ini", INI)
    assert shown(inventory) == [("a", "master", "10.0.0.1"), ("b", "worker", "10.0.0.2")]
    assert [host.ssh_options for host in inventory.hosts] == [
        {"HostName": "10.0.0.1", "User": "core"},
        {"HostName": "bastion.example.org", "User": "core"},
    ]


def test_yaml_with_groups_of_groups_and_a_template(tmp_path: Path) -> None:
    inventory = read(tmp_path / "hosts.yml", YAML)
    assert shown(inventory) == [("10.0.0.1", "master", "10.0.0.1"), ("w", "worker", "10.0.0.2")]
    assert inventory.hosts[1].ssh_options == {"HostName": "10.0.0.2", "Port": "2222"}


def test_program_whose_host_must_be_asked_for_its_address(tmp_path: Path) -> None:
    inventory = read(tmp_path / "hosts.sh", PROGRAM, mode=0o755)
    assert shown(inventory) == [("a", "master", str(NOT_ASKED))]


def test_vaulted_password_is_resolved_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vault").write_text("tresor\n")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(tmp_path / "vault"))
    program = Path(sys.executable).with_name("ansible-vault")
    argv = [str(program), "encrypt_string", "geheim", "--name", "ansible_become_password"]
    vaulted = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    lines = "".join(f"      {line}\n" for line in vaulted.splitlines())
    inventory = read(tmp_path / "hosts.yml", f"masters:\n  hosts:\n    a:\n{lines}")
    assert inventory.hosts[0].sudo_password == "geheim"
    assert inventory.hosts[0].ssh_options == {}
    assert "geheim" not in repr(inventory)


def test_what_the_inventory_leaves_open_ansibles_configuration_says(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text(
        "[defaults]\nremote_user = op\nprivate_key_file = keys/op\nhost_key_checking = False\n"
        "[ssh_connection]\nssh_common_args = -J bastion\n"
    )
    inventory = read(tmp_path / "hosts", "[masters]\na\nb ansible_ssh_user=core\n")
    first, second = (host.ssh_options for host in inventory.hosts)
    assert first == {
        "User": "op",
        "IdentityFile": f'"{tmp_path}/keys/op"',
        "StrictHostKeyChecking": "no",
        "ProxyJump": "bastion",
    }
    assert second == {**first, "User": "core"}


def test_vaulted_variable_without_its_password_is_named(tmp_path: Path) -> None:
    vaulted = "!vault |\n        $ANSIBLE_VAULT;1.1;AES256\n        3132\n"
    with pytest.raises(KubeClusterError, match="no vault secrets found"):
        read(tmp_path / "hosts.yml", f"masters:\n  hosts:\n    a:\n      ansible_user: {vaulted}")


def test_roles_by_variable_group_and_name(tmp_path: Path) -> None:
    inventory = read(
        tmp_path / "hosts",
        "node1 role=master ansible_host=10.0.0.1\ncp ansible_host=10.0.0.2\nlb\n",
        "cp=master lb=none *node*=worker",
    )
    assert [(m.name, m.role) for m in inventory.machines] == [("node1", "master"), ("cp", "master")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "hosts names no host"),
        ("# nothing\n", "hosts names no host"),
        ("[masters\na\n", "hosts is no inventory that Ansible reads"),
        ("#!/bin/sh\necho no token >&2; exit 3\n", "code 3(.|\n)*no token"),
        ("all:\n  hosts:\n  - {\n", "YAML parsing failed"),
        ("lonely\n", "the host lonely has no role"),
        ("a role=none-such\n", "the host a has no role"),
        ("[masters]\na ansible_connection=docker\n", "a is not reached over ssh, but docker"),
        ("[masters]\na ansible_password=x\n", "a lets in by password"),
        ("[masters]\na ansible_ssh_extra_args='-F x'\n", "a: ansible_ssh_extra_args: -F is not"),
    ],
)
def test_what_cannot_be_used_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    with pytest.raises(KubeClusterError, match=message) as raised:
        read(path, text, "*master*=master", 0o755 if text.startswith("#!") else 0o644)
    assert str(path) in str(raised.value)


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(KubeClusterError, match="hosts cannot be read: No such file or directory"):
        read_inventory(tmp_path / "hosts", RolePatterns.parse("*=master"), tmp_path)


def host(**variables: object) -> InventoryHost:
    return InventoryHost(Machine("a", "master", NOT_ASKED), variables)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ("-J bastion", {"ProxyJump": "bastion"}),
        (
            "-o ProxyCommand='ssh -W %h:%p b' -C",
            {"ProxyCommand": "ssh -W %h:%p b", "Compression": "yes"},
        ),
        (
            "-oStrictHostKeyChecking=no -o 'User core'",
            {"StrictHostKeyChecking": "no", "User": "core"},
        ),
        (
            "-i ~/key -p 2222 -l op -4",
            {"IdentityFile": '"~/key"', "Port": "2222", "User": "op", "AddressFamily": "inet"},
        ),
        ("-o ControlMaster=auto -o ControlPersist=60s -q", {}),
    ],
)
def test_arguments_of_ssh_become_its_configuration(arguments: str, options: dict[str, str]) -> None:
    assert host(ansible_ssh_common_args=arguments).ssh_options == options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("-F other", "ansible_ssh_common_args: -F is not understood"),
        ("-L 1:b:2", "-L is not understood; write what it does as -o KEYWORD=VALUE"),
        ("-o", "option -o requires argument"),
        ("-o 'open", "No closing quotation"),
        ("command", "command is not understood"),
    ],
)
def test_arguments_that_are_not_understood_are_named(arguments: str, message: str) -> None:
    with pytest.raises(KubeClusterError, match=message):
        _ = host(ansible_ssh_common_args=arguments).ssh_options


def test_interpreters_that_are_no_path_are_found_on_the_machine() -> None:
    assert host(ansible_python_interpreter="/opt/bin/python").python == "/opt/bin/python"
    assert host(ansible_python_interpreter="auto_silent").python == ""
    assert json.dumps(host().ssh_options) == "{}"
