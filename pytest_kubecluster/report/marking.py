"""What of two texts differs, word by word."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_kubecluster.nodes.verdict.difference import Difference

_WORD = re.compile(r"\w+|\s+|.", re.DOTALL)
_ALIKE = 0.3
"""Below this similarity, texts are different as a whole."""
_LONGEST = 4000

Kind = Literal["same", "removed", "added"]


@dataclass(frozen=True)
class Piece:
    """A part of a text: the same on both sides, only expected, or only seen."""

    text: str
    kind: Kind = "same"


def mark(expected: str, actual: str) -> tuple[list[Piece], list[Piece]]:
    """Return both texts with the words marked that the other one does not have."""
    if not expected or not actual or max(len(expected), len(actual)) > _LONGEST:
        return [Piece(expected, "removed")], [Piece(actual, "added")]
    before, after = _WORD.findall(expected), _WORD.findall(actual)
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    if matcher.ratio() < _ALIKE:
        return [Piece(expected, "removed")], [Piece(actual, "added")]
    left, right = [], []
    for operation, i1, i2, j1, j2 in matcher.get_opcodes():
        same = operation == "equal"
        left.append(Piece("".join(before[i1:i2]), "same" if same else "removed"))
        right.append(Piece("".join(after[j1:j2]), "same" if same else "added"))
    return [one for one in left if one.text], [one for one in right if one.text]


def mark_argv(argv: Sequence[str], differences: Collection[Difference]) -> list[list[Piece]]:
    """Return the words of a command line; those that differ are marked, missing ones added."""
    by_flag = {one.name.lstrip("-"): one for one in differences}
    marked, taken = [], set()
    for word, following in zip(argv, [*argv[1:], ""], strict=False):
        name, equals, value = word.lstrip("-").partition("=")
        one = by_flag.get(name) if word.startswith("-") else None
        if one is None:
            marked.append([Piece(word)])
            continue
        taken.add(name)
        value = value if equals or following.startswith("-") else following
        marked.append(list(_changed(word, value, one)))
    missing = [one for name, one in by_flag.items() if name not in taken and one.actual is None]
    marked += [[Piece(_flag(one), "removed")] for one in missing if one.name.startswith("-")]
    return marked


def _changed(word: str, value: str, one: Difference) -> Iterator[Piece]:
    if one.expected is None:
        yield Piece(word, "added")
    elif value and word.endswith(value):
        yield Piece(word.removesuffix(value))
        yield Piece(one.expected, "removed")
        yield Piece(value, "added")
    else:
        yield Piece(word, "added")


def _flag(one: Difference) -> str:
    return f"{one.name}={one.expected}" if one.expected else one.name
