"""Inventories in every format, read by Ansible itself; no machine is contacted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.existing.inventory import Inventory, read_inventory
from pytest_kubecluster.machines.existing.role_patterns import RolePatterns
from pytest_kubecluster.spec.parts import NO_ADDRESS
from pytest_kubecluster.util import ansible_cli

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


def read(path: Path, text: str, roles: str = "", mode: int = 0o644) -> Inventory:
    path.write_text(text)
    path.chmod(mode)
    return read_inventory(path, RolePatterns.parse(roles), path.parent)


def shown(inventory: Inventory) -> list[tuple[str, str, str]]:
    return [(m.name, m.role, str(m.address)) for m in inventory.machines]


def test_groups_of_the_article_in_ini(tmp_path: Path) -> None:
    inventory = read(tmp_path / "hosts.ini", INI)
    assert shown(inventory) == [("a", "master", "10.0.0.1"), ("b", "worker", "10.0.0.2")]
    assert [host.reach.ssh_options for host in inventory.hosts] == [
        {"HostName": "10.0.0.1", "User": "core"},
        {"HostName": "bastion.example.org", "User": "core"},
    ]


def test_yaml_with_groups_of_groups_and_a_template(tmp_path: Path) -> None:
    inventory = read(tmp_path / "hosts.yml", YAML)
    assert shown(inventory) == [("10.0.0.1", "master", "10.0.0.1"), ("w", "worker", "10.0.0.2")]
    assert inventory.hosts[1].reach.ssh_options == {"HostName": "10.0.0.2", "Port": "2222"}


def test_program_with_a_host_whose_address_is_unknown(tmp_path: Path) -> None:
    inventory = read(tmp_path / "hosts.sh", PROGRAM, mode=0o755)
    assert shown(inventory) == [("a", "master", str(NO_ADDRESS))]


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
    assert inventory.hosts[0].reach.sudo_password == "geheim"
    assert inventory.hosts[0].reach.ssh_options == {}
    assert "geheim" not in repr(inventory)


def test_configuration_of_ansible_fills_in_what_the_inventory_leaves_open(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text(
        "[defaults]\nremote_user = op\nprivate_key_file = keys/op\nhost_key_checking = False\n"
        "[ssh_connection]\nssh_common_args = -J bastion\n"
    )
    inventory = read(tmp_path / "hosts", "[masters]\na\nb ansible_ssh_user=core\n")
    first, second = (host.reach.ssh_options for host in inventory.hosts)
    assert first == {
        "User": "op",
        "IdentityFile": f'"{tmp_path}/keys/op"',
        "StrictHostKeyChecking": "no",
        "ProxyJump": "bastion",
    }
    assert second == {**first, "User": "core"}


def test_vaulted_variable_without_its_password(tmp_path: Path) -> None:
    vaulted = "!vault |\n        $ANSIBLE_VAULT;1.1;AES256\n        3132\n"
    with pytest.raises(KubeClusterError, match="no vault secrets found"):
        read(tmp_path / "hosts.yml", f"masters:\n  hosts:\n    a:\n      ansible_user: {vaulted}")


def test_roles_by_variable_group_and_name(tmp_path: Path) -> None:
    inventory = read(
        tmp_path / "hosts",
        "node1 role=master\nboss kubernetes_role=control_plane\nb1 role=database\nx\nlb-node\n"
        "[kube_node]\nnode2\ncp-2 kubernetes_role=node\nworker9\n",
        "x=master worker9=none",
    )
    assert {m.name: m.role for m in inventory.machines} == {
        "node1": "master",
        "boss": "master",
        "x": "master",
        "node2": "worker",
        "cp-2": "worker",
    }
    assert inventory.left_out == {"b1": (), "lb-node": ()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "hosts names no host"),
        ("# nothing\n", "hosts names no host"),
        ("[masters\na\n", "hosts cannot be read by ansible-inventory"),
        ("#!/bin/sh\necho no token >&2; exit 3\n", "code 3(.|\n)*no token"),
        ("all:\n  hosts:\n  - {\n", "YAML parsing failed"),
        (
            "lonely\n[lb]\na\n",
            r"no host that is a master or a worker\n.*lonely \(in no group\), a \(in lb\)",
        ),
        ("a role=none-such\n", r"a \(in no group\) \(--kube-roles\)\n  give hosts a role with"),
        (
            "[masters]\na ansible_connection=local\n",
            "a: ansible_connection=local is not supported,",
        ),
        (
            "[masters]\na ansible_connection=docker\n",
            "leave the host out with --kube-roles='a=none'",
        ),
        (
            "[masters]\na ansible_ssh_extra_args='-F x'\n",
            "a: ansible_ssh_extra_args: -F x: /.*/x is",
        ),
        (
            "[masters]\na ansible_ssh_args='-L 1:b:2'\n",
            "a: ansible_ssh_args: option -L is not supp",
        ),
    ],
)
def test_unusable_inventory_is_explained(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    with pytest.raises(KubeClusterError, match=message) as raised:
        read(path, text, mode=0o755 if text.startswith("#!") else 0o644)
    assert str(path) in str(raised.value)


KUBESPRAY = """\
[all]
node1 ansible_host=95.54.0.12 ip=10.3.0.1
node2 ansible_host=95.54.0.13
node3 ansible_host=node3.example.org
node4 ansible_host=2001:db8::4
bastion ansible_host=95.54.0.1
monitor1 ansible_host=10.3.0.9
[kube_control_plane]
node1
node2
[etcd]
node1
etcd1
[kube_node]
node2
node3
node4
[bastion]
bastion
[prometheus-node]
monitor1
[redis_master]
monitor1
[k8s_cluster:children]
kube_control_plane
kube_node
"""


def test_hosts_beside_the_nodes_are_left_out(tmp_path: Path) -> None:
    inventory = read(tmp_path / "hosts", KUBESPRAY)
    assert shown(inventory) == [
        ("node1", "master", "10.3.0.1"),
        ("node2", "master", "95.54.0.13"),
        ("node3", "worker", str(NO_ADDRESS)),
        ("node4", "worker", "2001:db8::4"),
    ]
    assert inventory.explain_left_out() == (
        "left out because no role matches the name or groups: etcd1 (in etcd), "
        "bastion (in bastion), monitor1 (in prometheus-node, redis_master) (--kube-roles)"
    )


def test_public_address_may_belong_to_a_router(tmp_path: Path) -> None:
    inventory = read(tmp_path / "hosts", KUBESPRAY)
    assert inventory.without_address == ("node2", "node3", "node4")


def test_many_hosts_that_are_left_out_fit_in_a_line(tmp_path: Path) -> None:
    hosts = "\n".join(f"db{number}" for number in range(9))
    line = read(tmp_path / "hosts", f"[masters]\na\n[databases]\n{hosts}\n").explain_left_out()
    assert line.endswith("db4 (in databases), db5 (in databases) and 3 more (--kube-roles)")


def test_nested_groups_are_listed_from_inside_out(tmp_path: Path) -> None:
    text = "[berlin]\nx\n[cluster:children]\nberlin\n[workers:children]\ncluster\n[masters]\na\n"
    inventory = read(tmp_path / "hosts", text)
    assert [(m.name, m.role) for m in inventory.machines] == [("a", "master"), ("x", "worker")]


def test_groups_that_contain_each_other_many_times_are_read_quickly(tmp_path: Path) -> None:
    levels = [
        f"[left{n}:children]\nleft{n + 1}\nright{n + 1}\n[right{n}:children]\nleft{n + 1}\nright{n + 1}\n"
        for n in range(30)
    ]
    text = "".join(levels) + "[left30]\na\n[right30]\na\n[masters]\na\n"
    assert [m.name for m in read(tmp_path / "hosts", text).machines] == ["a"]


def test_password_for_the_login_is_mentioned_if_the_login_fails(tmp_path: Path) -> None:
    inventory = read(tmp_path / "hosts", "[masters]\na ansible_password=secret\nb\n")
    assert [host.reach.hint for host in inventory.hosts] == [
        "\n  ansible_password is not used: log in with a key",
        "",
    ]
    assert "secret" not in repr(inventory)


@pytest.mark.parametrize(
    ("interpreter", "path"),
    [("/opt/bin/python", "/opt/bin/python"), ("auto_silent", ""), ("python3.11", "python3.11")],
)
def test_interpreter_of_the_inventory(interpreter: str, path: str, tmp_path: Path) -> None:
    text = f"[masters]\na ansible_python_interpreter={interpreter}\n"
    assert read(tmp_path / "hosts", text).hosts[0].reach.python == path


@pytest.mark.parametrize(
    "variables",
    [
        {"ANSIBLE_FORCE_COLOR": "1"},
        {"ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml"},
        {"ANSIBLE_CALLBACK_FORMAT_PRETTY": "0"},
        {"ANSIBLE_NO_LOG": "1"},
        {"ANSIBLE_VERBOSITY": "3"},
    ],
    ids=str,
)
def test_how_ansible_prints_for_people_does_not_matter(
    variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    inventory = read(tmp_path / "hosts.yml", YAML)
    assert shown(inventory) == [("10.0.0.1", "master", "10.0.0.1"), ("w", "worker", "10.0.0.2")]


def test_configuration_that_prints_for_people_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text(
        "[defaults]\nno_log = true\nforce_color = true\ncallback_result_format = yaml\n"
        "verbosity = 2\n"
    )
    inventory = read(tmp_path / "hosts.yml", YAML)
    assert shown(inventory) == [("10.0.0.1", "master", "10.0.0.1"), ("w", "worker", "10.0.0.2")]


def test_configuration_file_of_ssh_in_the_arguments(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text(
        "[ssh_connection]\nssh_args = -F ./ssh.cfg -o ControlMaster=auto -o ControlPersist=30m\n"
    )
    (tmp_path / "ssh.cfg").write_text("Host 10.20.0.*\n  ProxyJump ops@203.0.113.7\n")
    inventory = read(tmp_path / "hosts", "[kube_node]\nw-1 ansible_host=10.20.0.21\n")
    assert inventory.hosts[0].reach.ssh_options == {
        "Include": f"{tmp_path}/ssh.cfg",
        "HostName": "10.20.0.21",
    }
    (tmp_path / "ssh.cfg").unlink()
    with pytest.raises(
        KubeClusterError,
        match=r"w-1: ssh_args in Ansible's configuration: -F \./ssh\.cfg: .* not a",
    ):
        read(tmp_path / "hosts", "[kube_node]\nw-1\n")


def test_arguments_count_in_the_order_of_ansible(tmp_path: Path) -> None:
    text = (
        "[masters]\na ansible_ssh_args='-p 1' ansible_port=2 ansible_user=core "
        "ansible_ssh_common_args='-l other -i more' ansible_ssh_private_key_file=key\n"
    )
    assert read(tmp_path / "hosts", text).hosts[0].reach.ssh_options == {
        "Port": "1",
        "User": "core",
        "IdentityFile": f'"{tmp_path}/key"\n  IdentityFile "{tmp_path}/more"',
    }


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(KubeClusterError, match="hosts does not exist"):
        read_inventory(tmp_path / "hosts", RolePatterns(), tmp_path)


def test_hidden_files_of_a_folder_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("[masters]\nm ansible_host=10.0.0.1\n")
    # An editor's lock, which leads nowhere.
    (tmp_path / ".#hosts").symlink_to("someone@host.4711")
    (tmp_path / ".git").mkdir()
    os.mkfifo(tmp_path / ".git" / "fifo")
    assert [
        host.machine.name for host in read_inventory(tmp_path, RolePatterns(), tmp_path).hosts
    ] == ["m"]


@pytest.mark.parametrize("port", ["abc", "0", "70000", "-1", "9" * 5000])
def test_port_that_is_none_is_named_with_its_host(port: str, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text(f"[masters]\nm ansible_port={port}\n")
    with pytest.raises(KubeClusterError, match="hosts: m: ansible_port: invalid value") as error:
        read_inventory(tmp_path / "hosts", RolePatterns(), tmp_path)
    assert len(str(error.value)) < 1000


def test_special_files_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "hosts")
    (tmp_path / "empty").mkdir()
    expected = {
        tmp_path / "fifo": "fifo is a FIFO, not a file",
        tmp_path / "loop": "loop cannot be read: Too many levels of symbolic links",
        tmp_path / "folder": "folder/hosts is a FIFO, not a file",
        tmp_path / "empty": "empty has no file",
        Path("/dev/zero"): "/dev/zero is a device, not a file",
        Path("a\0b"): "cannot be read: a path has no null character",
    }
    for path, message in expected.items():
        with pytest.raises(KubeClusterError, match=message):
            read_inventory(path, RolePatterns(), tmp_path)


@pytest.mark.parametrize("name", ["hosts.yml", "hosts.json"])
def test_deeply_nested_file_is_explained(name: str, tmp_path: Path) -> None:
    text = '{"all": ' + "[" * 20_000 if name.endswith("json") else "all: " + "{a: " * 5000
    with pytest.raises(KubeClusterError, match=name) as raised:
        read(tmp_path / name, text)
    assert "Traceback" not in str(raised.value)


def test_program_that_prints_a_deeply_nested_inventory(tmp_path: Path) -> None:
    program = (
        f"#!{sys.executable}\nn = 3000\nnested = '{{\"a\": ' * n + '1' + '}}' * n\n"
        'print(\'{"masters": {"hosts": ["a"]}, "_meta": {"hostvars": {"a": {"x": %s}}}}\' % nested)\n'
    )
    with pytest.raises(KubeClusterError, match=r"hosts\.py") as raised:
        read(tmp_path / "hosts.py", program, mode=0o755)
    assert "Traceback" not in str(raised.value)


def test_hanging_program_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ansible_cli, "_SECONDS", 6.0)
    program = f"#!/bin/sh\nsetsid sleep 4711 & echo $! >{tmp_path}/child; sleep 4711\n"
    with pytest.raises(
        KubeClusterError, match=r"hosts: .*ansible-inventory .* took longer than 6 s"
    ):
        read(tmp_path / "hosts", program, mode=0o755)
    assert not psutil.pid_exists(int((tmp_path / "child").read_text()))
