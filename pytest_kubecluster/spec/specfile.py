"""A cluster described in a file of the project: kubecluster.toml, or a table of pyproject.toml.

    masters = 1
    workers = 2
    version = "1.30.0"

    [kubelet]                  # every node's; [role.worker] a role's, [node.worker02] one node's
    cluster_domain = "example.org"
    labels = { zone = "a" }    # beside the role's own
    taints = ["dedicated=ci:NoExecute"]    # instead of the role's own
    flags = { v = 4 }
    remove_flags = ["lock-file", "exit-on-lock-contention"]

Options and ini keys win over the file, the hook over all.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.flags import normal_name
from pytest_kubecluster.spec.launcher import LAUNCHERS
from pytest_kubecluster.spec.model import ClusterSpec, KubeletSpec, NodeSpec, Role, SpecError
from pytest_kubecluster.spec.parts import Label, Taint
from pytest_kubecluster.spec.version import KNOWN, KubeVersion

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

NAME = "kubecluster.toml"
PYPROJECT = "pyproject.toml"

_ROLES: tuple[Role, ...] = ("master", "worker")
_LABEL_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_LABEL_KEY = re.compile(rf"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?/)?{_LABEL_WORD}")
_LABEL_VALUE = re.compile(rf"(?:{_LABEL_WORD})?")
"""Kubernetes documentation, Labels and Selectors: syntax and character set."""


class SpecFileError(SpecError):
    """A file that describes no cluster; the message names the file and the key or line."""


@dataclass(frozen=True)
class Topology:
    """What the file says of the machines; None where it says nothing."""

    masters: int | None = None
    workers: int | None = None
    version: KubeVersion | None = None
    network: IPv4Network | None = None
    api_server: str | None = None


@dataclass(frozen=True)
class SpecFile:
    """A project's description of its cluster; an empty one where there is none."""

    path: Path | None = None
    topology: Topology = Topology()
    kubelet: tuple[tuple[str, Any], ...] = ()
    roles: tuple[tuple[Role, tuple[tuple[str, Any], ...]], ...] = ()
    nodes: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...] = ()

    def steps(self, spec: ClusterSpec) -> Iterator[tuple[str, ClusterSpec]]:
        """Yield the cluster as each table makes it, from the general to the particular.

        Raises SpecFileError for a node there is not.
        """
        if self.topology.api_server:
            spec = dataclasses.replace(spec, api_server_url=self.topology.api_server)
        names = [node.name for node in spec]
        yield "[kubelet]", (spec := _changed(spec, self.kubelet, names))
        for role, table in self.roles:
            spec = _changed(spec, table, [node.name for node in spec if node.role == role])
            yield f"[role.{role}]", spec
        for name, table in self.nodes:
            if name not in names:
                raise SpecFileError(
                    f"{self.path}: node.{name}: there is no such node; there are {', '.join(names)}"
                )
            spec = _changed(spec, table, [name])
            yield f"[node.{name}]", spec


def find_spec_file(project: Path) -> SpecFile:
    """Return what the project's kubecluster.toml says, or else its pyproject.toml.

    Raises SpecFileError, also where both say something.
    """
    own, shared = project / NAME, project / PYPROJECT
    table = _load(shared).get("tool", {}).get("kubecluster") if shared.exists() else None
    if own.exists() and table is not None:
        raise SpecFileError(f"{own} and [tool.kubecluster] of {PYPROJECT}: keep one of them")
    if own.exists():
        return read_spec_file(own, _load(own))
    return SpecFile() if table is None else read_spec_file(shared, table)


def read_spec_file(path: Path, data: Mapping[str, Any]) -> SpecFile:
    """Return what the tables of a file say. Raises SpecFileError naming the file and the key."""
    reader = _Reader(path)
    topology = reader.table("", data, _TOPOLOGY, apart=("kubelet", "role", "node"))
    roles = reader.tables("role", data.get("role", {}), known=_ROLES)
    nodes = reader.tables("node", data.get("node", {}))
    return SpecFile(
        path,
        Topology(**dict(topology)),
        reader.table("kubelet", data.get("kubelet", {}), _KUBELET),
        tuple((r, reader.table(f"role.{r}", table, _KUBELET)) for r, table in roles),
        tuple((n, reader.table(f"node.{n}", table, {**_KUBELET, **_NODE})) for n, table in nodes),
    )


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecFileError(f"{path}: {error}") from None
    except OSError as error:
        raise SpecFileError(f"{path} cannot be read: {error.strerror}") from None


class _Reader:
    """Reads the tables of one file and names it where they are wrong."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def table(
        self,
        where: str,
        given: Any,
        known: Mapping[str, Callable[[Any], Any]],
        apart: tuple[str, ...] = (),
    ) -> tuple[tuple[str, Any], ...]:
        """Return a table's values, each read as its key asks for."""
        self._must_be_table(where, given)
        read = []
        for key, value in given.items():
            full = f"{where}.{key}" if where else key
            if key in apart:
                continue
            if key not in known:
                names = ", ".join(sorted([*known, *apart]))
                raise SpecFileError(f"{self._path}: unknown key {full}; known are {names}")
            try:
                read.append((key, known[key](value)))
            except (ValueError, TypeError, AttributeError) as error:
                raise SpecFileError(f"{self._path}: {full}: {error}") from None
        return tuple(read)

    def tables(self, where: str, given: Any, known: tuple[Any, ...] = ()) -> list[tuple[Any, Any]]:
        """Return the tables in a table, whose names must be among ``known``, if that is given."""
        self._must_be_table(where, given)
        for name in given:
            if known and name not in known:
                raise SpecFileError(
                    f"{self._path}: unknown key {where}.{name}; known are {', '.join(known)}"
                )
        return list(given.items())

    def _must_be_table(self, where: str, given: Any) -> None:
        if not isinstance(given, Mapping):
            raise SpecFileError(f"{self._path}: {where} must be a table")


