"""The command line, parsed by pflag's rules."""

from __future__ import annotations

from typing import Any

from hollow_kubelet.errors import Failure
from hollow_kubelet.facts import FACTS, since
from hollow_kubelet.go import quote
from hollow_kubelet.log import complain
from hollow_kubelet.values import LISTS, MAPS, PARSERS, READ, parse_list

WARNINGS = {
    "config-file": (
        "This parameter should be set via the config file specified by the Kubelet's --config "
        "flag. See https://kubernetes.io/docs/tasks/administer-cluster/kubelet-config-file/ for "
        "more information."
    ),
    "cadvisor": (
        "This is a cadvisor flag that was mistakenly registered with the Kubelet. Due to legacy "
        "concerns, it will follow the standard CLI deprecation timeline before being removed."
    ),
    "klog (KEP-2845)": (
        "will be removed in a future release, see "
        "https://github.com/kubernetes/enhancements/tree/master/keps/sig-instrumentation/"
        "2845-deprecate-klog-specific-flags-in-k8s-components"
    ),
}
"""The warnings of deprecated flags, by the mark that the facts have."""


class Flag:
    """A flag, and the value it has."""

    def __init__(
        self, name: str, kind: str, default: str, deprecated: str | None, hidden: bool, origin: str
    ) -> None:
        self.name = name
        self.kind = kind
        self.default = default
        self.deprecated = WARNINGS.get(deprecated, deprecated) if deprecated else None
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


ABSENT: dict[str, Any] = {
    "allow-privileged": False, "api-servers": [], "bootstrap-kubeconfig": "", "cadvisor-port": 0,
    "cloud-config": "", "cni-conf-dir": "", "config": "", "config-dir": "",
    "container-runtime": "remote", "container-runtime-endpoint": "", "enable-server": True,
    "experimental-allocatable-ignore-eviction": False, "experimental-bootstrap-kubeconfig": "",
    "experimental-qos-reserved": {}, "fail-cgroupv1": False, "fail-swap-on": False,
    "host-ipc-sources": [], "host-network-sources": [], "host-pid-sources": [],
    "iptables-drop-bit": 15, "iptables-masquerade-bit": 14, "keep-terminated-pod-volumes": False,
    "network-plugin": "", "provider-id": "", "register-schedulable": True,
    "require-kubeconfig": False, "runonce": False,
}  # fmt: skip
"""The values of flags in versions that do not have them."""


class FlagSet:
    """The flags of hyperkube or of its kubelet, parsed by pflag's rules."""

    def __init__(self, *origins: str) -> None:
        """Take the flags of the given origins, or all."""
        self.flags = {
            name: Flag(name, *fact)
            for name, fact in FACTS["flags"].items()
            if not origins or fact[4] in origins or name == "help"
        }
        self.shorthands = {"h": self.flags["help"], "v": self.flags["v"]}

    def __getitem__(self, name: str) -> Any:
        """Return a flag's value, or its value in a version that does not have the flag."""
        return self.flags[name].value if name in self.flags else ABSENT[name]

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
