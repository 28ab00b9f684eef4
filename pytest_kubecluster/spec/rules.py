"""The rules by which a version's kubelet refuses a configuration, evaluated on typed values.

The rules are data of the catalogue (``catalog.rules``). Values are given by configuration path,
durations in nanoseconds. A rule about things that are not known is not evaluated.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import cache
from typing import Any

from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.values import parse_duration

Values = Mapping[str, Any]
Rule = list[Any]

_UNITS = (("h", 3600 * 10**9), ("m", 60 * 10**9), ("s", 10**9), ("ms", 10**6), ("µs", 10**3))


class Unknown(Exception):
    """A rule asks for something that nothing states."""


_RESOLVED = ("podLogsDir",)
"""Paths with rules that are relative to the configuration file's folder."""


def comparable(path: str, kind: str, value: Any) -> Any:
    """Return a typed value of a setting as rules compare it.

    Durations are in nanoseconds, and a relative path is what it comes to in the root folder.
    """
    if path in _RESOLVED and value and not posixpath.isabs(str(value)):
        return posixpath.normpath(f"/{value}")
    if kind in ("duration", "nanoseconds") and isinstance(value, str):
        return int(parse_duration(value))
    return value


def broken_rules(
    minor: str, values: Values, *, complete: bool
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the message of each rule that the values break, and the paths that it is about.

    Unless ``complete``, the node may have other settings than these: a rule that needs one is left
    out, as is one that needs a feature gate which is off by default.
    """
    for rule in catalog.rules(minor):
        if isinstance(rule, str):
            continue
        try:
            if _Evaluation(minor, values, complete).of(rule[0]):
                yield message_of(minor, rule, values), fields_of(rule[0])
        except Unknown:
            continue


def broken_by(minor: str, path: str, value: Any) -> Iterator[Rule]:
    """Yield the rules about one setting alone that its value breaks."""
    for rule in rules_about(minor, path):
        try:
            if _Evaluation(minor, {path: value}, complete=False).of(rule[0]):
                yield rule
        except Unknown:
            continue


@cache
def rules_about(minor: str, path: str) -> tuple[Rule, ...]:
    """Return the rules about one setting alone."""
    rules = (rule for rule in catalog.rules(minor) if not isinstance(rule, str))
    return tuple(rule for rule in rules if fields_of(rule[0]) == (path,))


def fields_of(expression: Any) -> tuple[str, ...]:
    """Return the paths that a condition is about."""
    if not isinstance(expression, list):
        return ()
    if expression[0] == "field":
        return (expression[1],)
    return tuple(dict.fromkeys(path for one in expression[1:] for path in fields_of(one)))


def message_of(minor: str, rule: Rule, values: Values) -> str:
    """Return a rule's message with the values in it, as the kubelet words it."""
    _, text, *arguments = rule
    evaluation = _Evaluation(minor, values, complete=True)
    rest = iter([_printed(minor, one, evaluation) for one in arguments])

    def filled(verb: re.Match[str]) -> str:
        value = next(rest, "")
        if verb[0] != "%q":
            return str(value)
        items = value if isinstance(value, list) else [value]
        shown = " ".join(f'"{item or ""}"' for item in items)
        return f"[{shown}]" if isinstance(value, list) else shown

    return re.sub("%[vqsdw]", filled, re.sub("(?i)^invalid configuration: ", "", text))


def duration_text(nanoseconds: float) -> str:
    """Return a duration in its largest unit that keeps it a whole number: ``3s``, ``1500ms``."""
    number = int(nanoseconds)
    if not number:
        return "0s"
    for unit, size in _UNITS:
        if number % size == 0:
            return f"{number // size}{unit}"
    return f"{number}ns"


class _Evaluation:
    """What conditions come to with some values."""

    def __init__(self, minor: str, values: Values, complete: bool) -> None:
        self._minor, self._values, self._complete = minor, values, complete

    def of(self, expression: Any) -> Any:
        """Return what an expression comes to. Raises Unknown."""
        if not isinstance(expression, list):
            return expression
        operator, *operands = expression
        if operator == "field":
            return self._field(operands[0])
        if operator == "gate":
            return self._gate(operands[0])
        if operator in ("&&", "||"):
            return self._joined(operator == "&&", operands)
        return _OPERATORS[operator](*map(self.of, operands))

    def _joined(self, every: bool, operands: list[Any]) -> bool:
        """Join conditions; one that is unknown does not matter if another decides."""
        unknown = False
        for operand in operands:
            try:
                if bool(self.of(operand)) is not every:
                    return not every
            except Unknown:
                unknown = True
        if unknown:
            raise Unknown
        return every

    def _field(self, path: str) -> Any:
        if path not in self._values and not self._complete:
            raise Unknown
        return self._values.get(path)

    def _gate(self, name: str) -> bool:
        stated = self._values.get("featureGates") or {}
        if name in stated:
            return bool(stated[name])
        words = catalog.feature_gates(self._minor).get(name, "").split()
        for stage, every in (("alpha", "AllAlpha"), ("beta", "AllBeta")):
            if stage in words and every in stated:
                return bool(stated[every])
        if "true" not in words and "locked" not in words and not self._complete:
            raise Unknown
        return "true" in words


def _printed(minor: str, expression: Any, evaluation: _Evaluation) -> Any:
    value = evaluation.of(expression)
    if isinstance(expression, list) and expression[0] == "field" and value is not None:
        field = catalog.fields(minor).get(expression[1])
        if field and field.type == "duration":
            return duration_text(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Fraction) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    return value


def _equal(left: Any, right: Any) -> bool:
    """Return whether two values are equal; one that is not set equals null and a zero."""
    if left is None:
        return right is None or (not isinstance(right, bool) and right in ("", 0))
    return right is not None and bool(left == right)


def _less(left: Any, right: Any) -> bool:
    return left is not None and right is not None and bool(left < right)


def _in_range(value: Any, first: Any, last: Any) -> bool:
    return bool(first <= (value or 0) <= last)


_OPERATORS: Mapping[str, Callable[..., Any]] = {
    "!": lambda one: not one,
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "<": _less,
    ">": lambda left, right: _less(right, left),
    "<=": lambda left, right: _less(left, right) or (left is not None and left == right),
    ">=": lambda left, right: _less(right, left) or (left is not None and left == right),
    "/": lambda left, right: None if left is None else Fraction(left) / right,
    "len": lambda one: len(one or ()),
    "list": lambda *ones: list(ones),
    "in range": _in_range,
    "one of": lambda one, *others: any(_equal(one, other) for other in others),
    "IsAbs": lambda path: posixpath.isabs(path or ""),
    "IsPathClean": lambda path: posixpath.normpath(path or "") == path,
}
