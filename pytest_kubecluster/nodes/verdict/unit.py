"""What systemd makes of a unit's files: the command line of ExecStart."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from pytest_kubecluster.nodes.observation import Observation

_PREFIXES = "-@:+!|"
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+)|\$)")


def exec_start(seen: Observation) -> list[str]:
    """Return the words of the unit's ExecStart, with variables replaced; none if there is none.

    As in systemd.service(5): an empty assignment clears the ones before it, a variable that is a
    word of its own is split at spaces, one in braces is not, and one that is not set is empty.
    """
    command = ""
    for name, value in directives(seen):
        if name == "ExecStart":
            command = value
    environment = _environment(seen)
    words: list[str] = []
    for word in _words(command.lstrip(_PREFIXES)):
        whole = re.fullmatch(r"\$(\w+)", word)
        if whole:
            words += _words(environment.get(whole[1], ""))
        else:
            words.append(_expanded(word, environment))
    return words


def directives(seen: Observation) -> Iterator[tuple[str, str]]:
    """Yield the assignments of the ``[Service]`` section of the unit and its drop-ins, in order."""
    for kind, file in seen.unit_files.values():
        if kind != "environment" and file is not None:
            for section, name, value in all_directives(file.text):
                if section == "Service":
                    yield name, value


def all_directives(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield section, name and value of each assignment in a unit file (systemd.syntax(7))."""
    section = ""
    # A comment between continued lines does not end them.
    text = re.sub(r"\\\n[ \t]*(?:[#;].*\n[ \t]*)*", " ", text)
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif "=" in line and line[0] not in "#;":
            name, _, value = line.partition("=")
            yield section, name.strip(), value.strip()


def _environment(seen: Observation) -> dict[str, str]:
    """Return the variables of ``Environment=`` and then of the environment files, which win."""
    found: dict[str, str] = {}
    for name, value in directives(seen):
        if name == "Environment":
            found = {} if not value else found | dict(_assignments(_words(value)))
    for kind, file in seen.unit_files.values():
        if kind == "environment" and file is not None:
            joined = file.text.replace("\\\n", "")
            lines = [line.strip() for line in joined.splitlines()]
            lines = [line for line in lines if line and line[0] not in "#;" and "=" in line]
            for line in lines:
                key, _, value = line.partition("=")
                found[key.strip()] = " ".join(_words(value)) if _quoted(value) else value.strip()
    return found


def _quoted(value: str) -> bool:
    return value.strip()[:1] in ("'", '"')


def _assignments(words: list[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        key, equals, value = word.partition("=")
        if equals:
            yield key, value


def _expanded(word: str, environment: dict[str, str]) -> str:
    return _VARIABLE.sub(
        lambda match: "$" if match[0] == "$$" else environment.get(match[1] or match[2], ""), word
    )


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=False)
    except ValueError:
        return text.split()
