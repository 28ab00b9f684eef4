"""Resource quantities and percentages."""

from __future__ import annotations

import math
import re

from hollow_common.errors import Failure
from hollow_common.go import parse_float, quote

QUANTITY = re.compile(r"([+-]?[0-9]*\.?[0-9]+|[+-]?[0-9]+\.)(n|u|m|[kMGTPE]i?|Ki|[eE][+-]?[0-9]+)?")
SUFFIXES = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15,
    "E": 10**18, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
}  # fmt: skip
LARGEST = float(2**63 - 1)
NO_QUANTITY = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)


def parse_quantity(text: str) -> float:
    """Read a resource quantity: k8s.io/apimachinery/pkg/api/resource/quantity.go."""
    found = QUANTITY.fullmatch(text)
    if found is None:
        raise Failure(NO_QUANTITY)
    number, suffix = float(found[1]), found[2] or ""
    value = number * SUFFIXES[suffix] if suffix in SUFFIXES else float(found[1] + suffix)
    return max(-LARGEST, min(value, LARGEST))  # Go caps amounts that 64 bits cannot hold


def parse_percentage(text: str) -> float:
    """Read a percentage."""
    try:
        value = parse_float(text.rstrip("%"))
        if not math.isfinite(value):
            raise ValueError(f"strconv.ParseFloat: parsing {quote(text)}: value out of range")
        return value
    except ValueError as error:
        raise Failure(str(error)) from None
