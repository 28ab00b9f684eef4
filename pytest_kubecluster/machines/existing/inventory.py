"""Reads an Ansible inventory of machines that already run."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, ip_address
from pathlib import Path
from typing import Any, ClassVar

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.base import Machines, MachinesRecord
from pytest_kubecluster.machines.existing.role_patterns import Choice, RolePatterns
from pytest_kubecluster.machines.existing.ssh_arguments import (
    add_option,
    key_file,
    parse_arguments,
)
from pytest_kubecluster.machines.existing.survey import Reach
from pytest_kubecluster.machines.ssh import SshOptions
from pytest_kubecluster.spec.parts import NO_ADDRESS, IPAddress
from pytest_kubecluster.spec.topology import Machine
from pytest_kubecluster.spec.values import shown
from pytest_kubecluster.util.ansible_cli import ask_ansible
from pytest_kubecluster.util.paths import readable_file

_OWN_ADDRESS = ("private_ipv4", "node_ip", "ip")
"""Variables for a node's own address: ours, that of several k3s roles, kubespray's."""
_HOST = ("ansible_host", "ansible_ssh_host")
_PORT = ("ansible_port", "ansible_ssh_port")
_USER = ("ansible_user", "ansible_ssh_user")
_KEY = ("ansible_private_key_file", "ansible_ssh_private_key_file")
_HOST_KEYS = ("ansible_host_key_checking", "ansible_ssh_host_key_checking")
_ARGUMENTS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
_SUDO_PASSWORDS = ("ansible_become_password", "ansible_become_pass")
_LOGIN_PASSWORDS = ("ansible_password", "ansible_ssh_pass", "ansible_ssh_password")
_PYTHON = "ansible_python_interpreter"
_CONNECTION = "ansible_connection"
_SSH = ("ssh", "smart", "ansible.builtin.ssh", "paramiko", "paramiko_ssh")
_VARIABLES = (
    *_OWN_ADDRESS,
    *_HOST,
    *_PORT,
    *_USER,
    *_KEY,
    *_HOST_KEYS,
    *_ARGUMENTS,
    *_SUDO_PASSWORDS,
    *_LOGIN_PASSWORDS,
    _PYTHON,
    _CONNECTION,
)
_ROLES: Mapping[str, Choice] = {
    "master": "master",
    "control_plane": "master",
    "worker": "worker",
    "node": "worker",
}
_ROLE_VARIABLES = ("role", "kubernetes_role")
_NO_GROUPS = ("all", "ungrouped")
_PRIVATE_NETWORKS = tuple(
    map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
)
_PASSWORD_HINT = "\n  ansible_password is not used: log in with a key"
_SHOWN = 6


@dataclass(frozen=True)
class InventoryHost:
    """A host that is a node, and how it is reached."""

    machine: Machine
    reach: Reach


@dataclass(frozen=True)
class Inventory:
    """The hosts of an inventory."""

    path: Path
    hosts: tuple[InventoryHost, ...]
    """The hosts that are nodes."""
    left_out: Mapping[str, tuple[str, ...]]
    """The other hosts, and the groups of each."""
    content: Mapping[str, Any] = field(repr=False)
    """What ``ansible-inventory`` prints; it may hold secrets."""

    @property
    def machines(self) -> tuple[Machine, ...]:
        """The hosts as machines that are to be nodes."""
        return tuple(host.machine for host in self.hosts)

    @property
    def running(self) -> tuple[str, ...]:
        """The machines that already run, which are all."""
        return tuple(machine.name for machine in self.machines)

    @property
    def reach(self) -> dict[str, Reach]:
        """How each machine is reached."""
        return {host.machine.name: host.reach for host in self.hosts}

    @property
    def without_address(self) -> tuple[str, ...]:
        """The machines that have to be asked for their addresses.

        The public address of a cloud's machine often belongs to a router and not to the machine. A
        machine that is reached over IPv6 may have an IPv4 address, which comes first.
        """
        return tuple(
            host.machine.name
            for host in self.hosts
            if host.machine.address == NO_ADDRESS or _may_be_another(host.reach.presumed)
        )

    def explain_left_out(self) -> str:
        """Return a line about the hosts that are not nodes, or nothing if all are."""
        if not self.left_out:
            return ""
        hosts = [
            f"{name} ({'in ' + ', '.join(groups) if groups else 'in no group'})"
            for name, groups in self.left_out.items()
        ]
        more = f" and {len(hosts) - _SHOWN} more" if len(hosts) > _SHOWN else ""
        return (
            f"left out because no role matches the name or groups: {', '.join(hosts[:_SHOWN])}"
            f"{more} (--kube-roles)"
        )


class InventoryMachines(Machines):
    """Machines that something else boots and removes."""

    tools: ClassVar[Mapping[str, str]] = {"ssh": "openssh-client"}

    @classmethod
    def recorded(cls, record: MachinesRecord) -> InventoryMachines:
        """Return the machines, of which nothing has to be known."""
        return cls()

    def machine(self, node: str) -> str:
        """Return the name that the inventory has for the node."""
        return node

    def running(self) -> Sequence[str]:
        """Return nothing: only a run that uses the machines knows."""
        return ()

    def destroy(self) -> None:
        """Leave the machines as they are."""


def read_inventory(path: Path, patterns: RolePatterns, folder: Path) -> Inventory:
    """Read an inventory: INI, YAML, a program that prints one, or a folder of these.

    Ansible runs in ``folder``; its configuration fills in how hosts are reached. A host's role is
    what ``patterns`` make of its groups and its name, or its variable ``role`` or
    ``kubernetes_role``; a host without a role is left out. Its address is ``private_ipv4``,
    ``node_ip`` or ``ip``, or the address that ssh connects to; other hosts have to be asked
    for theirs. Raises KubeClusterError naming the file and the host.
    """
    _check_readable(path)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(_connection_settings, folder, path)
        listed = ask_ansible(
            "ansible-inventory", "--inventory", str(path), "--list", folder=folder, about=path
        )
        settings = asked.result()
    content = _parsed(listed, path)
    variables: dict[str, dict[str, Any]] = content.get("_meta", {}).get("hostvars", {})
    groups = _groups_by_host(content)
    names = list(dict.fromkeys([*groups, *variables]))
    if not names:
        raise KubeClusterError(f"{path} names no host")
    roles = {
        name: _role(name, groups.get(name, ()), variables.get(name, {}), patterns) for name in names
    }
    nodes = {name: role for name, role in roles.items() if role == "master" or role == "worker"}
    left_out = {name: tuple(groups.get(name, ())) for name, role in roles.items() if role is None}
    found = {name: variables.get(name, {}) for name in nodes}
    if any(_has_template(value) for known in found.values() for value in _used(known).values()):
        resolved = _resolved(nodes, path, folder)
        # Ansible fills in defaults for what the inventory does not set, ansible_host among them.
        found = {
            name: {**known, **{key: resolved.get(name, {}).get(key) for key in _used(known)}}
            for name, known in found.items()
        }
    hosts = []
    for name, role in nodes.items():
        try:
            hosts.append(_host(name, role, found[name], settings, folder))
        except KubeClusterError as error:
            raise KubeClusterError(f"{path}: {name}: {error}") from None
    inventory = Inventory(path, tuple(hosts), left_out, content)
    if not hosts:
        raise KubeClusterError(
            f"{path} has no host that is a master or a worker\n  {inventory.explain_left_out()}\n"
            "  give hosts a role with --kube-roles='PATTERN=master PATTERN=worker'"
        )
    return inventory


def _check_readable(path: Path) -> None:
    """Raise KubeClusterError unless ``path`` is a file, or a folder of files, that can be read."""
    files = [path]
    if path.is_dir():
        files = list(_visible_files(path))
        if not files:
            raise KubeClusterError(f"{path} has no file that names hosts")
    for file in files:
        readable_file(file)


def _visible_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder; Ansible passes hidden ones over, as editors' locks."""
    for top, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(top, name) for name in names if not name.startswith("."))


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(text)
    except RecursionError:
        raise KubeClusterError(f"{path} is nested too deeply") from None
    except ValueError as error:
        raise KubeClusterError(f"{path}: ansible-inventory printed invalid JSON: {error}") from None
    return content


