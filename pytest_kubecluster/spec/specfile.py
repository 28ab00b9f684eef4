"""A cluster described in a file of the project: kubecluster.toml, or a table of pyproject.toml.

    masters = 1
    workers = 2
    version = "1.30.0"

    [kubelet]                  # every node's; [role.worker] a role's, [node.worker02] one node's
    cluster_domain = "example.org"
    labels = { zone = "a" }    # beside the role's own
    taints = ["dedicated=ci:NoExecute"]    # instead of the role's own
    flags = { v = 4 }          # on the command line
    remove_flags = ["lock-file", "exit-on-lock-contention"]

    [kubelet.settings]         # by flag name or configuration path, wherever the version has them
    max-pods = 50
    authorization.mode = "Webhook"

    [[files]]
    path = "/etc/kubernetes/ca.key"
    absent = true

    [cis.waivers]
    hostname-override = "the machines' names are Vagrant's"

Options and ini keys win over the file, the hook over all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.spec import toml_values as read
from pytest_kubecluster.spec.benchmarks import Waiver, check_waivers
from pytest_kubecluster.spec.kinds import SettingError, flatten_settings, normal_setting
from pytest_kubecluster.spec.model import ClusterSpec, KubeletSpec, NodeSpec, Role, SpecError
from pytest_kubecluster.spec.settings import parse_setting, same_value
from pytest_kubecluster.spec.toml_values import Reader, toml_name
from pytest_kubecluster.spec.values import shown
from pytest_kubecluster.spec.version import KubeVersion
from pytest_kubecluster.util.paths import readable_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAME = "kubecluster.toml"
PYPROJECT = "pyproject.toml"

Table = tuple[tuple[str, Any], ...]
"""The keys of a table and their values, as they have been read."""

_LONGEST_NAME = 253
"""No host name is longer (RFC 1123)."""

_ROLES: tuple[Role, ...] = ("master", "worker")


class SpecFileError(SpecError):
    """A file that does not describe a cluster; the message names the file and the key or line."""


@dataclass(frozen=True)
class Topology:
    """What the file states about the machines; None where it states nothing."""

    masters: int | None = None
    workers: int | None = None
    version: KubeVersion | None = None
    network: IPv4Network | None = None
    layout: str | None = None
    api_server: str | None = None


@dataclass(frozen=True)
class SpecFile:
    """A project's description of its cluster; empty if the project has none."""

    path: Path | None = None
    topology: Topology = Topology()
    kubelet: Table = ()
    roles: tuple[tuple[Role, Table], ...] = ()
    nodes: tuple[tuple[str, Table], ...] = ()
    waivers: tuple[Waiver, ...] = ()
    """The CIS checks that may fail."""

    def steps(self, spec: ClusterSpec) -> Iterator[tuple[str, ClusterSpec]]:
        """Yield the cluster as each table changes it, from the general to the particular.

        Raises SpecFileError for an unknown node, for settings that contradict each other, or that
        a node's version does not have, and for waivers of checks that there are not.
        """
        try:
            check_waivers(self.waivers, spec.version)
        except ValueError as error:
            raise SpecFileError(f"{self.path}: cis.waivers: {error}") from None
        if self.topology.api_server:
            spec = replace(spec, api_server_url=self.topology.api_server)
            # Existing machines are compared with it; rendered files follow from the cluster.
            found = {node.name for node in spec if not node.kubelet.bundled}
            spec = self._changed(spec, "", (("api_server", self.topology.api_server),), found)
        names = [node.name for node in spec]
        yield "[kubelet]", (spec := self._changed(spec, "kubelet", self.kubelet, names))
        for role, table in self.roles:
            of_role = [node.name for node in spec if node.role == role]
            spec = self._changed(spec, toml_name("role", role), table, of_role)
            yield f"[{toml_name('role', role)}]", spec
        for name, table in self.nodes:
            where = toml_name("node", name)
            if name not in names:
                raise SpecFileError(
                    f"{self.path}: {where}: unknown node; the nodes are {', '.join(names)}"
                )
            spec = self._changed(spec, where, table, [name])
            yield f"[{where}]", spec

    def _changed(
        self, spec: ClusterSpec, where: str, table: Table, names: Collection[str]
    ) -> ClusterSpec:
        place = f"{NAME} [{where}]" if where else NAME
        try:
            nodes = tuple(
                _changed_node(node, dict(table), place) if node.name in names else node
                for node in spec
            )
        except ValueError as error:
            raise SpecFileError(f"{self.path}: {where or 'api_server'}: {error}") from None
        return replace(spec, nodes=nodes)


