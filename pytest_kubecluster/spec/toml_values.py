"""Readers of the values in a spec file. Each raises ValueError naming what is expected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.benchmarks import Waiver
from pytest_kubecluster.spec.defaults import BUNDLED_LAYOUTS
from pytest_kubecluster.spec.flags import normal_name
from pytest_kubecluster.spec.launcher import LAUNCHERS
from pytest_kubecluster.spec.parts import FileStatement, IPAddress, Label, Taint
from pytest_kubecluster.spec.values import frozen, shown
from pytest_kubecluster.spec.version import KNOWN, KubeVersion

T = TypeVar("T")

Reader = Callable[[Any], Any]

RENDERED = ("ca.crt", "ca.key", "kubeconfig", "kubelet.service", "kubelet.yaml")
"""The names of the files that are rendered."""

_LABEL_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_LABEL_KEY = re.compile(rf"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?/)?{_LABEL_WORD}")
_LABEL_VALUE = re.compile(rf"(?:{_LABEL_WORD})?")
"""Kubernetes documentation, Labels and Selectors: syntax and character set."""

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")


def toml_name(*parts: str) -> str:
    """Return a dotted TOML key, its parts quoted where they have to be: ``node."a.b"``."""
    return ".".join(
        part
        if _PLAIN_KEY.fullmatch(part)
        else '"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for part in parts
    )


def text(value: Any) -> str:
    """Read text."""
    if not isinstance(value, str):
        raise ValueError(f"invalid value {shown(value)} (must be text in quotes)")
    return value


def number(value: Any) -> int:
    """Read a number that is not negative."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"invalid value {shown(value)} (must be a number)")
    if not 0 <= value < 2**31:
        raise ValueError(f"invalid value {shown(value)} (must be from 0 to {2**31 - 1})")
    return value


def boolean(value: Any) -> bool:
    """Read a boolean."""
    if not isinstance(value, bool):
        raise ValueError(f"invalid value {shown(value)} (must be true or false)")
    return value


def items(value: Any, what: str) -> list[Any]:
    """Read a list."""
    if not isinstance(value, list):
        raise ValueError(f"invalid value {shown(value)} (must be a list of {what})")
    return value


def table(value: Any, what: str) -> Mapping[str, Any]:
    """Read a table."""
    if not isinstance(value, Mapping):
        raise ValueError(f"invalid value {shown(value)} (must be a table of {what})")
    return value


def path(value: Any) -> str:
    """Read an absolute path."""
    if not text(value).startswith("/"):
        raise ValueError(f"invalid value {shown(value)} (must be an absolute path)")
    return str(value)


def paths(value: Any) -> tuple[str, ...]:
    """Read a list of absolute paths."""
    return tuple(path(item) for item in items(value, "paths"))


def texts(value: Any) -> tuple[str, ...]:
    """Read a list of texts."""
    return tuple(text(item) for item in items(value, "text"))


def address(value: Any) -> IPAddress:
    """Read an IPv4 or IPv6 address."""
    try:
        return ip_address(text(value))
    except ValueError:
        raise ValueError(f"invalid value {shown(value)} (must be an IP address)") from None


def addresses(value: Any) -> tuple[IPAddress, ...]:
    """Read one address or a list of them."""
    return tuple(address(item) for item in (value if isinstance(value, list) else [value]))


def node_addresses(value: Any) -> tuple[IPAddress, ...]:
    """Read the addresses of ``--node-ip``; false states that the flag is absent."""
    return () if value is False else addresses(value)


def network(value: Any) -> IPv4Network:
    """Read an IPv4 network."""
    return IPv4Network(text(value))


def url(value: Any) -> str:
    """Read the URL of an API server; a proxy on the node itself may speak plain HTTP."""
    try:
        parts = urlsplit(text(value))
        valid = parts.scheme in ("https", "http") and parts.hostname and parts.port != 0
    except ValueError:  # an address or port that is none
        valid = False
    if not valid:
        raise ValueError(f"invalid value {shown(value)} (must be a URL: https://HOST:PORT)")
    return str(value)


def version(value: Any) -> KubeVersion:
    """Read the version of a known kubelet."""
    return KubeVersion.parse_known(text(value))


def launcher(value: Any) -> str:
    """Read the name of a launcher."""
    if value not in LAUNCHERS:
        raise ValueError(f"invalid choice {shown(value)} (choose from {', '.join(LAUNCHERS)})")
    return str(value)


def layout(value: Any) -> str:
    """Read the name of a bundled layout."""
    if value not in BUNDLED_LAYOUTS:
        known = ", ".join(BUNDLED_LAYOUTS)
        raise ValueError(f"invalid choice {shown(value)} (choose from {known})")
    return str(value)