def _groups_by_host(content: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the groups of each host, its own before those that contain them.

    The hosts are in the order of the inventory.
    """
    ordered = ["all"]
    parents: dict[str, list[str]] = {}
    for group in ordered:  # which grows
        for child in content.get(group, {}).get("children", ()):
            parents.setdefault(child, []).append(group)
            if child not in ordered:
                ordered.append(child)
    groups: dict[str, list[str]] = {}
    for group in ordered:
        for name in content.get(group, {}).get("hosts", ()):
            groups.setdefault(name, []).append(group)
    for known in groups.values():
        for group in known:  # which grows
            known.extend(parent for parent in parents.get(group, ()) if parent not in known)
        known[:] = [group for group in known if group not in _NO_GROUPS]
    return groups


def _used(variables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: variables[name] for name in _VARIABLES if name in variables}


def _has_template(value: Any) -> bool:
    """Whether a value is a template or is in the vault."""
    return (isinstance(value, str) and "{{" in value) or isinstance(value, Mapping)


def _connection_settings(folder: Path, path: Path) -> dict[str, Any]:
    """Return what Ansible's configuration sets about connections over ssh, by name."""
    arguments = ("dump", "--only-changed", "--type", "connection", "--format", "json", "ssh")
    text = ask_ansible("ansible-config", *arguments, folder=folder, about=path)
    settings = [setting for plugin in json.loads(text) for setting in plugin.get("ssh", ())]
    return {setting["name"]: setting["value"] for setting in settings}


def _resolved(names: Mapping[str, Any], path: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """Return the variables of each host as Ansible resolves them: templates, and the vault."""
    wanted = ", ".join(f"'{name}': {name} | default(none)" for name in _VARIABLES)
    values = f"{{'name': inventory_hostname, {wanted}}} | to_json(vault_to_text=true) | b64encode"
    # In base64, no setting for colours, formats or verbosity can change how a value is printed.
    argument = f"msg={{{{ '<' ~ ({values}) ~ '>' }}}}"
    arguments = (",".join(names), "-m", "ansible.builtin.debug", "-a", argument)
    printed = ask_ansible(
        "ansible", "--inventory", str(path), *arguments, folder=folder, about=path
    )
    answers = map(json.loads, map(base64.b64decode, re.findall("<([A-Za-z0-9+/=]+)>", printed)))
    return {
        answer["name"]: {key: value for key, value in answer.items() if value is not None}
        for answer in answers
    }


def _role(
    name: str, groups: Sequence[str], variables: Mapping[str, Any], patterns: RolePatterns
) -> Choice | None:
    stated = (_ROLES.get(str(variables.get(key))) for key in _ROLE_VARIABLES)
    return (
        patterns.chosen(name, groups)
        or next(filter(None, stated), None)
        or patterns.role_of(name, groups)
    )


def _host(
    name: str, role: Any, variables: Mapping[str, Any], settings: Mapping[str, Any], folder: Path
) -> InventoryHost:
    """Return a node of the inventory. Raises KubeClusterError if it cannot be used."""
    connection = variables.get(_CONNECTION, "ssh")
    if connection not in _SSH:
        raise KubeClusterError(
            f"ansible_connection={connection} is not supported, nodes are reached over ssh; remove "
            f"it, or leave the host out with --kube-roles='{name}=none'"
        )
    own = _address(variables.get(key) for key in _OWN_ADDRESS)
    reached = _address([*(variables.get(key) for key in _HOST), name])
    python = str(_first(variables, (_PYTHON,)) or "")
    reach = Reach(
        _ssh_options(variables, settings, folder),
        python="" if python.startswith("auto") else python,
        sudo_password=str(_first(variables, _SUDO_PASSWORDS) or ""),
        presumed=None if own else reached,
        hint=_PASSWORD_HINT if _first(variables, _LOGIN_PASSWORDS) else "",
    )
    return InventoryHost(Machine(name, role, own or reached or NO_ADDRESS), reach)


def _ssh_options(
    variables: Mapping[str, Any], settings: Mapping[str, Any], folder: Path
) -> SshOptions:
    """Return how a host is reached, in the order in which Ansible's arguments count."""

    def value(names: Sequence[str], setting: str = "") -> Any:
        return _first(variables, names, settings.get(setting))

    def arguments(name: str) -> Iterator[tuple[str, str]]:
        try:
            setting = name.removeprefix("ansible_")
            yield from parse_arguments(str(value((name,), setting) or ""), folder)
        except KubeClusterError as error:
            where = name if name in variables else f"{setting} in Ansible's configuration"
            raise KubeClusterError(f"{where}: {error}") from None

    key = value(_KEY, "private_key_file")
    checks = str(value(_HOST_KEYS, "host_key_checking")).lower()
    stated = {
        "HostName": value(_HOST),
        "Port": _port(value(_PORT, "port")),
        "User": value(_USER, "remote_user"),
        "IdentityFile": key_file(str(key), folder) if key else None,
        "StrictHostKeyChecking": "no" if checks in ("false", "no", "off", "0") else None,
    }
    options: dict[str, str] = {}
    for keyword, text in (
        *arguments(_ARGUMENTS[0]),
        *stated.items(),
        *(pair for name in _ARGUMENTS[1:] for pair in arguments(name)),
    ):
        if text is not None:
            add_option(options, keyword, str(text))
    return options


def _port(value: Any) -> Any:
    """Return a port. Raises KubeClusterError for one that ssh would refuse, for all hosts."""
    text = str(value if value is not None else 22)
    if not text.isdecimal() or not 0 < int(text[:6]) < 65536:
        raise KubeClusterError(f"ansible_port: invalid value {shown(text)} (must be 1 to 65535)")
    return value


def _first(variables: Mapping[str, Any], names: Sequence[str], default: Any = None) -> Any:
    return next((variables[name] for name in names if name in variables), default)


def _address(places: Iterable[Any]) -> IPAddress | None:
    """Return the first of ``places`` that is an address beyond this host."""
    for place in places:
        try:
            address = ip_address(str(place))
        except ValueError:
            continue
        if not address.is_loopback and not address.is_unspecified:
            return address
    return None


def _may_be_another(address: IPAddress | None) -> bool:
    """Whether a node whose machine is reached at ``address`` may have another address."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _PRIVATE_NETWORKS)
    return address is not None