def find_spec_file(start: Path) -> SpecFile:
    """Return what kubecluster.toml or pyproject.toml states, in ``start`` or the nearest parent.

    Raises SpecFileError, also where both describe a cluster.
    """
    for folder in (start, *start.parents):
        own, shared = folder / NAME, folder / PYPROJECT
        table = _shared_table(shared)
        there = os.path.lexists(own)
        if there and table is not None:
            raise SpecFileError(f"{own} and [tool.kubecluster] of {PYPROJECT}: keep one of them")
        if there:
            return read_spec_file(own, _load(own))
        if table is not None:
            return read_spec_file(shared, table)
    return SpecFile()


def read_spec_file(path: Path, data: Mapping[str, Any]) -> SpecFile:
    """Return what the tables of a file state. Raises SpecFileError naming the file and the key."""
    reader = _Reader(path)
    apart = ("cis", "kubelet", "role", "node", *_EVERYWHERE)
    topology = reader.table("", data, _TOPOLOGY, apart=apart)
    cis = dict(reader.table("cis", data.get("cis", {}), {"waivers": read.waivers}))
    everywhere = {key: data[key] for key in _EVERYWHERE if key in data}
    kubelet = data.get("kubelet", {})
    reader.must_be_table("kubelet", kubelet)
    if twice := [key for key in everywhere if key in kubelet]:
        raise SpecFileError(f"{path}: [{twice[0]}] and [kubelet.{twice[0]}]: keep one of them")
    roles = reader.tables("role", data.get("role", {}), known=_ROLES)
    nodes = reader.tables("node", data.get("node", {}))
    return SpecFile(
        path,
        Topology(**dict(topology)),
        (
            *reader.table("", everywhere, _EVERYWHERE),
            *reader.table("kubelet", kubelet, _KUBELET),
        ),
        tuple((r, reader.table(toml_name("role", r), table, _KUBELET)) for r, table in roles),
        tuple((n, reader.table(toml_name("node", n), table, _NODE)) for n, table in nodes),
        cis.get("waivers", ()),
    )


def _shared_table(path: Path) -> Any:
    """Return [tool.kubecluster] of a pyproject.toml, None where there is none."""
    if not path.is_file():
        return None
    try:
        # Most files above a project have nothing for us, and need not be valid either.
        if "kubecluster" not in path.read_text(encoding="utf-8"):
            return None
    except (OSError, UnicodeDecodeError):
        return None
    tool = _load(path).get("tool")
    return tool.get("kubecluster") if isinstance(tool, Mapping) else None


