"""Machines that already run, as an Ansible inventory names them."""

from __future__ import annotations

import getopt
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.roles import RolePatterns
from pytest_kubecluster.spec import NOT_ASKED, Machine
from pytest_kubecluster.ssh import SshOptions

_SECONDS = 120
_ADDRESSES = ("private_ipv4", "ansible_host", "ansible_ssh_host")
_SSH_KEYWORDS: Mapping[str, tuple[str, ...]] = {
    "HostName": ("ansible_host", "ansible_ssh_host"),
    "Port": ("ansible_port", "ansible_ssh_port"),
    "User": ("ansible_user", "ansible_ssh_user"),
    "IdentityFile": ("ansible_private_key_file", "ansible_ssh_private_key_file"),
}
_SSH_ARGS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
_PASSWORDS = ("ansible_become_password", "ansible_become_pass")
_LOGIN_PASSWORDS = ("ansible_password", "ansible_ssh_pass", "ansible_ssh_password")
_PYTHON = "ansible_python_interpreter"
_OURS = (
    *_ADDRESSES,
    *(name for names in _SSH_KEYWORDS.values() for name in names),
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

    @property
    def ssh_options(self) -> SshOptions:
        """How it is reached, as ssh_config(5) says that. Raises KubeClusterError."""
        told = {keyword: self._first(*names) for keyword, names in _SSH_KEYWORDS.items()}
        options = {keyword: str(value) for keyword, value in told.items() if value is not None}
        for name in _SSH_ARGS:
            options |= self._from_arguments(name, str(self.variables.get(name) or ""))
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

    def _first(self, *names: str) -> Any:
        return next((self.variables[name] for name in names if name in self.variables), None)

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


def read_inventory(path: Path, patterns: RolePatterns) -> Inventory:
    """Return what an inventory says: INI, YAML, or a program that prints one.

    A host's role is its variable ``role``, or what ``patterns`` make of its groups, or else of its
    name. Its address is ``private_ipv4``, or the IPv4 address it is reached at; other hosts are to
    be asked for theirs. Raises KubeClusterError naming the file and the host.
    """
    if not path.exists():
        raise KubeClusterError(f"{path} cannot be read: No such file or directory")
    content = json.loads(_ansible("ansible-inventory", path, "--list"))
    variables: dict[str, dict[str, Any]] = content.get("_meta", {}).get("hostvars", {})
    groups = _groups(content)
    names = list(dict.fromkeys([*groups, *variables]))
    if not names:
        raise KubeClusterError(f"{path} names no host")
    found = {name: variables.get(name, {}) for name in names}
    if any(_is_to_be_resolved(v) for known in found.values() for v in _ours(known).values()):
        resolved = _resolved(path)
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
            hosts.append(_checked(InventoryHost(machine, found[name]), path))
    if not hosts:
        raise KubeClusterError(f"{path} has no host that is a master or a worker")
    return Inventory(path, tuple(hosts), content)


def _ansible(program: str, path: Path, *arguments: str) -> str:
    """Run one of Ansible's programs on an inventory, in the project's own configuration."""
    beside = Path(sys.executable).with_name(program)
    executable = str(beside) if beside.exists() else shutil.which(program)
    if executable is None:
        raise KubeClusterError(f"{program} is missing; install it with: pip install ansible-core")
    environment = {
        **os.environ,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_STDOUT_CALLBACK": "minimal",
        "ANSIBLE_DEPRECATION_WARNINGS": "0",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
    }
    try:
        done = subprocess.run(
            [executable, "--inventory", str(path), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise KubeClusterError(f"{path}: {program} took longer than {_SECONDS} s") from None
    if done.returncode != 0:
        said = "\n".join(f"    {line}" for line in done.stderr.strip().splitlines()[-8:])
        raise KubeClusterError(f"{path} is no inventory that Ansible reads:\n{said}")
    return done.stdout


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


def _resolved(path: Path) -> dict[str, dict[str, Any]]:
    """Return our variables of each host as Ansible resolves them: templates, and vaulted ones."""
    wanted = ", ".join(f"'{name}': {name} | default(none)" for name in _OURS)
    said = _ansible(
        "ansible", path, "all", "-m", "ansible.builtin.debug", "-a", f"msg={{{{ {{{wanted}}} }}}}"
    )
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
