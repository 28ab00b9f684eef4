"""Go's and Kubernetes' ways to write a value: booleans, durations, quantities, lists and maps."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from ipaddress import ip_address
from typing import Any

from pytest_kubecluster.spec.flags import FALSE, TRUE

_UNITS = {
    "ns": Fraction(1),
    "us": Fraction(1000),
    "µs": Fraction(1000),
    "μs": Fraction(1000),
    "ms": Fraction(10**6),
    "s": Fraction(10**9),
    "m": Fraction(60 * 10**9),
    "h": Fraction(3600 * 10**9),
}
_NUMBER = r"\d+\.?\d*|\.\d+"
_DURATION_PART = re.compile(rf"({_NUMBER})({'|'.join(sorted(_UNITS, key=len, reverse=True))})")
_DURATION = re.compile(rf"[+-]?(?:0|(?:{_DURATION_PART.pattern})+)")

_SUFFIXES = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    **{letter: Fraction(1000**power) for power, letter in enumerate("kMGTPE", 1)},
    **{f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", 1)},
}
_QUANTITY = re.compile(rf"([+-]?(?:{_NUMBER}))([eE][+-]?\d{{1,3}}|[numkMGTPE]|[KMGTPE]i|)")


class FrozenMap(Mapping[str, Any]):
    """A mapping that is immutable and hashable, as a value of a frozen dataclass has to be."""

    def __init__(self, items: Mapping[str, Any]) -> None:
        self._items = {str(key): frozen(value) for key, value in items.items()}

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)


def frozen(value: object) -> Any:
    """Return a value of TOML or YAML with its lists and maps made immutable."""
    if isinstance(value, Mapping):
        return FrozenMap(value)
    return tuple(map(frozen, value)) if isinstance(value, (list, tuple)) else value


def thawed(value: object) -> Any:
    """Return a value with plain lists and dictionaries, as YAML and JSON write them."""
    if isinstance(value, Mapping):
        return {str(key): thawed(item) for key, item in value.items()}
    return [thawed(item) for item in value] if isinstance(value, (list, tuple)) else value


def shown(value: object) -> str:
    """Return a value for a message, cut to a line; Python does not print the longest numbers."""
    if isinstance(value, int) and value.bit_length() > 3400:
        return "of thousands of digits"
    try:
        text = repr(value)
    except ValueError:
        return "of thousands of digits"
    return text if len(text) <= 80 else f"{text[:79]}…"


def parse_bool(text: str) -> bool:
    """Read a boolean as Go's strconv.ParseBool does. Raises ValueError."""
    if text not in TRUE | FALSE:
        raise ValueError(f"invalid boolean {text!r}")
    return text in TRUE


def parse_duration(text: str) -> Fraction:
    """Return the nanoseconds of a duration such as ``1m0s`` or ``1.5h``. Raises ValueError."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"invalid duration {text!r}")
    parts = _DURATION_PART.findall(text)
    total = sum((Fraction(number) * _UNITS[unit] for number, unit in parts), Fraction(0))
    return -total if text.startswith("-") else total


def parse_quantity(text: str) -> Fraction:
    """Return the value of a Kubernetes quantity such as ``100Mi`` or ``0.5``. Raises ValueError."""
    found = _QUANTITY.fullmatch(text)
    if not found:
        raise ValueError(f"invalid quantity {text!r}")
    number, suffix = found.groups()
    if suffix[:1] in ("e", "E") and len(suffix) > 1:
        return Fraction(number) * Fraction(10) ** int(suffix[1:])
    return Fraction(number) * _SUFFIXES[suffix]


def split_list(text: str) -> tuple[str, ...]:
    """Return the items of a flag's list: separated by commas, quoted as in CSV, in one line.

    Raises ValueError.
    """
    try:
        return tuple(next(csv.reader(io.StringIO(text, newline="")), ())) if text else ()
    except csv.Error as error:
        raise ValueError(f"invalid list: {error}") from None


def list_item(text: str) -> str:
    """Return an item as a flag's list writes it, of which ``split_list`` makes the same."""
    quote = '"'
    if not re.search(r'[,"\r\n]', text):
        return text
    return f"{quote}{text.replace(quote, quote * 2)}{quote}"


def split_pairs(text: str, separators: str = "=<") -> Iterator[tuple[str, str]]:
    """Yield the pairs of a flag's map; evictions separate key and value by ``<``."""
    for pair in text.split(","):
        if pair:
            key, *value = re.split(f"[{separators}]", pair, maxsplit=1)
            yield key.strip(), value[0].strip() if value else ""


def address_meaning(text: str) -> str:
    """Return the usual spelling of an IP address, or the text if it is not an address."""
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        return text


def cpu_set(text: str) -> frozenset[int]:
    """Return the CPUs of a list such as ``0-3,7``. Raises ValueError."""
    cpus: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        low, high = int(first), int(last or first)
        if high - low > 4096:
            raise ValueError(f"invalid CPU range {part!r}")
        cpus.update(range(low, high + 1))
    return frozenset(cpus)


def taint_text(taint: object) -> str:
    """Return ``key=value:effect`` for a taint written so, without ``=``, or as a mapping."""
    if isinstance(taint, Mapping):
        pair = f"{taint.get('key', '')}={taint.get('value') or ''}"
        return f"{pair}:{taint.get('effect', '')}"
    if not isinstance(taint, str):
        raise ValueError(f"invalid taint {taint!r}; write it as key=value:effect")
    pair, colon, effect = taint.rpartition(":")
    if not colon or not pair:
        raise ValueError(f"invalid taint {taint!r}; write it as key=value:effect")
    return f"{pair if '=' in pair else f'{pair}='}:{effect}"
