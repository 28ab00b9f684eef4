"""What Go's standard library reads and prints, in its words."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from hollow_common.errors import Failure
from hollow_common.facts import since

if TYPE_CHECKING:
    from collections.abc import Callable

ESCAPES = {
    "\\": "\\\\", '"': '\\"', "\a": "\\a", "\b": "\\b",
    "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip


def quote(text: str) -> str:
    """Return the text as Go's %q prints it."""

    def shown(char: str) -> str:
        if char in ESCAPES:
            return ESCAPES[char]
        if char.isprintable():
            return char
        return f"\\x{ord(char):02x}" if ord(char) < 0x80 else f"\\u{ord(char):04x}"

    return '"' + "".join(map(shown, text)) + '"'


def aggregate(problems: list[str]) -> str:
    """Return several errors as one, as k8s.io/apimachinery/pkg/util/errors prints them."""
    return problems[0] if len(problems) == 1 else "[" + ", ".join(problems) + "]"


def strerror(number: int) -> str:
    """Return the text of an errno as Go's syscall.Errno has it."""
    return os.strerror(number).lower()


def errno_text(error: OSError) -> str:
    """Return the operating system's message as Go words it."""
    return strerror(error.errno or 0)


def read_file(path: str) -> bytes:
    """Return a file's content; the Failure is worded as ioutil.ReadFile's error."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        action = "read" if error.errno == errno.EISDIR else "open"
        raise Failure(f"{action} {path}: {errno_text(error)}") from None


BOOLEANS = {
    **dict.fromkeys(["1", "t", "T", "TRUE", "true", "True"], True),
    **dict.fromkeys(["0", "f", "F", "FALSE", "false", "False"], False),
}


def parse_bool(text: str) -> bool:
    """Read what strconv.ParseBool reads."""
    if text not in BOOLEANS:
        raise ValueError(f"strconv.ParseBool: parsing {quote(text)}: invalid syntax")
    return BOOLEANS[text]


def parse_int(text: str, bits: int = 64, base: int = 0, function: str = "ParseInt") -> int:
    """Read what strconv.ParseInt reads: base 0 takes 0x10 and 010 too."""
    digits = r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*" if base == 0 else r"[0-9]+"
    if not re.fullmatch(f"[+-]?({digits})", text):
        raise ValueError(f"strconv.{function}: parsing {quote(text)}: invalid syntax")
    octal = re.fullmatch(r"([+-]?)0([0-7]+)", text) if base == 0 else None
    value = int(octal[1] + octal[2], 8) if octal else int(text, base)
    if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise ValueError(f"strconv.{function}: parsing {quote(text)}: value out of range")
    return value


def atoi(text: str) -> int:
    """Read what strconv.Atoi reads."""
    return parse_int(text, base=10, function="Atoi")


def parse_float(text: str) -> float:
    """Read what strconv.ParseFloat reads."""
    number = r"[0-9]+\.?[0-9]*([eE][+-]?[0-9]+)?|\.[0-9]+([eE][+-]?[0-9]+)?|inf|infinity|nan"
    if not re.fullmatch(f"[+-]?({number})", text, re.IGNORECASE):
        raise ValueError(f"strconv.ParseFloat: parsing {quote(text)}: invalid syntax")
    return float(text)


SECOND = 1_000_000_000
UNITS = {
    "ns": 1, "us": 1000, "µs": 1000, "μs": 1000, "ms": 1_000_000,
    "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND,
}  # fmt: skip


def parse_duration(text: str) -> int:
    """Return in nanoseconds what time.ParseDuration reads, such as 1h2m3.5s."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    total = 0
    shown = quote(text) if since(19) else text
    invalid = ValueError(f"time: invalid duration {shown}")
    if not rest:
        raise invalid
    while rest:
        part = re.match(r"(?P<number>[0-9]*\.?[0-9]*)(?P<unit>[^.0-9]*)", rest)
        if not part or not part["number"].strip("."):
            raise invalid
        if not part["unit"]:
            raise ValueError(f"time: missing unit in duration {shown}")
        if part["unit"] not in UNITS:
            unit = quote(part["unit"]) if since(19) else part["unit"]
            raise ValueError(f"time: unknown unit {unit} in duration {shown}")
        amount = float(part["number"]) * UNITS[part["unit"]]
        if amount >= 2**63 or total + round(amount) >= 2**63:
            raise invalid
        total += round(amount)
        rest = rest[part.end() :]
    return -total if text.startswith("-") else total


def format_duration(nanoseconds: int) -> str:
    """Write a duration as time.Duration's String does: 60 s is 1m0s."""
    sign, rest = ("-" if nanoseconds < 0 else ""), abs(nanoseconds)
    if rest < SECOND:
        for unit in ("ms", "µs", "ns"):
            if rest >= UNITS[unit]:
                return f"{sign}{decimal(rest, UNITS[unit])}{unit}"
        return "0s"
    minutes, rest = divmod(rest, UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours}h"] if hours else []
    parts += [f"{minutes}m"] if hours or minutes else []
    return sign + "".join(parts) + decimal(rest, SECOND) + "s"


def decimal(amount: int, unit: int) -> str:
    """Write amount/unit without trailing zeros."""
    whole, fraction = divmod(amount, unit)
    digits = str(fraction).zfill(len(str(unit)) - 1).rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def is_ip(text: str, *families: socket.AddressFamily) -> bool:
    """Return whether net.ParseIP accepts the text, as an address of one of the given families."""
    for family in families or (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return True
    return False


def join_host_port(host: str, port: int) -> str:
    """Return host:port, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_unsigned(text: str) -> int:
    """Read what strconv.ParseUint reads in base 0."""
    problem = ValueError(f"strconv.ParseUint: parsing {quote(text)}: invalid syntax")
    if text[:1] in ("+", "-"):
        raise problem
    try:
        return parse_int(text)
    except ValueError:
        raise problem from None


GO_TYPES = {str: "string", bool: "bool", dict: "object", list: "array", int: "number"}


def in_background(work: Callable[..., object], *arguments: Any) -> None:
    """Run a function in a thread that does not keep the program alive."""
    threading.Thread(target=work, args=arguments, daemon=True).start()


def timestamp() -> str:
    """Return the time as the API writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def text_of(path: str) -> str:
    """Return a small file as text, or an empty text if it cannot be read."""
    try:
        return read_file(path).decode(errors="replace")
    except Failure:
        return ""


def go_json(value: Any) -> str:
    """Return a value as encoding/json writes it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
