"""Dataclasses as plain values, which JSON and execnet can carry, and back."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import IntEnum
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Return a value of dataclasses, tuples and mappings as dicts and lists.

    Fields that have their default values are left out.
    """
    if is_dataclass(value) and not isinstance(value, type):
        found = ((one, getattr(value, one.name)) for one in fields(value))
        return {one.name: to_plain(v) for one, v in found if v != one.default}
    if isinstance(value, Mapping):
        return {str(key): to_plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(one) for one in value]
    if isinstance(value, IntEnum):
        return int(value)
    return value


def from_plain(kind: type[T], data: Any) -> T:
    """Return the ``kind`` whose ``to_plain`` is ``data``; unknown fields are ignored.

    Raises TypeError, KeyError or ValueError for data of another form.
    """
    made: T = _made(kind, data)
    return made


def map_text(value: T, change: Callable[[str], str]) -> T:
    """Return a value of dataclasses, tuples and mappings with every text in it changed."""
    changed: Any = value
    if isinstance(value, str):
        changed = change(value)
    elif is_dataclass(value) and not isinstance(value, type):
        names = [one.name for one in fields(value)]
        changed = type(value)(**{name: map_text(getattr(value, name), change) for name in names})
    elif isinstance(value, Mapping):
        changed = {map_text(k, change): map_text(one, change) for k, one in value.items()}
    elif isinstance(value, tuple):
        changed = tuple(map_text(one, change) for one in value)
    return changed  # type: ignore[no-any-return]


def _made(kind: Any, data: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if data is None:
            return None
        return _made(next(one for one in inner if one is not type(None)), data)
    if origin is tuple:
        return tuple(_made(inner[0], one) for one in data)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: _made(inner[1], one) for key, one in data.items()}
    if origin is Literal:
        if data not in inner:
            raise ValueError(f"{data!r} is none of {', '.join(map(repr, inner))}")
        return data
    if isinstance(kind, type) and is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: _made(hints[name], data[name]) for name in hints if name in data})
    if isinstance(kind, type) and issubclass(kind, IntEnum):
        return kind(data)
    if kind is float and isinstance(data, int):
        return float(data)
    if isinstance(kind, type) and not isinstance(data, kind):
        raise TypeError(f"{data!r} is not a value of type {kind.__name__}")
    return data


@cache
def _hints(kind: type[Any]) -> Mapping[str, Any]:
    return get_type_hints(kind)
