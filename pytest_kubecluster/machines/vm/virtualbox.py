"""Virtual machines of VirtualBox, from a box that the user chooses.

Vagrant has validated the configuration, but no machine has been booted with it by the authors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.ssh import USER
from pytest_kubecluster.machines.ssh_key import SshKey
from pytest_kubecluster.machines.vm.base import VirtualMachines, login_script
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.util.atomic import private_folder, write_atomically
from pytest_kubecluster.util.poll import poll
from pytest_kubecluster.util.process import ask

_SECONDS = 60.0
_IGNITING = re.compile(r"coreos|flatcar", re.IGNORECASE)
"""Boxes of Container Linux and Flatcar, by name: they are configured with Ignition."""


class VirtualBoxMachines(VirtualMachines):
    """Machines in a host-only network, which VirtualBox creates when the first one boots."""

    provider = "virtualbox"
    tools: ClassVar[Mapping[str, str]] = {
        "vagrant": "vagrant",
        "VBoxManage": "virtualbox",
        "ssh": "openssh-client",
    }

    def _plan(self, spec: ClusterSpec, box: Path, megabytes: int) -> Mapping[str, Any]:
        """Write the Ignition file if the box uses one, and return the plan."""
        key, ignition = self._key(), None
        if self._box and _IGNITING.search(self._box.where):
            ignition = private_folder(self._folder) / "ignition.json"
            write_atomically(ignition, json.dumps(ignition_config(key)).encode(), 0o600)
        return virtualbox_plan(spec, self._label, key, ignition=ignition, megabytes=megabytes)

    def running(self) -> list[str]:
        """Return the names of the nodes whose machines run."""
        names = filter(self._is_ours, _listed("runningvms"))
        return [name.removeprefix(self.machine("")) for name in names]

    def destroy(self) -> None:
        """Remove every machine of the cluster with its disks and network.

        Raises KubeClusterError naming what is left when VirtualBox does not remove it in time.
        """
        networks = _host_only_networks(filter(self._is_ours, _listed("vms")))
        if not poll(self._removed, _SECONDS):
            raise KubeClusterError(
                f"VirtualBox did not remove {', '.join(self._left())}\n"
                "  find it with: VBoxManage list vms"
            )
        # Vagrant puts other machines into the same network if their addresses are in it.
        for network in networks - _host_only_networks(_listed("vms")):
            _vboxmanage("hostonlyif", "remove", network, check=False)

    def _left(self) -> list[str]:
        """Return the machines of the cluster that are left."""
        return [name for name in _listed("vms") if self._is_ours(name)]

    def _removed(self) -> bool:
        """Remove the machines of the cluster, and return whether all are gone."""
        for name in self._left():
            _vboxmanage("controlvm", name, "poweroff", check=False)
            _vboxmanage("unregistervm", name, "--delete", check=False)
        return not self._left()


def virtualbox_plan(
    spec: ClusterSpec, label: str, key: SshKey, *, ignition: Path | None, megabytes: int
) -> dict[str, Any]:
    """Return the plan with which the bundled Vagrantfile boots ``spec`` with VirtualBox.

    ``label`` is the prefix of the machines' names, and ``ignition`` the file from which a box of
    Container Linux or Flatcar takes its login key. Such boxes, the article's among them, have no
    guest additions.
    """
    assert spec.network is not None
    bare = {"check_guest_additions": False, "functional_vboxsf": False} if ignition else {}
    login = {"user": USER, "private_key": str(key.path)} if ignition else {}
    return {
        **(login or {"shell": login_script(key)}),
        "netmask": str(spec.network.netmask),
        "settings": {"cpus": 1, "memory": megabytes, "gui": False, "linked_clone": True, **bare},
        "machines": [
            {
                "name": node.name,
                "address": str(node.address),
                "ignition": str(ignition) if ignition else None,
                "settings": {"name": f"{label}.{node.name}"},
            }
            for node in spec
        ],
    }


def ignition_config(key: SshKey) -> dict[str, Any]:
    """Return the Ignition configuration that authorizes the cluster's key and nothing else."""
    user = {"name": USER, "sshAuthorizedKeys": [key.public]}
    return {"ignition": {"version": "2.1.0"}, "passwd": {"users": [user]}}


def _host_only_networks(machines: Iterable[str]) -> set[str]:
    """Return the host-only networks of machines."""
    return {
        network
        for name in machines
        for network in re.findall(
            r'^hostonlyadapter\d+="(.+)"',
            _vboxmanage("showvminfo", name, "--machinereadable", check=False),
            re.MULTILINE,
        )
    }


def _listed(kind: str) -> list[str]:
    """Return the names of machines, from lines such as ``"name" {uuid}``."""
    return re.findall(r'^"(.+)" \{', _vboxmanage("list", kind), re.MULTILINE)


def _vboxmanage(*words: str, check: bool = True) -> str:
    """Run VirtualBox's client and return its output."""
    argv = ["VBoxManage", *words]
    return ask(argv, what=f"VBoxManage {words[0]}", seconds=_SECONDS, check=check)
