from __future__ import annotations

import json
import os
import shutil
import subprocess
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.machines.preflight import problems
from pytest_kubecluster.machines.ssh_key import ensure_ssh_key
from pytest_kubecluster.machines.vagrant import vagrant_for_plan
from pytest_kubecluster.machines.vm import libvirt
from pytest_kubecluster.machines.vm.base import login_script
from pytest_kubecluster.machines.vm.libvirt import LibvirtMachines, libvirt_plan, mac
from pytest_kubecluster.machines.vm.virtualbox import VirtualBoxMachines
from pytest_kubecluster.spec.version import KubeVersion
from pytest_kubecluster.util.process import Commands
from tests.make_golden import GOLDEN, PLANS, golden_plans

VBOXMANAGE = """\
#!/bin/sh
# A VirtualBox whose machines are files that name their network, until they are removed.
cd "$(dirname "$0")"
case $1 in
--version) echo 6.1.40r154048 ;;
list) for vm in *.vm; do [ ! -e "$vm" ] || echo "\\"${vm%.vm}\\" {c0ffee}"; done ;;
showvminfo) printf 'name="%s"\\nhostonlyadapter2="%s"\\n' "$2" "$(cat "$2.vm")" ;;
hostonlyif) echo "$3" >>removed ;;
unregistervm) rm "$2.vm" ;;
esac
"""


@pytest.mark.parametrize("name", PLANS)
def test_plan_is_as_it_was(name: str) -> None:
    made = dict(golden_plans())[GOLDEN / "plans" / f"{name}.json"]
    assert made == (GOLDEN / "plans" / f"{name}.json").read_bytes()


@pytest.fixture
def virtualbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for VirtualBox, whose machines are files; it is first on the PATH."""
    folder = tmp_path / "virtualbox"
    folder.mkdir()
    (folder / "VBoxManage").write_text(VBOXMANAGE)
    (folder / "VBoxManage").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder


def validate(plan: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return Vagrant's output for the machines that the bundled Vagrantfile makes of a plan."""
    if "private_key" in plan:
        plan["private_key"] = str(ensure_ssh_key(tmp_path / "ssh").path)
    monkeypatch.setenv("VAGRANT_DEFAULT_PROVIDER", plan["provider"])
    vagrant = vagrant_for_plan(plan, tmp_path / "vagrant", Commands(tmp_path), 120, print)
    return vagrant.output("validate")


def needs(provider: str) -> None:
    if shutil.which("vagrant") is None:
        pytest.skip("vagrant is not installed")
    if provider == "libvirt" and problems(LibvirtMachines.service_requirements()):
        pytest.skip("vagrant-libvirt is not installed, or libvirt does not run")


