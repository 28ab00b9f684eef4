"""A kubelet's command line, written as in the article and read as the kubelet reads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.names import UnknownNameError

TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_MAPS = ("mapStringString", "mapStringBool")
_JOINED = ("stringSlice", "colonSeparatedMultimapStringString", *_MAPS)
_SHORTHANDS = {"v": "v", "h": "help"}


class FlagError(ValueError):
    """A command line that the kubelet refuses; the message is the kubelet's own."""


class Flags(Mapping[str, str]):
    """Flags by name (without dashes, words joined by ``-``), in the order of the command line.

    A boolean that is on has the value ``"true"``, as in pflag. A flag that is not set raises
    UnknownNameError. Immutable and hashable.
    """

    def __init__(self, flags: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        self._flags = {normal_name(name): value for name, value in dict(flags).items()}

    def __getitem__(self, name: str) -> str:
        __tracebackhide__ = True
        try:
            return self._flags[normal_name(name)]
        except KeyError:
            raise UnknownNameError("flag or setting", normal_name(name), self) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._flags)

    def __len__(self) -> int:
        return len(self._flags)

    def __hash__(self) -> int:
        return hash(frozenset(self._flags.items()))

    def __repr__(self) -> str:
        return f"Flags({' '.join(self.words())!r})"

    def changed(self, changes: Mapping[str, str | None]) -> Flags:
        """Return these flags with some set, or removed where the new value is None."""
        flags: dict[str, str | None] = {**self._flags}
        flags.update({normal_name(name): value for name, value in changes.items()})
        return Flags({name: value for name, value in flags.items() if value is not None})

    def words(self) -> list[str]:
        """Return the command line's words; a boolean that is on is written without a value."""
        return [
            f"--{name}" if value == "true" else f"--{name}={value}" for name, value in self.items()
        ]


@dataclass(frozen=True)
class CommandLine:
    """The argv of a process, parsed.

    ``launcher`` is everything before the first flag (``hyperkube kubelet``, ``kubelet``, an
    interpreter and its script); ``extra`` are words that belong to no flag.
    """

    launcher: tuple[str, ...]
    flags: Flags
    extra: tuple[str, ...] = ()


def normal_name(name: str) -> str:
    """Return a flag's name as the kubelet normalises it: ``_`` equals ``-`` in every version."""
    return name.lstrip("-").replace("_", "-")


def parse_argv(argv: Sequence[str], minor: str) -> CommandLine:
    """Read ``argv`` as the kubelet of ``minor`` (``"1.7"``) does, by pflag's rules.

    ``--x=y`` and ``--x y`` are the same, but a boolean never takes the next word; the last of a
    repeated scalar wins, lists and maps are joined; after ``--`` nothing is a flag. Raises
    FlagError for an unknown flag or a missing value.
    """
    known = catalog.flags(minor)
    start = next((i for i, word in enumerate(argv) if word.startswith("-")), len(argv))
    words = iter(argv[start:])
    flags: dict[str, str] = {}
    extra: list[str] = []
    for word in words:
        if word == "--":
            extra.extend(words)
        elif not word.startswith("-") or word == "-":
            extra.append(word)
        else:
            name, value = _split(word)
            if name not in known:
                raise FlagError(f"unknown flag: --{name}")
            if value is None:
                value = "true" if known[name].boolean else next(words, None)
            if value is None:
                raise FlagError(f"flag needs an argument: --{name}")
            joins = known[name].type in _JOINED
            flags[name] = f"{flags[name]},{value}" if joins and name in flags else value
    return CommandLine(tuple(argv[:start]), Flags(flags), tuple(extra))


def _split(word: str) -> tuple[str, str | None]:
    """Split ``--name=value``, ``--name``, ``-vVALUE`` and ``-v=VALUE`` into name and value."""
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
    else:
        name, value = _SHORTHANDS.get(word[1], word[1]), word[2:].removeprefix("=")
        equals = value
    return normal_name(name), value if equals else None