def labels(value: Any) -> tuple[Label, ...]:
    """Read a table of labels."""
    read = tuple(Label(key, text(item)) for key, item in table(value, "labels").items())
    for label in read:
        if not _LABEL_KEY.fullmatch(label.key) or not _LABEL_VALUE.fullmatch(label.value):
            raise ValueError(
                f"invalid label {shown(str(label))}: key and value consist of up to 63 letters, "
                "digits, dots, hyphens and underscores, and begin and end with a letter or digit; "
                "the key may follow a domain and a slash"
            )
    return read


def taints(value: Any) -> tuple[Taint, ...]:
    """Read a list of taints."""
    return tuple(Taint.parse(text(item)) for item in items(value, "taints"))


def flags(value: Any) -> dict[str, str]:
    """Read a table of flags, their values as the command line writes them."""
    return {name: _flag_text(name, given) for name, given in table(value, "flags").items()}


def _flag_text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return shown(value)
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ",".join(_flag_text(name, item) for item in value)
    raise ValueError(
        f"flag {name}: invalid value {shown(value)} (must be text, a number, a boolean or a list)"
    )


def flag_names(value: Any) -> tuple[str, ...]:
    """Read a list of flags that some kubelet has."""
    names = texts(value)
    for name in names:
        if catalog.history(normal_name(name)) is None:
            raise ValueError(f"no kubelet from {KNOWN} has a flag --{name}")
    return names


def settings(value: Any) -> Mapping[str, Any]:
    """Read a table of settings; nested tables are dotted configuration paths."""
    return {name: _plain(name, item) for name, item in table(value, "settings").items()}


def _plain(name: str, value: Any) -> Any:
    """Return a value that YAML and JSON know. Raises ValueError."""
    if isinstance(value, Mapping):
        return {key: _plain(f"{name}.{key}", item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(name, item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name}: invalid value {value} (must be a finite number)")
    if not isinstance(value, (str, bool, int, float)):
        raise ValueError(f"{name}: invalid value {value} (must be text, a number or a boolean)")
    return frozen(value)


def modes(value: Any) -> tuple[tuple[str, int], ...]:
    """Read the modes of rendered files, by name."""
    read = table(value, "modes").items()
    return tuple((_rendered_name(name), mode(item)) for name, item in read)


def _rendered_name(name: str) -> str:
    if name not in RENDERED:
        raise ValueError(f"invalid choice {shown(name)} (choose from {', '.join(RENDERED)})")
    return name


def mode(value: Any) -> int:
    """Read a file's mode."""
    if not isinstance(value, str) or not re.fullmatch("0?[0-7]{3,4}", value):
        raise ValueError(f"invalid mode {shown(value)}; write it as '0640'")
    return int(value, 8)


def digest(value: Any) -> str:
    """Read a SHA-256 digest."""
    found = _DIGEST.fullmatch(text(value))
    if not found:
        raise ValueError(f"invalid digest {shown(value)} (must be SHA-256 in hexadecimal)")
    return found[1].lower()


def file(value: Any) -> FileStatement:
    """Read a statement about a file."""
    given = table(value, "a file's path, owner, group, mode, digest, content and absent")
    readers: Mapping[str, Reader] = {
        "path": path,
        "owner": text,
        "group": text,
        "mode": mode,
        "digest": digest,
        "content": lambda item: text(item).encode(),
        "absent": boolean,
    }
    read: dict[str, Any] = {}
    for key, item in given.items():
        if key not in readers:
            raise ValueError(f"unknown key {key}; known are {', '.join(readers)}")
        try:
            read[key] = readers[key](item)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    if "path" not in read:
        raise ValueError("path is missing")
    where = read["path"]
    if read.get("absent") and len(read) > 2:
        others = ", ".join(key for key in read if key not in ("path", "absent"))
        raise ValueError(f"{where}: absent cannot be combined with {others}")
    if "digest" in read and "content" in read:
        raise ValueError(f"{where}: digest and content cannot be combined")
    return FileStatement(**read)


def files(value: Any) -> tuple[FileStatement, ...]:
    """Read a list of statements about files, each about another one."""
    read = [file(item) for item in items(value, "tables")]
    seen: set[str] = set()
    for one in read:
        if one.path in seen:
            raise ValueError(f"{one.path} is stated twice")
        seen.add(one.path)
    return tuple(read)


def waivers(value: Any) -> tuple[Waiver, ...]:
    """Read a table of CIS checks that may fail, each with a reason."""
    read = table(value, "checks and the reasons why they may fail")
    for check, reason in read.items():
        if isinstance(reason, Mapping):
            raise ValueError(f'{check}: a number has to be quoted, as in "4.2.6" = "the reason"')
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(f"{check}: invalid value {shown(reason)} (must be the reason)")
    return tuple(Waiver(check, reason.strip()) for check, reason in read.items())
