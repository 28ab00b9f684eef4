"""Translates arguments of ssh(1), as Ansible passes them, into keywords of ssh_config(5)."""

from __future__ import annotations

import getopt
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from pytest_kubecluster.errors import KubeClusterError

_OPTIONS = "46AaB:b:Cc:D:E:e:F:fGgI:i:J:KkL:l:Mm:NnO:o:P:p:Q:qR:S:sTtVvW:w:XxYy"
"""What ssh(1) accepts: an option followed by a colon has a value."""
_KEYWORDS = {
    "-i": "IdentityFile",
    "-F": "Include",
    "-J": "ProxyJump",
    "-l": "User",
    "-p": "Port",
    "-c": "Ciphers",
    "-m": "MACs",
    "-b": "BindAddress",
    "-A": "ForwardAgent yes",
    "-a": "ForwardAgent no",
    "-C": "Compression yes",
    "-4": "AddressFamily inet",
    "-6": "AddressFamily inet6",
}
_WITHOUT_EFFECT = ("-q", "-v", "-T", "-t", "-n")
_RESERVED = re.compile("control.*|batchmode|loglevel", re.IGNORECASE)
"""Keywords with which the plugin shares connections, disables prompts and reads errors."""
_FILES = ("identityfile", "certificatefile", "userknownhostsfile", "globalknownhostsfile")
_SEVERAL = ("identityfile", "certificatefile", "sendenv", "setenv")
"""Keywords that add to each other; of all others the first value counts."""


def add_option(options: dict[str, str], keyword: str, value: str) -> None:
    """Add a keyword and its value to the options of a host, unless the plugin sets it itself."""
    if _RESERVED.fullmatch(keyword):
        return
    known = next((k for k in options if k.lower() == keyword.lower()), None)
    if known is None:
        options[keyword] = value
    elif keyword.lower() in _SEVERAL and value not in options[known].split("\n"):
        options[known] += f"\n  {known} {value}"


def parse_arguments(text: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the keywords and values that arguments of ssh(1) stand for.

    Paths in them are relative to ``folder``. Raises KubeClusterError naming what cannot be used.
    """
    try:
        parsed, extra = getopt.getopt(shlex.split(text), _OPTIONS)
    except (ValueError, getopt.GetoptError) as error:
        raise KubeClusterError(str(error)) from None
    for option, value in parsed:
        if option == "-o":
            keyword, _, value = re.sub(r"^\s*(\w+)\s*=?\s*", r"\1 ", value).partition(" ")
            yield keyword, _absolute(keyword, value, folder)
        elif option == "-F":
            yield "Include", _configuration(value, folder)
        elif option in _KEYWORDS:
            keyword, _, fixed = _KEYWORDS[option].partition(" ")
            yield keyword, fixed or _absolute(keyword, value, folder)
        elif option not in _WITHOUT_EFFECT:
            extra = [f"option {option}"]
    if extra:
        raise KubeClusterError(
            f"{extra[0]} is not supported; write what it does as -o KEYWORD=VALUE"
        )


def key_file(path: str, folder: Path) -> str:
    """Return the value of IdentityFile for a path relative to ``folder``."""
    return f'"{folder / Path(path).expanduser()}"'


def _absolute(keyword: str, value: str, folder: Path) -> str:
    if keyword.lower() not in _FILES or re.match(r'[/~%"]|\$\{|none$', value):
        return value
    if keyword.lower() == "identityfile":
        return key_file(value, folder)
    return " ".join(f'"{folder / path}"' for path in shlex.split(value))


def _configuration(value: str, folder: Path) -> str:
    """Return the path of the file that ``-F`` names, or nothing for ``-F none``."""
    if value == "none":
        return ""
    path = folder / Path(value).expanduser()
    if not path.is_file():
        raise KubeClusterError(f"-F {value}: {path} is not a file")
    return str(path)
