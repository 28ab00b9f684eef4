"""The command line, parsed by pflag's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hollow_common.errors import Failure
from hollow_common.facts import FACTS, since
from hollow_common.go import quote
from hollow_common.log import complain
from hollow_common.values import LISTS, MAPS, PARSERS, READ, parse_list

if TYPE_CHECKING:
    from collections.abc import Mapping

LOGGING_WARNINGS = {
    "klog (KEP-2845)": (
        "will be removed in a future release, see "
        "https://github.com/kubernetes/enhancements/tree/master/keps/sig-instrumentation/"
        "2845-deprecate-klog-specific-flags-in-k8s-components"
    ),
}
"""The warnings of the logging library's flags, which every program has, by the facts' mark."""


class Flag:
    """A flag, and the value it has."""

    def __init__(
        self, name: str, kind: str, default: str, deprecated: str | None, hidden: bool, origin: str
    ) -> None:
        self.name = name
        self.kind = kind
        self.default = default
        self.deprecated = deprecated
        self.hidden = hidden
        self.origin = origin
        self.changed = False
        self.value: Any = default
        if kind in LISTS:
            self.value = []
        elif kind == "stringSlice":
            self.value = parse_list(default[1:-1])
        elif kind in READ or kind in MAPS:
            self.value = PARSERS[kind](default)

    @property
    def boolean(self) -> bool:
        """Whether the flag never takes the next word as its value."""
        return self.kind in ("bool", "version")

    def usage(self) -> str:
        """Return how help shows the flag."""
        letter = {"help": "  -h, ", "v": "  -v, "}.get(self.name, "      ")
        return f"{letter}--{self.name}" + ("" if self.boolean else f" {self.kind.rstrip('<=!')}")

    def usage_default(self) -> str:
        """Return the default as help shows it: not at all if it is a zero value."""
        shown = f" (DEPRECATED: {self.deprecated})" if self.deprecated else ""
        if self.default not in ("", "0", "0s", "[]", "false"):
            default = quote(self.default) if self.kind == "string" else self.default
            shown = f" (default {default})" + shown
        return shown.strip()

    def set(self, text: str) -> None:
        """Set the flag; a list given again grows, a map is merged.

        The first value given replaces the default, but for the map that takes any pair.
        """
        value = PARSERS[self.kind](text)
        if self.kind == "mapStringString" or (self.kind in MAPS and self.changed):
            value = {**self.value, **value}
        elif self.kind in ("stringSlice", "reserved-memory", "reservedMemory") and self.changed:
            value = self.value + value
        self.value = value
        self.changed = True


class FlagSet:
    """The flags of a program, parsed by pflag's rules."""

    absent: Mapping[str, Any] = {}
    """The values of flags in versions that do not have them."""
    warnings: Mapping[str, str] = {}
    """The warnings of deprecated flags, by the mark that the facts have."""

    def __init__(self, *origins: str) -> None:
        """Take the flags of the given origins, or all."""
        self.flags = {
            name: Flag(
                name, kind, default, warning and self.warnings.get(warning, warning), hidden, origin
            )
            for name, (kind, default, warning, hidden, origin) in self.known().items()
            if not origins or origin in origins or name == "help"
        }
        self.shorthands = {"h": self.flags["help"], "v": self.flags["v"]}

    @classmethod
    def known(cls) -> Mapping[str, tuple[str, str, str | None, bool, str]]:
        """Return each flag's type, default, deprecation, whether help hides it, and its origin."""
        found: Mapping[str, Any] = FACTS["flags"]
        return found

    def __getitem__(self, name: str) -> Any:
        """Return a flag's value, or its value in a version that does not have the flag."""
        return self.flags[name].value if name in self.flags else self.absent[name]

    def changed(self, name: str) -> bool:
        """Return whether the flag is on the command line."""
        return name in self.flags and self.flags[name].changed

    def parse(self, words: list[str], interspersed: bool = True) -> list[str]:
        """Read a command line and return the words that belong to no flag.

        The Failure is worded as pflag's error. With ``interspersed`` off, the first such word ends
        the flags.
        """
        rest = list(words)
        others: list[str] = []
        while rest:
            word = rest.pop(0)
            if word == "--":
                return others + rest
            if word.startswith("--"):
                self._long(word, rest)
            elif word.startswith("-") and word != "-":
                self._short(word[1:], rest)
            else:
                others.append(word)
                if not interspersed:
                    return others + rest
        return others

    def _long(self, word: str, rest: list[str]) -> None:
        name, equals, value = word[2:].partition("=")
        if not name or name.startswith("-"):
            raise Failure(f"bad flag syntax: {word}")
        flag = self.flags.get(name.replace("_", "-"))
        if flag is None:
            raise Failure(f"unknown flag: --{name}")
        if not equals:
            if flag.boolean:
                value = "true"
            elif rest:
                value = rest.pop(0)
            else:
                raise Failure(f"flag needs an argument: {word}")
        self._set(flag, value, word)

    def _short(self, letters: str, rest: list[str]) -> None:
        while letters:
            flag = self.shorthands.get(letters[0])
            if flag is None:
                raise Failure(f"unknown shorthand flag: {letters[0]!r} in -{letters}")
            word, value, letters = letters, letters[1:], ""
            if value.startswith("=") and len(value) > 1:
                value = value[1:]
            elif flag.boolean:
                value, letters = "true", value
            elif not value and rest:
                value = rest.pop(0)
            elif not value:
                raise Failure(f"flag needs an argument: {word[0]!r} in -{word}")
            self._set(flag, value, word)

    def _set(self, flag: Flag, value: str, written: str) -> None:
        try:
            flag.set(value)
        except ValueError as error:
            if since(10):
                letter = {"help": "-h, ", "v": "-v, "}.get(flag.name, "")
                written = f'"{letter}--{flag.name}" flag'
            raise Failure(f"invalid argument {quote(value)} for {written}: {error}") from None
        if flag.deprecated:
            complain(f"Flag --{flag.name} has been deprecated, {flag.deprecated}")

    def usage(self) -> str:
        """Return the flags that help shows, each with its type and default."""
        shown = [
            flag
            for flag in self.flags.values()
            if not flag.hidden and (since(10) or not flag.deprecated)
        ]
        names = [flag.usage() for flag in shown]
        width = max(map(len, names))
        return "".join(
            f"{name:<{width}}   {flag.usage_default()}".rstrip() + "\n"
            for name, flag in zip(names, shown)  # noqa: B905
        )
