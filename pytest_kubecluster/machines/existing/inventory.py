"""Machines that already run, as an Ansible inventory names them."""

from __future__ import annotations

import getopt
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.existing.role_patterns import RolePatterns
from pytest_kubecluster.machines.ssh import SshOptions
from pytest_kubecluster.spec.model import NOT_ASKED, Machine
from pytest_kubecluster.util.ansible_cli import ask_ansible

_ADDRESSES = ("private_ipv4", "ansible_host", "ansible_ssh_host")
_SSH_KEYWORDS: Mapping[str, tuple[str, ...]] = {
    "HostName": ("ansible_host", "ansible_ssh_host"),
    "Port": ("ansible_port", "ansible_ssh_port"),
    "User": ("ansible_user", "ansible_ssh_user"),
    "IdentityFile": ("ansible_private_key_file", "ansible_ssh_private_key_file"),
}
_SETTINGS = {"Port": "port", "User": "remote_user", "IdentityFile": "private_key_file"}
"""What Ansible's configuration calls what it says of all hosts, by ssh's keyword."""
_HOST_KEYS = ("ansible_host_key_checking", "ansible_ssh_host_key_checking")
_SSH_ARGS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
_PASSWORDS = ("ansible_become_password", "ansible_become_pass")
_LOGIN_PASSWORDS = ("ansible_password", "ansible_ssh_pass", "ansible_ssh_password")
_PYTHON = "ansible_python_interpreter"
_OURS = (
    *_ADDRESSES,
    *(name for names in _SSH_KEYWORDS.values() for name in names),
    *_HOST_KEYS,
    *_SSH_ARGS,
    *_PASSWORDS,
    _PYTHON,
    "role",
)
_SSH_OPTIONS = "46AaB:b:Cc:D:E:e:F:fGgI:i:J:KkL:l:Mm:NnO:o:P:p:Q:qR:S:sTtVvW:w:XxYy"
"""What ssh(1) takes: an option followed by a colon has a value."""
_MEANING = {
    "-i": "IdentityFile",
    "-J": "ProxyJump",
    "-l": "User",
    "-p": "Port",
    "-A": "ForwardAgent yes",
    "-a": "ForwardAgent no",
    "-C": "Compression yes",
    "-4": "AddressFamily inet",
    "-6": "AddressFamily inet6",
}
_WITHOUT_MEANING = ("-q", "-v", "-T", "-t", "-n")


@dataclass(frozen=True)
class InventoryHost:
    """A host and what the inventory says of it; its ``variables`` may hold secrets."""

    machine: Machine
    variables: Mapping[str, Any] = field(repr=False)
    configured: Mapping[str, Any] = field(default_factory=dict)
    """What Ansible's configuration says of connections over ssh, where a variable does not."""

    @property
    def ssh_options(self) -> SshOptions:
        """How it is reached, as ssh_config(5) says that. Raises KubeClusterError."""
        told = {
            keyword: self._first(*names, setting=_SETTINGS.get(keyword, ""))
            for keyword, names in _SSH_KEYWORDS.items()
        }
        options = {keyword: str(value) for keyword, value in told.items() if value is not None}
        checking = self._first(*_HOST_KEYS, setting="host_key_checking")
        if str(checking).lower() in ("false", "no", "off", "0"):
            options["StrictHostKeyChecking"] = "no"
        for name in _SSH_ARGS:
            arguments = self._first(name, setting=name.removeprefix("ansible_"))
            options |= self._from_arguments(name, str(arguments or ""))
        if path := options.get("IdentityFile"):
            options["IdentityFile"] = f'"{path}"'
        return options

    @property
    def sudo_password(self) -> str:
        """The password that the inventory has for sudo, or nothing."""
        return str(self._first(*_PASSWORDS) or "")

    @property
    def python(self) -> str:
        """The path of the Python that the inventory wants used, or nothing."""
        path = str(self.variables.get(_PYTHON, ""))
        return path if path.startswith("/") else ""

    def _first(self, *names: str, setting: str = "") -> Any:
        said = (self.variables[name] for name in names if name in self.variables)
        return next(said, self.configured.get(setting))

    def _from_arguments(self, name: str, text: str) -> dict[str, str]:
        """Return what arguments of ssh(1) say, as keywords of ssh_config(5)."""
        options = {}
        try:
            parsed, extra = getopt.getopt(shlex.split(text), _SSH_OPTIONS)
        except (ValueError, getopt.GetoptError) as error:
            raise KubeClusterError(f"{self.machine.name}: {name}: {error}") from None
        for option, value in parsed:
            if option == "-o":
                keyword, _, value = re.sub(r"^(\w+)\s*=?\s*", r"\1 ", value).partition(" ")
                options[keyword] = value
            elif option in _MEANING:
                keyword, _, fixed = _MEANING[option].partition(" ")
                options[keyword] = fixed or value
            elif option not in _WITHOUT_MEANING:
                extra = [option]
        if extra:
            raise KubeClusterError(
                f"{self.machine.name}: {name}: {extra[0]} is not understood; write what it does as "
                "-o KEYWORD=VALUE"
            )
        # Ours is the one shared connection.
        return {key: value for key, value in options.items() if not key.startswith("Control")}


@dataclass(frozen=True)
class Inventory:
    """The hosts of an inventory that are nodes, and all it says, as ``ansible-inventory`` does."""

    path: Path
    hosts: tuple[InventoryHost, ...]
    content: Mapping[str, Any] = field(repr=False)

    @property
    def machines(self) -> tuple[Machine, ...]:
        """The hosts as machines that are to be nodes."""
        return tuple(host.machine for host in self.hosts)

    @property
    def running(self) -> tuple[str, ...]:
        """The machines that already run: all."""
        return tuple(machine.name for machine in self.machines)


