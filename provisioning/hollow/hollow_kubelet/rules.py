"""The rules of a version by which a configuration is refused.

They are data: a condition in nested lists, a message in Go's format and the values in it. See
``hollow_kubelet.validation`` for the parts of a configuration that need more than that.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from hollow_common.facts import FACTS
from hollow_common.go import format_duration, quote

from hollow_kubelet.feature_gates import is_enabled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ZEROS = ("", 0, False)


def broken(rule: Any, values: Mapping[str, Any]) -> str:
    """Return the message of a rule that the values break, or nothing."""
    condition, message, *arguments = rule
    if not evaluate(condition, values):
        return ""
    return format_message(message, [printed(argument, values) for argument in arguments])


def evaluate(expression: Any, values: Mapping[str, Any]) -> Any:
    """Return what an expression comes to."""
    if not isinstance(expression, list):
        return expression
    operator, *operands = expression
    if operator == "field":
        return values.get(operands[0])
    if operator == "gate":
        return is_enabled(operands[0], values.get("featureGates") or {})
    if operator == "&&":
        return all(evaluate(operand, values) for operand in operands)
    if operator == "||":
        return any(evaluate(operand, values) for operand in operands)
    found = [evaluate(operand, values) for operand in operands]
    if operator == "one of":
        return any(equal(found[0], one) for one in found[1:])
    if operator == "in range":
        return found[1] <= (found[0] or 0) <= found[2]
    return OPERATORS[operator](*found)


def equal(left: Any, right: Any) -> bool:
    """Return whether two values are equal; an unset value equals null and a zero value."""
    if left is None or right is None:
        return left is right or (left is None and right in ZEROS and right is not False)
    return bool(left == right)


def is_less(left: Any, right: Any) -> bool:
    """Return whether a number is less than another; an unset value never is."""
    return left is not None and right is not None and bool(left < right)


OPERATORS: dict[str, Callable[..., Any]] = {
    "!": lambda one: not one,
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "<": is_less,
    ">": lambda left, right: is_less(right, left),
    "<=": lambda left, right: is_less(left, right) or (left is not None and left == right),
    ">=": lambda left, right: is_less(right, left) or (left is not None and left == right),
    "/": lambda left, right: None if left is None else left / right,
    "len": lambda one: len(one or ()),
    "list": lambda *ones: list(ones),
    "IsAbs": lambda path: os.path.isabs(path or ""),
    "IsPathClean": lambda path: os.path.normpath(path or "") == path,
}


def printed(expression: Any, values: Mapping[str, Any]) -> Any:
    """Return the value of an argument, durations as Go prints them."""
    value = evaluate(expression, values)
    is_field = isinstance(expression, list) and expression[0] == "field"
    if is_field and value is not None and FACTS["fields"][expression[1]][0] == "duration":
        return format_duration(value)
    if isinstance(value, bool):
        return str(value).lower()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def format_message(message: str, arguments: list[Any]) -> str:
    """Return a message as fmt.Errorf makes it."""
    rest = iter(arguments)

    def filled(verb: re.Match[str]) -> str:
        if verb[0] == "%%":
            return "%"
        value = next(rest, "")
        if verb[0] != "%q":
            return str(value)
        if isinstance(value, list):
            return f"[{' '.join(map(quote, value))}]"
        return quote(str(value or ""))

    return re.sub("%[vqsdw%]", filled, message)
