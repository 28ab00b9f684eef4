"""What systemd makes of a unit's files: the command line of ExecStart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pytest_kubecluster.nodes.observation import Observation
from pytest_kubecluster.nodes.verdict import unit_syntax as syntax

UNKNOWN = "\0"
"""Stands for a specifier that systemd alone can resolve."""

_PREFIXES = "-@:+!|"
_FOLDERS = {
    "C": "/var/cache",
    "E": "/etc",
    "L": "/var/log",
    "S": "/var/lib",
    "t": "/run",
    "T": "/tmp",
    "V": "/var/tmp",
    "h": "/root",
    "u": "root",
    "U": "0",
    "g": "root",
    "G": "0",
}


def exec_start(seen: Observation) -> list[str]:
    """Return the words of the unit's ExecStart, with variables replaced; none if there is none.

    As in systemd.service(5): an empty assignment clears the ones before it. Words of which parts
    cannot be known have UNKNOWN there.
    """
    command = ""
    for name, value in directives(seen):
        if name == "ExecStart":
            command = value
    words = syntax.split_words(command)
    if not words:
        return []
    program = words[0].lstrip(_PREFIXES)
    prefixes = words[0].removesuffix(program)
    # After @, the next word is only what the process calls itself.
    words = [program, *words[2 if "@" in prefixes else 1 :]]
    known = _specifiers(seen)
    words = [resolved(word, known) for word in words]
    if ":" in prefixes:
        return words
    environment = _environment(seen, known)
    return [part for word in words for part in syntax.with_variables(word, environment)]


def directives(seen: Observation) -> Iterator[tuple[str, str]]:
    """Yield the assignments of the ``[Service]`` section of the unit and its drop-ins, in order."""
    for kind, file in seen.unit_files.values():
        if kind != "environment" and file is not None:
            for section, name, value in syntax.directives(file.text):
                if section == "Service":
                    yield name, value


def _environment(seen: Observation, known: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of ``Environment=`` and then of the environment files, which win."""
    found: dict[str, str] = {}
    for name, value in directives(seen):
        if name == "Environment":
            set_here = syntax.assignments(value)
            found = {} if not value else found | {k: resolved(v, known) for k, v in set_here}
    for kind, file in seen.unit_files.values():
        if kind == "environment" and file is not None:
            found |= syntax.environment_file(file.text)
    return found


def _specifiers(seen: Observation) -> dict[str, str]:
    """Return what specifiers stand for (systemd.unit(5)), of those that can be known here."""
    name = seen.unit.get("Id", "")
    stem = name.rpartition(".")[0]
    prefix, at, instance = stem.partition("@")
    found = {**_FOLDERS, "%": "%", "n": name, "N": stem, "p": prefix, "i": instance if at else ""}
    if "-" not in stem and "\\" not in stem:  # else they are not the same unescaped
        found |= {"P": prefix, "I": found["i"], "j": prefix, "J": prefix}
    return {**found, "H": seen.hostname, "l": seen.hostname.partition(".")[0]}


def resolved(text: str, known: Mapping[str, str]) -> str:
    """Return a word with its specifiers replaced."""
    return re.sub(r"%(.)", lambda found: known.get(found[1], UNKNOWN), text)