def _load(path: Path) -> dict[str, Any]:
    try:
        # Editors of Windows begin a text with a mark of its encoding.
        return tomllib.loads(readable_file(path).read_text(encoding="utf-8-sig"))
    except KubeClusterError as error:
        raise SpecFileError(str(error)) from None
    except tomllib.TOMLDecodeError as error:
        raise SpecFileError(f"{path}: {error}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SpecFileError(f"{path}: it is not UTF-8 text (line {line})") from None
    except RecursionError:
        raise SpecFileError(f"{path}: tables or lists are nested too deeply") from None
    except ValueError:
        # Python converts no text of more than 4,300 digits to a number.
        raise SpecFileError(f"{path}: a number has too many digits") from None
    except OSError as error:
        raise SpecFileError(f"{path} cannot be read: {error.strerror}") from None


class _Reader:
    """Read the tables of one file; errors name the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def table(
        self,
        where: str,
        given: Any,
        known: Mapping[str, Reader],
        apart: tuple[str, ...] = (),
    ) -> Table:
        """Return a table's values, each read as its key requires."""
        self.must_be_table(where, given)
        values = []
        for key, value in given.items():
            full = f"{where}.{toml_name(key)}" if where else toml_name(key)
            if key in apart:
                continue
            if key not in known:
                names = ", ".join(sorted([*known, *apart]))
                hint = _quoting(where, key, value)
                raise SpecFileError(f"{self._path}: unknown key {full}; known are {names}{hint}")
            try:
                values.append((key, known[key](value)))
            except (ValueError, TypeError, AttributeError) as error:
                raise SpecFileError(f"{self._path}: {full}: {error}") from None
            except RecursionError:
                raise SpecFileError(f"{self._path}: {full}: nested too deeply") from None
        return tuple(values)

    def tables(self, where: str, given: Any, known: tuple[Any, ...] = ()) -> list[tuple[Any, Any]]:
        """Return the tables in a table, whose names must be among ``known``, if that is given."""
        self.must_be_table(where, given)
        for name in given:
            if known and name not in known:
                raise SpecFileError(
                    f"{self._path}: unknown key {where}.{name}; known are {', '.join(known)}"
                )
        return list(given.items())

    def must_be_table(self, where: str, given: Any) -> None:
        """Raise SpecFileError for a value that is not a table."""
        if not isinstance(given, Mapping):
            raise SpecFileError(f"{self._path}: {where} must be a table, not {shown(given)}")


def _quoting(where: str, key: str, value: Any) -> str:
    """Return a hint for a node's name with dots that is not quoted: TOML makes tables of it."""
    if not where.startswith("node.") or not isinstance(value, Mapping):
        return ""
    name = f"{where.removeprefix('node.')}.{key}"
    while isinstance(value, Mapping) and len(value) == 1:
        ((key, value),) = value.items()
        if key in _NODE or not isinstance(value, Mapping):
            break
        name = f"{name}.{key}"
    if len(name) > _LONGEST_NAME:
        return ""
    return f"\nif {name} is the node's name, quote it: [{toml_name('node', name)}]"


def _changed_node(node: NodeSpec, table: dict[str, Any], place: str) -> NodeSpec:
    kubelet = node.kubelet
    if address := table.pop("address", None):
        node = replace(node, address=address)
        if kubelet.bundled:
            kubelet = replace(kubelet, node_ips=(address,))
    stated = _stated(kubelet, table)
    if "node_ip" in table:
        table["node_ips"] = table.pop("node_ip")
    kubelet = kubelet.without([name for name, _, _ in stated])
    kubelet = kubelet.with_labels({one.key: one.value for one in table.pop("labels", ())})
    flags = {**table.pop("flags", {}), **dict.fromkeys(table.pop("remove_flags", ()))}
    settings = dict(flatten_settings(kubelet.version, table.pop("settings", {})))
    settings.update(dict.fromkeys(table.pop("unset", ())))
    files = tuple(replace(file, said_in=place) for file in table.pop("files", ()))
    kubelet = replace(kubelet, **_parts(kubelet, table), **table)
    kubelet = kubelet.with_files(*files).with_flags(flags).with_settings(settings)
    return replace(node, kubelet=kubelet.noted([name for name, _, _ in stated], place))


def _parts(kubelet: KubeletSpec, table: dict[str, Any]) -> dict[str, Any]:
    """Take the tables about the unit, the identity and the host out, as fields of the spec."""
    parts: dict[str, Any] = {}
    if identity := table.pop("identity", None):
        parts["identity"] = replace(kubelet.identity, **identity)
    if host := table.pop("host", None):
        parts["host"] = replace(kubelet.host, **host)
    parts.update(table.pop("unit", {}))
    return parts


def _stated(kubelet: KubeletSpec, table: Mapping[str, Any]) -> list[tuple[str, Any, str]]:
    """Return the settings that a table states: name, value (None is unset), and under which key.

    Raises ValueError for two that contradict each other, or that the version does not have.
    """
    version = kubelet.version
    _check_empty(kubelet, table)
    stated: list[tuple[str, Any, str]] = []
    for key, flag in _FLAGS.items():
        if key in table and key != "labels":
            stated.append((flag, _flag_value(table[key]), key))
    for name, value in table.get("flags", {}).items():
        stated.append((name, value, f"flags.{toml_name(name)}"))
    stated += [(name, None, "remove_flags") for name in table.get("remove_flags", ())]
    for name, value in flatten_settings(version, table.get("settings", {})):
        stated.append((name, value, f"settings.{name}"))
    stated += [(name, None, "unset") for name in table.get("unset", ())]
    if "labels" in table:
        both = [where for name, _, where in stated if normal_setting(version, name) in _LABELS]
        if both:
            raise ValueError(f"labels and {both[0]} contradict each other: keep one of them")
    seen: dict[str, tuple[Any, str]] = {}
    for name, value, where in stated:
        if where.startswith(("flags.", "settings.")):
            try:
                parse_setting(version, name, value)
            except SettingError as error:
                raise ValueError(f"{where.partition('.')[0]}: {error}") from None
        key = normal_setting(version, name)
        if key in seen and not same_value(version, name, seen[key][0], value):
            raise ValueError(f"{seen[key][1]} and {where} contradict each other: keep one of them")
        seen[key] = (value, where)
    return stated


def _check_empty(kubelet: KubeletSpec, table: Mapping[str, Any]) -> None:
    """Raise ValueError for an empty text that would state nothing of an existing machine."""
    for key, flag in _FLAGS.items():
        if not kubelet.bundled and table.get(key) == "":
            raise ValueError(
                f"{key}: an empty text states nothing here; for a flag that must not be set "
                f'write unset = ["{flag}"]'
            )


def _flag_value(value: Any) -> Any:
    """Return a field's value as a setting has it; an empty tuple is a flag that is not set."""
    if isinstance(value, tuple):
        return tuple(map(str, value)) or None
    return value


def _fields(readers: Mapping[str, tuple[str, Reader]], what: str) -> Reader:
    """Return a reader of a table whose keys are fields of the spec under other names."""

    def fields(value: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in read.table(value, what).items():
            if key not in readers:
                raise ValueError(f"unknown key {key}; known are {', '.join(readers)}")
            name, reader = readers[key]
            try:
                found[name] = reader(item)
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None
        return found

    return fields


_FLAGS = {
    "allow_privileged": "allow-privileged",
    "anonymous_auth": "anonymous-auth",
    "client_ca_file": "client-ca-file",
    "cluster_dns": "cluster-dns",
    "cluster_domain": "cluster-domain",
    "cni_conf_dir": "cni-conf-dir",
    "config_path": "config",
    "hostname": "hostname-override",
    "kubeconfig": "kubeconfig",
    "labels": "node-labels",
    "lock_file": "lock-file",
    "manifests": "pod-manifest-path",
    "network_plugin": "network-plugin",
    "node_ip": "node-ip",
    "taints": "register-with-taints",
}
"""The flags that fields of a spec stand for."""

_LABELS = ("node-labels", "nodeLabels")

_TOPOLOGY: Mapping[str, Reader] = {
    "masters": read.number,
    "workers": read.number,
    "version": read.version,
    "network": read.network,
    "layout": read.layout,
    "api_server": read.url,
}

_UNIT = _fields(
    {
        "name": ("unit", read.text),
        "path": ("unit_path", read.path),
        "drop_ins": ("unit_drop_ins", read.paths),
        "environment_files": ("unit_environment_files", read.paths),
        "text": ("unit_text", read.text),
    },
    "the unit's properties",
)
_IDENTITY = _fields(
    {"user": ("user", read.text), "groups": ("groups", read.texts)}, "user and groups"
)
_HOST = _fields(
    {
        "resolver": ("resolver", read.boolean),
        "no_failed_units": ("no_failed_units", read.boolean),
    },
    "facts that are demanded",
)

_EVERYWHERE: Mapping[str, Reader] = {
    "files": read.files,
    "unit": _UNIT,
    "identity": _IDENTITY,
    "host": _HOST,
}
"""Tables about all nodes at the top of the file, and about some of them in other tables."""

_KUBELET: Mapping[str, Reader] = {
    **_EVERYWHERE,
    "allow_privileged": read.boolean,
    "anonymous_auth": read.boolean,
    "api_server": read.url,
    "cgroup_v1": read.boolean,
    "client_ca_file": read.path,
    "cluster_dns": read.addresses,
    "cluster_domain": read.text,
    "cni_conf_dir": read.path,
    "config_path": read.path,
    "flags": read.flags,
    "hostname": read.text,
    "kubeconfig": read.path,
    "labels": read.labels,
    "launched_by": read.launcher,
    "lock_file": read.path,
    "manifests": read.path,
    "modes": read.modes,
    "network_plugin": read.text,
    "node_ip": read.node_addresses,
    "remove_flags": read.flag_names,
    "restart_seconds": read.number,
    "settings": read.settings,
    "swap": read.boolean,
    "taints": read.taints,
    "unset": read.texts,
}

_NODE: Mapping[str, Reader] = {**_KUBELET, "address": read.address}