@pytest.mark.usefixtures("virtualbox")
@pytest.mark.parametrize("name", PLANS)
def test_vagrant_takes_the_plan(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = json.loads((GOLDEN / "plans" / f"{name}.json").read_bytes())
    needs(plan["provider"])
    assert "Vagrantfile validated successfully" in validate(plan, tmp_path, monkeypatch)


@pytest.mark.usefixtures("virtualbox")
def test_vagrant_refuses_a_setting_that_there_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = json.loads((GOLDEN / "plans" / "virtualbox.json").read_bytes())
    needs("virtualbox")
    plan["settings"]["cpu_number"] = 3
    with pytest.raises(KubeClusterError) as raised:
        validate(plan, tmp_path, monkeypatch)
    assert "The following settings shouldn't exist: cpu_number" in str(raised.value)


def test_nodes_have_hardware_addresses_of_their_own() -> None:
    addresses = [mac(IPv4Address(a)) for a in ("10.17.5.101", "10.17.5.201", "10.18.5.101")]
    assert addresses[0] == "52:54:00:11:05:65"
    assert len(set(addresses)) == 3


@pytest.mark.parametrize(("version", "v1"), [("1.7.5", True), ("1.18.20", True), ("1.19.0", False)])
def test_machines_of_old_kubelets_boot_with_cgroup_v1(
    version: str, v1: bool, tmp_path: Path
) -> None:
    spec = cluster_spec(1, 0, version=KubeVersion.parse(version))
    key = ensure_ssh_key(tmp_path)
    plan = libvirt_plan(spec, "x", key, kvm=False, kernel=True, megabytes=512)
    line = plan["machines"][0]["settings"]["cmd_line"]
    assert ("systemd.unified_cgroup_hierarchy=0" in line.split()) is v1


def test_no_private_key_is_in_a_plan(tmp_path: Path) -> None:
    key = ensure_ssh_key(tmp_path)
    secret = key.path.read_text().splitlines()[2]
    for kernel in (True, False):
        plan = libvirt_plan(cluster_spec(), "x", key, kvm=False, kernel=kernel, megabytes=512)
        assert secret not in json.dumps(plan)


def test_login_script_is_sh_and_knows_the_key(tmp_path: Path) -> None:
    key = ensure_ssh_key(tmp_path)
    script = login_script(key)
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0
    assert {"user=core", f"key='{key.public}'"} <= set(script.splitlines())


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("qemu:///system", None),
        (
            "error: failed to connect to the hypervisor\n"
            "error: Failed to connect socket to '/var/run/libvirt/libvirt-sock'",
            "libvirt does not answer (error: Failed to connect socket to "
            "'/var/run/libvirt/libvirt-sock'); install libvirt-daemon-system and start it",
        ),
    ],
)
def test_libvirt_that_does_not_run(
    answer: str, problem: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "plugins.json").write_text('{"installed": {"vagrant-libvirt": {}}}')
    monkeypatch.setenv("VAGRANT_HOME", str(tmp_path))
    monkeypatch.setattr(libvirt, "command_output", lambda argv: answer)
    found = problems(LibvirtMachines.service_requirements())
    assert [said[: len(problem or "")] for said in found] == ([problem] if problem else [])


class Virsh:
    """A libvirt that knows names of machines, pools and networks, and removes them."""

    def __init__(self, *machines: str) -> None:
        self.there = {"list": list(machines), "pool-list": ["kubecluster-a"], "net-list": []}
        self.stuck = False

    def __call__(self, *words: str, check: bool = True) -> list[str]:
        if words[0] in self.there:
            return self.there[words[0]]
        if words[0] == "undefine" and not self.stuck:
            self.there["list"].remove(words[1])
        if words[0] == "pool-undefine" and words[1] in self.there["pool-list"]:
            self.there["pool-list"].remove(words[1])
        return []


def test_machines_of_a_cluster_whose_name_begins_alike_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    virsh = Virsh("kubecluster-a.master01", "kubecluster-a-b.master01", "kubecluster-ab.master01")
    monkeypatch.setattr(libvirt, "_virsh", virsh)
    machines = LibvirtMachines("a", tmp_path)
    assert machines.running() == ["master01"]
    machines.destroy()
    assert virsh.there["list"] == ["kubecluster-a-b.master01", "kubecluster-ab.master01"]
    assert virsh.there["pool-list"] == []


def test_what_libvirt_does_not_remove_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    virsh = Virsh("kubecluster-a.master01")
    virsh.stuck = True
    monkeypatch.setattr(libvirt, "_virsh", virsh)
    monkeypatch.setattr(libvirt, "_SECONDS", 0.1)
    with pytest.raises(KubeClusterError, match=r"did not remove machine kubecluster-a\.master01"):
        LibvirtMachines("a", tmp_path).destroy()


def test_virtualbox_removes_its_own_machines_only(virtualbox: Path, tmp_path: Path) -> None:
    for name, network in (
        ("kubecluster-a.master01", "vboxnet0"),
        ("kubecluster-a.worker01", "vboxnet1"),
        ("kubecluster-a-b.master01", "vboxnet1"),
        ("somebody's", "vboxnet2"),
    ):
        (virtualbox / f"{name}.vm").write_text(network)
    machines = VirtualBoxMachines("a", tmp_path)
    assert machines.running() == ["master01", "worker01"]
    machines.destroy()
    assert (virtualbox / "removed").read_text() == "vboxnet0\n"
    left = sorted(path.stem for path in virtualbox.glob("*.vm"))
    assert left == ["kubecluster-a-b.master01", "somebody's"]
