"""Turn the text of one option into a value.

Each parser takes the text and the folder that relative paths start from, and raises ValueError or
KubeClusterError for what it does not accept. What only a session with a cluster needs is imported
where it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pytest_kubecluster.cluster.sources import Download, Hollow
from pytest_kubecluster.spec.defaults import DEFAULT_NETWORK
from pytest_kubecluster.spec.version import KubeVersion
from pytest_kubecluster.util.paths import readable_file, readable_folder, user_path

if TYPE_CHECKING:
    from pytest_kubecluster.machines.existing.role_patterns import RolePatterns
    from pytest_kubecluster.util.checksum import Checksum

T = TypeVar("T")
Choice = TypeVar("Choice", bound=str)
Parser = Callable[[str, Path], T]

MOST_NODES = 1000
"""The most nodes of one role: far more than fit on a host, and few enough to describe."""
_LONGEST_PASSWORD = 4096

_TRUE = ("1", "yes", "y", "true", "t", "on")
_FALSE = ("0", "no", "n", "false", "f", "off")
"""What pytest accepts for a boolean ini key."""

_RESERVED = {
    "this host": IPv4Network("0.0.0.0/8"),
    "loopback": IPv4Network("127.0.0.0/8"),
    "link-local addresses": IPv4Network("169.254.0.0/16"),
    "multicast": IPv4Network("224.0.0.0/4"),
    "future use": IPv4Network("240.0.0.0/4"),
}
"""RFC 6890 and RFC 5771: networks whose addresses no node can have."""


def optional(parse: Parser[T]) -> Parser[T | None]:
    """Return a parser that returns None for an empty text."""
    return lambda text, folder: parse(text, folder) if text else None


def plain(text: str, folder: Path) -> str:
    """Return the text."""
    return text


def choice(text: str, choices: tuple[Choice, ...]) -> Choice:
    """Return the one of ``choices`` that the text names."""
    for one in choices:
        if text == one:
            return one
    raise ValueError(f"invalid choice {text!r} (choose from {', '.join(choices)})")


def boolean(text: str, folder: Path) -> bool:
    """Read a boolean as pytest does."""
    word = text.lower()
    if word not in _TRUE + _FALSE:
        raise ValueError(f"invalid boolean {text!r} (choose from yes, no)")
    return word in _TRUE


def node_count(text: str, folder: Path) -> int:
    """Read a number of nodes."""
    return _integer(text, 0, MOST_NODES)


def fork_count(text: str, folder: Path) -> int:
    """Read a number of machines to work on at the same time."""
    return _integer(text, 1, MOST_NODES)


def _integer(text: str, least: int, most: int) -> int:
    digits = text.lstrip("0") or "0"
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"invalid number {text!r}: must be a whole number of at least {least}")
    # The length first: Python refuses to convert thousands of digits.
    if len(digits) > len(str(most)) or int(digits) > most:
        raise ValueError(f"invalid number {text[:20]}: must be at most {most}")
    if int(digits) < least:
        raise ValueError(f"invalid number {text}: must be at least {least}")
    return int(digits)


def seconds(text: str, folder: Path) -> float:
    """Read a number of seconds above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < inf:
        raise ValueError(f"invalid number of seconds {text!r}: must be above 0")
    return number


def network(text: str, folder: Path) -> IPv4Network:
    """Read an IPv4 subnet that nodes can be in."""
    try:
        subnet = IPv4Network(text)
    except ValueError as error:
        raise ValueError(
            f"invalid IPv4 network {text!r}: {error} (write it as {DEFAULT_NETWORK})"
        ) from None
    for purpose, reserved in _RESERVED.items():
        if subnet.overlaps(reserved):
            raise ValueError(f"invalid network {text!r}: {reserved} is reserved for {purpose}")
    return subnet


def kube_version(text: str, folder: Path) -> KubeVersion:
    """Read a kubelet version of the known range."""
    return KubeVersion.parse_known(text)


def kubelet(text: str, folder: Path) -> Hollow | Download | Path:
    """Read which kubelet to run; a path may hold ``{version}``."""
    if text == "hollow":
        return Hollow()
    return Download() if text == "download" else user_path(text, folder)


def control_plane(text: str, folder: Path) -> Hollow | Download | Path | None:
    """Read which control plane to run; a path may hold ``{version}``."""
    return None if text == "none" else kubelet(text, folder)


def tolerated(text: str, folder: Path) -> frozenset[str]:
    """Read a list of TOLERABLE, with commas."""
    from pytest_kubecluster.kubelet.host_requirements import TOLERABLE

    words = filter(None, (word.strip() for word in text.split(",")))
    return frozenset(choice(word, TOLERABLE) for word in words)


def checksum(text: str, folder: Path) -> Checksum:
    """Read ``sha256:HEX``."""
    from pytest_kubecluster.util.checksum import Checksum

    return Checksum.parse(text)


def roles(text: str, folder: Path) -> RolePatterns:
    """Read patterns such as ``cp*=master``."""
    from pytest_kubecluster.machines.existing.role_patterns import RolePatterns

    return RolePatterns.parse(text)


def cluster_name(text: str, folder: Path) -> str:
    """Read the name of a cluster; an empty one stands for the last that was kept."""
    from pytest_kubecluster.cluster.registry import check_name

    if text:
        check_name(text)
    return text


def mirror(text: str, folder: Path) -> str:
    """Read an http(s) URL or a folder."""
    if text.startswith(("http://", "https://")):
        return text
    return str(readable_folder(user_path(text, folder)))


def playbook(text: str, folder: Path) -> Path:
    """Read the path of an Ansible playbook."""
    from pytest_kubecluster.ansible.run import check_playbook

    return check_playbook(readable_file(user_path(text, folder)))


def password(text: str, folder: Path) -> str:
    """Return ASK, or the first line of the file that ``text`` names."""
    from pytest_kubecluster.cluster.config import ASK

    if text in ("", ASK):
        return text
    path = readable_file(user_path(text, folder))
    try:
        with path.open(encoding="utf-8") as file:
            line = file.readline(_LONGEST_PASSWORD)
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file") from None
    if not line.rstrip("\r\n"):
        raise ValueError(f"{path} has no password in its first line")
    return line.rstrip("\r\n")