def _changed(
    spec: ClusterSpec, table: tuple[tuple[str, Any], ...], names: Collection[str]
) -> ClusterSpec:
    nodes = tuple(_changed_node(node, dict(table)) if node.name in names else node for node in spec)
    return dataclasses.replace(spec, nodes=nodes)


def _changed_node(node: NodeSpec, table: dict[str, Any]) -> NodeSpec:
    kubelet = node.kubelet
    if address := table.pop("address", None):
        node = dataclasses.replace(node, address=address)
        kubelet = dataclasses.replace(kubelet, node_ips=(address,))
    labels = table.pop("labels", ())
    flags = {**table.pop("flags", {}), **dict.fromkeys(table.pop("remove_flags", ()))}
    kubelet = dataclasses.replace(kubelet, labels=(*kubelet.labels, *labels), **table)
    return dataclasses.replace(node, kubelet=kubelet.with_flags(flags))


def _is(kind: type[T], what: str) -> Callable[[Any], T]:
    def read(value: Any) -> T:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{value!r} is no {what}")
        return value

    return read


_text = _is(str, "text in quotes")


def _number(value: Any) -> int:
    number = _is(int, "number")(value)
    if number < 0:
        raise ValueError(f"{number} is below 0")
    return number


def _path(value: Any) -> str:
    if not _text(value).startswith("/"):
        raise ValueError(f"{value!r} is no absolute path")
    return str(value)


def _address(value: Any) -> IPv4Address:
    try:
        return IPv4Address(_text(value))
    except ValueError:
        raise ValueError(f"{value!r} is no IPv4 address") from None


def _url(value: Any) -> str:
    parts = urlsplit(_text(value))
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError(f"{value!r} is no URL of an API server; write it as https://HOST:PORT")
    return str(value)


def _launcher(value: Any) -> str:
    if value not in LAUNCHERS:
        raise ValueError(f"{value!r} is none of {', '.join(LAUNCHERS)}")
    return str(value)


def _labels(value: Any) -> tuple[Label, ...]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r} is no table of labels")
    labels = tuple(Label(key, _text(text)) for key, text in value.items())
    for label in labels:
        if not _LABEL_KEY.fullmatch(label.key) or not _LABEL_VALUE.fullmatch(label.value):
            raise ValueError(
                f"{str(label)!r} is no label: key and value take up to 63 letters, digits, dots, "
                "hyphens and underscores, and begin and end with a letter or digit; before the "
                "key may stand a domain and a slash"
            )
    return labels


def _taints(value: Any) -> tuple[Taint, ...]:
    return tuple(Taint.parse(_text(item)) for item in _is(list, "list of taints")(value))


def _flags(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r} is no table of flags")
    return {name: _flag_text(name, given) for name, given in value.items()}


def _flag_text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    if isinstance(value, list):
        return ",".join(_flag_text(name, item) for item in value)
    raise ValueError(f"flag {name}: {value!r} is neither text, a number, a truth value nor a list")


def _modes(value: Any) -> tuple[tuple[str, int], ...]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r} is no table of modes")
    return tuple((_file_name(name), _mode(text)) for name, text in value.items())


def _file_name(name: str) -> str:
    known = ("ca.crt", "ca.key", "kubeconfig", "kubelet.service", "kubelet.yaml")
    if name not in known:
        raise ValueError(f"{name!r} is none of {', '.join(known)}")
    return name


def _mode(value: Any) -> int:
    if not re.fullmatch("0?[0-7]{3}", _text(value)):
        raise ValueError(f"{value!r} is no mode; write it as '0640'")
    return int(value, 8)


def _flag_names(value: Any) -> tuple[str, ...]:
    names = tuple(_text(item) for item in _is(list, "list of flags")(value))
    for name in names:
        if catalog.history(normal_name(name)) is None:
            raise ValueError(f"no kubelet from {KNOWN} has a flag --{name}")
    return names


_TOPOLOGY: dict[str, Callable[[Any], Any]] = {
    "masters": _number,
    "workers": _number,
    "version": lambda value: KubeVersion.parse_known(_text(value)),
    "network": lambda value: IPv4Network(_text(value)),
    "api_server": lambda value: _url(value),
}
_NODE: dict[str, Callable[[Any], Any]] = {"address": _address}
_BY_TYPE: dict[str, Callable[[Any], Any]] = {
    "str": _text,
    "int": _number,
    "bool": _is(bool, "truth value"),
    "bool | None": _is(bool, "truth value"),
}
_SPECIAL: dict[str, Callable[[Any], Any]] = {
    "cluster_dns": lambda value: (_address(value),),
    "labels": _labels,
    "taints": _taints,
    "modes": _modes,
    "launched_by": _launcher,
    "flags": _flags,
    "remove_flags": _flag_names,
    **dict.fromkeys(
        ("client_ca_file", "cni_conf_dir", "config_path", "kubeconfig", "lock_file", "manifests"),
        _path,
    ),
}
_FOLLOWS = (
    *("node_ips", "version", "extra_flags", "unit", "unit_path", "ca_key_file"),
    *("unit_drop_ins", "unit_environment_files", "unit_text", "extra_settings", "own_files"),
    *("identity", "api_server", "hostname", "host", "layout"),
)
"""What of a KubeletSpec follows from elsewhere, or is not for a file to say."""
_KUBELET = {
    field.name: _BY_TYPE[str(field.type)]
    for field in dataclasses.fields(KubeletSpec)
    if field.name not in _FOLLOWS and field.name not in _SPECIAL
} | _SPECIAL
