"""Look things up by name; where a name is unknown, the error shows which there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

T = TypeVar("T")


class UnknownNameError(KeyError):
    """A name that is not there; the message has similar names, and all that are there."""

    def __init__(self, what: str, name: object, known: Iterable[str]) -> None:
        """Name the kind of thing, such as ``label``, that ``name`` was taken for."""
        super().__init__(name)
        self._what, self._name, self._known = what, name, known

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[object, ...]]:
        return type(self), (self._what, self._name, list(self._known))

    def __str__(self) -> str:
        # Only where it is shown: ``in`` and ``get`` raise it, too.
        known = sorted(self._known)
        headline = f"there is no {self._what} {self._name!r}"
        if not known:
            return f"{headline}; there are none at all"
        near = get_close_matches(str(self._name), known, cutoff=0.7)
        similar = f"; similar: {', '.join(near)}" if near else ""
        return f"{headline}{similar}\n  there are: {', '.join(known)}"


class Named(dict[str, T]):
    """Values by name, of which a missing one raises UnknownNameError."""

    def __init__(self, what: str, values: Mapping[str, T]) -> None:
        """Hold ``values``, each of which is a ``what``."""
        super().__init__(values)
        self._what = what

    def __missing__(self, name: str) -> T:
        __tracebackhide__ = True
        raise UnknownNameError(self._what, name, self)

    def __reduce__(self) -> tuple[type[Named[T]], tuple[str, dict[str, T]]]:
        return type(self), (self._what, dict(self))