class InventoryMachines:
    """Machines that somebody else boots and removes."""

    def machine(self, node: str) -> str:
        """Return what the inventory calls the node."""
        return node

    def running(self) -> Sequence[str]:
        """Return nothing: only a run that uses them knows."""
        return ()

    def destroy(self) -> None:
        """Leave the machines as they are."""


def read_inventory(path: Path, patterns: RolePatterns, folder: Path) -> Inventory:
    """Return what an inventory says: INI, YAML, or a program that prints one.

    What it leaves open of how hosts are reached, the configuration of the Ansible in ``folder``
    says. A host's role is its variable ``role``, or what ``patterns`` make of its groups, or else
    of its name. Its address is ``private_ipv4``, or the IPv4 address it is reached at; other hosts
    are to be asked for theirs. Raises KubeClusterError naming the file and the host.
    """
    if not path.exists():
        raise KubeClusterError(f"{path} cannot be read: No such file or directory")
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(_configured, folder, path)
        listed = ask_ansible(
            "ansible-inventory", "--inventory", str(path), "--list", folder=folder, about=path
        )
        configured = asked.result()
    content = json.loads(listed)
    variables: dict[str, dict[str, Any]] = content.get("_meta", {}).get("hostvars", {})
    groups = _groups(content)
    names = list(dict.fromkeys([*groups, *variables]))
    if not names:
        raise KubeClusterError(f"{path} names no host")
    found = {name: variables.get(name, {}) for name in names}
    if any(_is_to_be_resolved(v) for known in found.values() for v in _ours(known).values()):
        resolved = _resolved(path, folder)
        # Ansible makes up what nobody said, ansible_host too.
        found = {
            name: {**known, **{key: resolved[name].get(key) for key in _ours(known)}}
            for name, known in found.items()
        }
    hosts = []
    for name in names:
        role = _role(name, groups.get(name, ()), found[name], patterns, path)
        if role != "none":
            machine = Machine(name, role, _address(name, found[name]))
            hosts.append(_checked(InventoryHost(machine, found[name], configured), path))
    if not hosts:
        raise KubeClusterError(f"{path} has no host that is a master or a worker")
    return Inventory(path, tuple(hosts), content)


def _groups(content: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the groups of each host, its own before those they are in."""
    groups: dict[str, list[str]] = {}

    def visit(group: str, outer: Sequence[str]) -> None:
        chain = [group, *outer]
        for name in content.get(group, {}).get("hosts", ()):
            groups.setdefault(name, []).extend(g for g in chain if g not in ("all", "ungrouped"))
        for child in content.get(group, {}).get("children", ()):
            visit(child, chain)

    visit("all", [])
    return groups


def _ours(variables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: variables[name] for name in _OURS if name in variables}


def _is_to_be_resolved(value: Any) -> bool:
    return (isinstance(value, str) and "{{" in value) or isinstance(value, Mapping)


def _configured(folder: Path, path: Path) -> dict[str, Any]:
    """Return what Ansible's configuration says of connections over ssh, by its settings' names."""
    arguments = ("dump", "--only-changed", "--type", "connection", "--format", "json", "ssh")
    text = ask_ansible("ansible-config", *arguments, folder=folder, about=path)
    settings = [setting for plugin in json.loads(text) for setting in plugin.get("ssh", ())]
    said = {setting["name"]: setting["value"] for setting in settings}
    if key := said.get("private_key_file"):
        # It is said relative to where Ansible runs; ssh is run elsewhere.
        said["private_key_file"] = str(folder / Path(key).expanduser())
    return said


def _resolved(path: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """Return our variables of each host as Ansible resolves them: templates, and vaulted ones."""
    wanted = ", ".join(f"'{name}': {name} | default(none)" for name in _OURS)
    arguments = ("all", "-m", "ansible.builtin.debug", "-a", f"msg={{{{ {{{wanted}}} }}}}")
    said = ask_ansible("ansible", "--inventory", str(path), *arguments, folder=folder, about=path)
    answers = re.findall(r"^(\S+) \| SUCCESS => (\{.*?^\})", said, re.MULTILINE | re.DOTALL)
    return {
        name: {k: v for k, v in json.loads(text)["msg"].items() if v is not None}
        for name, text in answers
    }


def _role(
    name: str,
    groups: Sequence[str],
    variables: Mapping[str, Any],
    patterns: RolePatterns,
    path: Path,
) -> Any:
    role = variables.get("role")
    if role not in ("master", "worker"):
        role = patterns.role_of(groups) or patterns.role_of([name])
    if role is None:
        raise KubeClusterError(
            f"{path}: the host {name} has no role; give it the variable role (master or worker), "
            f"put it into a group that names one, or say what it is: --kube-roles='{name}=worker' "
            "(none leaves it out)"
        )
    return role


def _address(name: str, variables: Mapping[str, Any]) -> IPv4Address:
    for place in (*(variables.get(key) for key in _ADDRESSES), name):
        try:
            address = IPv4Address(str(place))
        except ValueError:
            continue
        if not address.is_loopback:
            return address
    return NOT_ASKED


def _checked(host: InventoryHost, path: Path) -> InventoryHost:
    name, variables = host.machine.name, host.variables
    connection = variables.get("ansible_connection", "ssh")
    if connection not in ("ssh", "smart", "ansible.builtin.ssh"):
        raise KubeClusterError(f"{path}: {name} is not reached over ssh, but {connection}")
    if any(key in variables for key in _LOGIN_PASSWORDS):
        raise KubeClusterError(
            f"{path}: {name} lets in by password; give it a key (ansible_ssh_private_key_file, or "
            "an agent)"
        )
    try:
        _ = host.ssh_options
    except KubeClusterError as error:
        raise KubeClusterError(f"{path}: {error}") from None
    return host
