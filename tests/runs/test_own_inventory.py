"""Existing machines of an inventory: five containers stand in for them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.conftest import NOTHING, Bench, command, docker, passed

pytestmark = pytest.mark.xdist_group("five machines")

SUITE = ("--pyargs", "pytest_kubecluster.conformance")
SPEC = "def test_it(kube_node): assert kube_node.kubelet == kube_node.spec.kubelet\n"
QUICK = "def test_it(kube_node): assert kube_node.kubelet.healthz.status == 200\n"
PASSWORD = "geh eim'$x"
# Let root log in with the cluster's key, and add a user whose sudo asks for a password.
OTHERS = """
set -eu
useradd --create-home --shell /bin/bash op
printf '%s\\n' 'op:{password}' | chpasswd
echo 'op ALL=(ALL) ALL' >/etc/sudoers.d/op
for home in /home/op:op /root:root; do
    install -d -m 0700 -o ${{home#*:}} ${{home%:*}}/.ssh
    install -m 0600 -o ${{home#*:}} /home/core/.ssh/authorized_keys ${{home%:*}}/.ssh/
done
sed -i 's/PermitRootLogin no/PermitRootLogin prohibit-password/' /etc/ssh/sshd_config.d/node.conf
systemctl reload ssh
"""


class Fleet:
    """Five running machines and how they are reached."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.name = f"{bench.project.name}-fleet"
        self.folder = bench.state / "kubecluster" / "clusters" / self.name
        self.key = self.folder / "ssh" / "id_ed25519"

    @property
    def addresses(self) -> dict[str, str]:
        config = (self.folder / "ssh" / "config").read_text()
        return dict(re.findall(r'Host "(\w+)"\n  HostName (\S+)', config))

    def by_name(self) -> str:
        """Return an inventory that has names only."""
        names = {
            role: [n for n in self.addresses if n[:-2] == role] for role in ("master", "worker")
        }
        return "\n".join(line for role in names for line in (f"[{role}s]", *names[role], ""))

    def ssh_config(self, *lines: str) -> str:
        """Return a configuration of ssh that knows the names."""
        hosts = [f"Host {name}\n  HostName {ip}\n" for name, ip in self.addresses.items()]
        common = f"""\
Host *
  User core
  IdentityFile {self.key}
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
"""
        return "".join([*(f"{line}\n" for line in lines), *hosts, common])

    def sh(self, node: str, script: str) -> None:
        """Run a shell script on a machine as root."""
        docker("exec", f"{self.name}-{node}", "sh", "-euc", script)

    def inventory(self, *lines: str, user: str = "core", **addresses: str) -> str:
        hosts = {**self.addresses, **addresses}
        groups = ("masters", "workers")
        text = [
            line
            for group in groups
            for line in (
                f"[{group}]",
                *(
                    f"{name} ansible_host={address}"
                    for name, address in hosts.items()
                    if name[:-2] == group[:-1]
                ),
            )
        ]
        text += ["[all:vars]", f"ansible_user={user}", f"ansible_ssh_private_key_file={self.key}"]
        trust = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        return "\n".join([*text, f"ansible_ssh_common_args='{trust}'", *lines, ""])


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    bench = Bench(tmp_path_factory.mktemp("fleet"))
    fleet = Fleet(bench)
    try:
        status, output = command(bench, "up", fleet.name, "--kube-masters=2", "--kube-workers=3")
        assert status == 0, output
        script = OTHERS.format(password=PASSWORD.replace("'", "'\\''"))
        for node in fleet.addresses:
            docker("exec", f"{fleet.name}-{node}", "sh", "-c", script)
        yield fleet
    finally:
        command(bench, "destroy", fleet.name)
        assert bench.left() == NOTHING


@pytest.fixture
def own(fleet: Fleet, bench: Bench) -> Bench:
    """A project with an inventory of the five machines."""
    bench.options = ["--kube-cluster", "--kube-inventory=hosts"]
    bench.write("hosts", fleet.inventory())
    bench.write("test_it.py", QUICK)
    return bench


def test_suite_checks_existing_machines_and_leaves_them_alone(fleet: Fleet, own: Bench) -> None:
    before = docker("ps", "--filter", f"label=kubecluster={fleet.name}", "--format", "{{.ID}}")
    own.write("kubecluster.toml", f'api_server = "https://{fleet.addresses["master02"]}:443"\n')
    status, output = own.run(*SUITE, "-rs", "-n", "2")
    assert status == 0, output
    assert "kubecluster: 2 masters, 3 workers of " in output
    assert "kubelet as found" in output
    # Only the API server is stated: what a bundled layout makes besides is not looked for.
    assert passed(output) >= 180
    assert "worker02: the spec states no configuration file" in output
    assert re.search(
        r"SKIPPED \[20\] .*this run did not boot \(allow it with --kube-disturb\)", output
    )
    assert "the machines are left as they were" in output
    after = docker("ps", "--filter", f"label=kubecluster={fleet.name}", "--format", "{{.ID}}")
    assert after == before


def test_one_of_five_that_cannot_be_reached_fails_alone(fleet: Fleet, own: Bench) -> None:
    nobody = re.sub(r"\d+$", "250", fleet.addresses["worker02"])
    own.write("hosts", fleet.inventory(worker02=nobody))
    status, output = own.run("--kube-forks=2")
    assert status == 1, output
    assert "4 of 5 machines" in output
    assert re.search(rf"not used: worker02 cannot be reached over ssh: .*{nobody}", output)
    assert "1 failed, 4 passed" in output
    assert "FAILED test_it.py::test_it[worker02]" in output
    # The reason is shown, without the plugin's own frames.
    assert "test_it.py:1: " in output
    assert "pytest_kubecluster/nodes/node.py" not in output


def test_open_connections_are_limited_by_forks(fleet: Fleet, own: Bench) -> None:
    log, far = own.path / "open", own.path / "far"
    # Each connection logs how many are open, including itself, once one before it has closed.
    far.write_text(
        f"echo $$ >>{log}.pids\nsleep 0.5\nopen=0\n"
        f"for pid in $(cat {log}.pids); do kill -0 $pid && open=$((open + 1)); done\n"
        f"echo $open >>{log}\n"
        "exec 3<>/dev/tcp/$1/$2; cat <&3 & exec cat >&3\n"
    )
    proxy = f'-o ProxyCommand="bash {far} %h %p 2>/dev/null" -o User'
    own.write("hosts", fleet.inventory().replace("-o User", proxy))
    status, output = own.run("--kube-forks=1")
    assert status == 0, output
    counts = [int(word) for word in log.read_text().split()]
    # On a busy machine a connection may still be closing while the next one is open.
    assert (len(counts), max(counts) < 5) == (5, True), counts


SSH_CFG = "[ssh_connection]\nssh_args = -F ./ssh.cfg -o ControlMaster=auto -o ControlPersist=30m\n"


def test_hosts_known_by_name_only_get_the_same_verdict(fleet: Fleet, own: Bench) -> None:
    own.write("ansible.cfg", SSH_CFG)
    own.write("ssh.cfg", fleet.ssh_config())
    own.write("test_it.py", SPEC)
    unit = "/etc/systemd/system/kubelet.service"
    fleet.sh("worker01", f"cp {unit} /root/unit; sed -i 's/^RestartSec=.*/RestartSec=3600/' {unit}")
    try:
        verdicts = []
        for hosts in (fleet.by_name(), fleet.inventory()):
            own.write("hosts", hosts)
            status, output = own.run()
            assert status == 1, output
            assert "1 failed, 4 passed" in output
            verdicts.append(re.findall(r"^E .*", output, re.MULTILINE))
        by_name, by_address = verdicts
        assert by_name == by_address != []
        assert any("NeedDaemonReload" in line for line in by_name), by_name
    finally:
        fleet.sh("worker01", f"cp /root/unit {unit}; systemctl daemon-reload")


# A shell that prints and shortens PATH, a pod network, a virtual IP, and no python3.
ODD = """
printf 'echo Loading ...; echo warned >&2; PATH=/usr/bin\\n' >/root/rc
cat ~core/.bashrc >>/root/rc; cp ~core/.bashrc /root/bashrc; cat /root/rc >~core/.bashrc
ip link add vxlan.calico type veth peer name calipeer
ip address add 10.233.70.128/32 dev vxlan.calico
ip address add {network}.77/32 dev eth0
mv /usr/bin/python3.11 /usr/bin/python3.12
"""
EVEN = """
mv /usr/bin/python3.12 /usr/bin/python3.11
ip address del {network}.77/32 dev eth0
ip link del vxlan.calico
cat /root/bashrc >~core/.bashrc
"""


def test_nothing_odd_about_a_machine_is_in_the_way(fleet: Fleet, own: Bench) -> None:
    own.write("ansible.cfg", SSH_CFG)
    own.write("ssh.cfg", fleet.ssh_config())
    own.write("hosts", fleet.by_name())
    addresses = fleet.addresses
    own.write(
        "test_it.py",
        f"ADDRESSES = {addresses}\n"
        "def test_it(kube_node):\n"
        "    assert str(kube_node.address) == ADDRESSES[kube_node.name]\n"
        "    assert kube_node.kubelet.healthz.status == 200\n"
        "    assert kube_node.run('ip', '-V').rc == 0\n"
        "    assert kube_node.host.check_output('echo yes') == 'yes'\n",
    )
    network = addresses["worker02"].rpartition(".")[0]
    fleet.sh("worker02", ODD.format(network=network))
    try:
        status, output = own.run()
    finally:
        fleet.sh("worker02", EVEN.format(network=network))
    assert status == 0, output
    assert "5 machines asked for addresses" in output


def test_error_of_a_jump_host_is_shown(fleet: Fleet, own: Bench) -> None:
    jump = fleet.addresses["master01"]
    own.write("ansible.cfg", SSH_CFG)
    own.write("ssh.cfg", fleet.ssh_config("Host worker*", f"  ProxyJump nobody@{jump}"))
    own.write("hosts", fleet.by_name())
    status, output = own.run()
    assert status == 1, output
    assert "2 of 5 machines" in output
    denied = rf"not used: worker\d\d cannot be reached over ssh: nobody@{jump}: Permission denied"
    assert len(re.findall(denied, output)) == 3, output


def test_wrong_key_is_refused_at_once(fleet: Fleet, own: Bench) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", own.path / "other"], check=True
    )
    text = fleet.inventory().replace(str(fleet.key), str(own.path / "other"))
    own.write("hosts", text.replace("no -o User", "no -o IdentitiesOnly=yes -o User"))
    status, output = own.run()
    assert status == 1, output
    assert "none of the machines can be used" in output
    assert output.count("Permission denied (publickey)") == 5


def test_host_keys_are_checked(fleet: Fleet, own: Bench) -> None:
    other = subprocess.check_output(["ssh-keygen", "-y", "-f", fleet.key], text=True)
    known = "".join(f"{address} {other}" for address in fleet.addresses.values())
    for keys, hint in (("", "log in once with ssh"), (known, "ssh-keygen -R")):
        own.write("known", keys)
        trust = f"yes -o UserKnownHostsFile={own.project / 'known'} -o GlobalKnownHostsFile"
        own.write("hosts", fleet.inventory().replace("no -o UserKnownHostsFile", trust))
        status, output = own.run()
        assert status == 1, output
        assert output.count("Host key verification failed") == output.count(hint) == 5, output


def test_sudo_with_a_password(fleet: Fleet, own: Bench) -> None:
    own.write("hosts", fleet.inventory(user="op"))
    status, output = own.run()
    assert status == 1, output
    assert "master01: sudo asks for a password; set ansible_become_password" in output
    status, output = own.run("--kube-sudo-password=ask")
    assert (status, "there is no terminal to ask at" in output) == (1, True), output
    own.write("wrong", "wrong\n")
    status, output = own.run("--kube-sudo-password=wrong")
    assert status == 1, output
    assert "worker03: sudo refuses the password" in output
    own.write("secret", PASSWORD + "\n")
    own.write(
        "test_it.py",
        "def test_it(kube_node):\n"
        "    assert kube_node.kubelet.healthz.status == 200\n"
        "    assert kube_node.host.user().name == 'root'\n"
        "    with kube_node.host.sudo('core'):\n"
        "        assert kube_node.host.user().name == 'core'\n"
        "    assert kube_node.run('cat', stdin=b'first line').stdout == 'first line'\n",
    )
    for options in (("--kube-provision",), ("-n", "2")):
        status, output = own.run("--kube-sudo-password=secret", "--kube-report=report", *options)
        assert status == 0, output
        assert PASSWORD not in output
    kept = [path for path in own.path.rglob("*") if path.is_file() and path.name != "secret"]
    assert not [path for path in kept if PASSWORD.encode() in path.read_bytes()]
    own.write("hosts", fleet.inventory(json_string("ansible_become_password"), user="op"))
    assert own.run()[0] == 0


def json_string(name: str) -> str:
    return f"{name}={json.dumps(PASSWORD)}"


def test_root_and_a_jump_host_of_the_users_configuration(fleet: Fleet, own: Bench) -> None:
    home = own.path / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    (home / ".ssh" / "config").write_text(
        f"Host bastion\n  HostName {fleet.addresses['master01']}\n  User core\n"
        f"  IdentityFile {fleet.key}\n  StrictHostKeyChecking no\n"
        "  UserKnownHostsFile /dev/null\n"
    )
    own.environment["HOME"] = str(home)
    own.write("hosts", fleet.inventory(user="root").replace("args='", "args='-J bastion "))
    own.write(
        "test_it.py",
        "def test_it(kube_node):\n"
        "    came_from = kube_node.host.run('echo $SSH_CLIENT').stdout.split()[0]\n"
        f"    assert came_from == {fleet.addresses['master01']!r}\n",
    )
    status, output = own.run()
    assert status == 0, output


def test_provisioning_changes_only_what_differs(fleet: Fleet, own: Bench) -> None:
    own.write("kubecluster.toml", '[kubelet]\ncluster_domain = "example.org"\n')
    status, output = own.run(*SUITE, "--kube-provision", "-m", "not kube_disruptive")
    assert status == 0, output
    assert passed(output) >= 175
    status, output = own.run("--kube-provision")
    assert status == 0, output
    # Only the files that depend on keys, which are new, change.
    assert "10 changes on 5 nodes" in output


def test_playbook_sees_groups_variables_and_configuration_of_the_users_ansible(
    fleet: Fleet, own: Bench
) -> None:
    own.write("hosts", fleet.inventory("colour=blue", "[odd]", "master01", "worker03"))
    own.write("ansible.cfg", "[defaults]\nvault_password_file = tresor\nroles_path = elsewhere\n")
    own.write("tresor", "tresor\n")
    vaulted = subprocess.check_output(
        [Path(sys.executable).with_name("ansible-vault"), "encrypt_string", "geheim", "-n", "word"],
        cwd=own.project,
        text=True,
    )
    (own.project / "group_vars").mkdir()
    own.write("group_vars/all.yml", vaulted)
    (own.project / "elsewhere" / "mine" / "tasks").mkdir(parents=True)
    own.write(
        "elsewhere/mine/tasks/main.yml",
        "- assert:\n    that:\n    - word == 'geheim'\n    - lookup('env', 'COLUMNS') == '160'\n",
    )
    own.write(
        "own.yml",
        "- hosts: odd\n  gather_facts: false\n  remote_user: somebody\n  roles: [mine]\n  tasks:\n"
        "    - assert: {that: [colour == 'blue', kube_files.kubeconfig is file]}\n"
        "    - raw: echo {{ groups['odd'] | length }} {{ groups['role=worker'] | length }}\n"
        "      register: said\n"
        "    - assert: {that: [said.stdout is search('2 3')]}\n",
    )
    status, output = own.run("--kube-provision", "--kube-playbook=own.yml")
    assert status == 0, output


def test_disruptive_tests_run_with_kube_disturb(fleet: Fleet, own: Bench) -> None:
    docker("update", "--restart=always", f"{fleet.name}-worker01")
    options = ("--kube-disturb", "--kube-provision")
    status, output = own.run(*SUITE, *options, "-k", "test_recovery and worker01")
    assert status == 0, output
    assert "4 passed" in output


def test_nodes_of_an_inventory_are_pinned(fleet: Fleet, own: Bench) -> None:
    status, pinned = command(
        own, "spec", "--from", "worker02", "--kube-inventory=hosts", "--kube-forks=1"
    )
    assert status == 0, pinned
    assert pinned.startswith("version = ")
    assert not [line for line in pinned.splitlines() if line.startswith("#")]
    status, output = command(own, "cis", "--kube-inventory=hosts", "--json")
    assert {"worker02", "master01"} <= {row["node"] for row in json.loads(output)}, output
    own.write("kubecluster.toml", pinned)
    status, output = own.run(*SUITE, "-k", "worker02 and (test_files or test_process)")
    assert status == 0, output
    # A change of what the file states is a difference, and can be stated in turn.
    machine = f"{fleet.name}-worker02"
    unit = "/etc/systemd/system/kubelet.service"
    docker("exec", machine, "sh", "-c", f"chmod 640 /etc/kubernetes/kubeconfig; echo '#' >>{unit}")
    status, output = own.run(*SUITE, "-k", "worker02 and test_files")
    assert (status, "/etc/kubernetes/kubeconfig mode" in output) == (1, True), output
    status, pinned = command(own, "spec", "--from", "worker02", "--kube-inventory=hosts")
    docker("exec", machine, "sh", "-c", f"chmod 600 /etc/kubernetes/kubeconfig; sed -i '$d' {unit}")
    assert 'mode = "0640"' in pinned
    status, output = command(own, "spec", "--from", "nobody", "--kube-inventory=hosts")
    assert (status, "there is no node nobody; there are master01" in output) == (2, True)
    for words in (["up"], ["matrix", "1.7.5"]):
        status, output = command(own, *words, "--kube-inventory=hosts")
        assert (status, "this command boots machines" in output) == (2, True), output


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (None, [], "--kube-inventory: .*hosts does not exist"),
        ("", [], "--kube-inventory: .*hosts names no host"),
        (
            "[masters]\na\n",
            ["--kube-masters=1"],
            "--kube-masters cannot be combined with --kube-inventory",
        ),
        (
            "[masters]\na\n",
            ["--kube-keep=always"],
            "--kube-keep cannot be combined with --kube-inventory",
        ),
        (
            "[masters]\na\n",
            ["--kube-vagrantfile=."],
            "--kube-inventory cannot be combined with --kube-vagrantfile",
        ),
        ("[masters]\na\n", ["--kube-roles=cp"], "--kube-roles: invalid pattern 'cp': must be"),
        ("[masters]\na\n", ["--kube-forks=0"], "invalid number 0: must be at least 1"),
        ("[masters]\na\n", ["--kube-sudo-password=no"], "no does not exist"),
        ("[bastion]\na\n", [], "has no host that is a master or a worker"),
    ],
)
def test_bad_input_is_refused_before_anything_is_asked(
    text: str | None, options: list[str], message: str, bench: Bench
) -> None:
    if text is not None:
        bench.write("hosts", text)
    bench.write("test_it.py", QUICK)
    bench.options = ["--kube-cluster", "--kube-inventory=hosts"]
    status, output = bench.run(*options)
    assert status == pytest.ExitCode.USAGE_ERROR, output
    assert re.search(message, output), output
    assert not bench.state.exists()
