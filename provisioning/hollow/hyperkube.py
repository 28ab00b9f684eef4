#!/usr/bin/env python3
"""A hollow kubelet: what provisioning installs where hyperkube or the kubelet would be.

It behaves as the kubelet of the version it was rendered for, 1.7 to 1.36, in all that a node's
checks look at: flags taken and refused, configuration file, lock file, kubeconfig, certificates,
ports and who may use them, /configz, static pods, registration with the API server, log lines and
exit statuses. Up to 1.16 it is ``hyperkube kubelet``, from then on ``kubelet``. It runs no
containers and needs no container runtime, the one deliberate difference; and it never pretends:
``--version`` and the Node's kubeletVersion end in ``+hollow``.

Standard library only, Python 3.7 and newer. It calls ``openssl`` where it has to sign its own
serving certificate.

What it imitates was read in the Kubernetes trees of all these minors and compared with real
kubelets. Paths and places in the log are those of v1.7.5 where nothing else is said. Messages of
Go's own libraries are those of the Go that built a release.
"""

from __future__ import annotations

import base64
import binascii
import ctypes
import errno
import fcntl
import hashlib
import json
import math
import os
import re
import signal
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection, RemoteDisconnected
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Entries = dict[str, dict[str, Any]]

FACTS: dict[str, Any] = {}  # replaced by the facts of one version when the file is rendered


def since(minor: int) -> bool:
    """Say whether the version this kubelet plays is 1.``minor`` or newer."""
    return bool(FACTS["minor"] >= minor)


class Failure(Exception):
    """An error as Go returns one; at the top it ends the kubelet."""


class Refusal(Failure):
    """An error of one of the steps before the kubelet runs; ``step`` is a key of STEPS."""

    def __init__(self, step: str, text: str) -> None:
        super().__init__(text)
        self.step = step


class Fatal(Exception):
    """What glog.Fatal says; it ends the program with exit status 255."""

    def __init__(self, where: str, text: str) -> None:
        super().__init__(text)
        self.where = where


class Panic(Exception):
    """A mistake in the real kubelet, kept: it ends the program with exit status 2."""


# ------------------------------------------------------------------------------------ Go's words


class Log:
    """Writes lines as glog does with --logtostderr, each in one piece."""

    verbosity = 0

    def __call__(self, severity: str, where: str, text: str, level: int = 0) -> None:
        """Log a text for a place in the sources, unless its level is above --v."""
        if level > self.verbosity:
            return
        now = time.time()
        stamp = time.strftime("%m%d %H:%M:%S", time.localtime(now))
        micros = int(now % 1 * 1_000_000)
        line = f"{severity}{stamp}.{micros:06} {os.getpid():7} {where}] {text}\n"
        os.write(2, line.encode(errors="surrogateescape"))


log = Log()

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


def structured(message: str, **values: object) -> str:
    """Return a log line's text as klog's InfoS and ErrorS write it, the style from 1.21 on."""

    def written(value: object) -> str:
        if not isinstance(value, str):
            return str(value)
        if "\n" in value and since(23):
            lines = value.rstrip("\n").replace("\n", "\n\t")
            return f"<\n\t{lines}\n >"
        return quote(value)

    return quote(message) + "".join(f" {name}={written(value)}" for name, value in values.items())


def aggregate(problems: list[str]) -> str:
    """Return several errors as one, as k8s.io/apimachinery/pkg/util/errors prints them."""
    return problems[0] if len(problems) == 1 else "[" + ", ".join(problems) + "]"


def errno_text(error: OSError) -> str:
    """Return the operating system's complaint in Go's words."""
    return os.strerror(error.errno or 0).lower()


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
        total += round(float(part["number"]) * UNITS[part["unit"]])
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
    """Say whether net.ParseIP takes the text, as an address of one of the families if given."""
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


# ----------------------------------------------------------------------------------------- flags

NAME_PART = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
DNS_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
QUALIFIED_NAME_ADVICE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    f"validation is '{NAME_PART}')"
)
SUBDOMAIN_ADVICE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def label_value_advice() -> str:
    """Return what a label's value must look like."""
    return (
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
        "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "
        f"'my_value',  or '12345', regex used for validation is '({NAME_PART})?')"
    )


def parse_ip(text: str) -> str:
    """Check an address: pkg/apis/componentconfig/helpers.go."""
    if not is_ip(text):
        raise ValueError(f"{quote(text)} is not a valid IP address")
    return text


def parse_list(text: str) -> list[str]:
    """Read a stringSlice: one line of comma-separated values, quoted where need be."""
    values, rest, more = [], text, "," if text else ""
    while more:
        quoted = rest.startswith('"')
        value = re.match(r'"((?:[^"]|"")*)"(,|$)' if quoted else r'([^,"]*)(,|$)', rest)
        if not value:
            column = len(text) - len(rest) + rest.index('"', 1 if quoted else 0)
            problem = 'extraneous " in field' if quoted else 'bare " in non-quoted-field'
            if not since(10):
                raise ValueError(f"line 1, column {column}: {problem}")
            # Go 1.10 counts from the quote on, Go 1.17 from 1.
            column += 1 if since(23) else 0
            problem = problem.replace("-field", " field") if since(20) else problem
            raise ValueError(f"parse error on line 1, column {column}: {problem}")
        values.append(value[1].replace('""', '"') if quoted else value[1])
        rest, more = rest[value.end() :], value[2]
    return values


def parse_map(text: str) -> dict[str, str]:
    """Read a mapStringString: k8s.io/apiserver/pkg/util/flag/configuration_map.go."""
    pairs = (pair.partition("=") for pair in text.split(",") if pair)
    return {key.strip(): value.strip() for key, _, value in pairs}


def parse_pairs(text: str, mark: str = "=", kind: str = "string", split: bool = True) -> Any:
    """Read a map that insists on its pairs: map_string_string.go and its like beside that file."""
    pairs = {}
    for pair in filter(None, text.split(",") if split else [text]):
        key, found, value = pair.partition(mark)
        if not found:
            raise ValueError(f"malformed pair, expect string{mark}{kind}")
        pairs[key.strip()] = value.strip()
    return pairs


def parse_switches(text: str) -> dict[str, bool]:
    """Read a mapStringBool: map_string_bool.go."""
    switches = {}
    for name, value in parse_pairs(text, kind="bool").items():
        try:
            switches[name] = parse_bool(value)
        except ValueError as error:
            raise ValueError(f"invalid value of {name}: {value}, err: {error}") from None
    return switches


def parse_headers(text: str) -> dict[str, list[str]]:
    """Read a colonSeparatedMultimapStringString: its values are lists."""
    headers: dict[str, list[str]] = {}
    for pair in filter(None, text.split(",")):
        name, found, value = pair.partition(":")
        if not found:
            raise ValueError("malformed pair, expect string:string")
        headers.setdefault(name.strip(), []).append(value.strip())
    return headers


def parse_reserved_memory(text: str) -> list[dict[str, Any]]:
    """Read --reserved-memory: pkg/util/flag/flags.go."""
    reservations = []
    for reservation in filter(None, text.split(";")):
        node, *limits = reservation.split(":")
        if len(limits) != 1:
            raise ValueError(
                "the reserved memory has incorrect format, expected "
                f"numaNodeID:type=quantity[,type=quantity...], got {reservation}"
            )
        if not re.fullmatch(r"[+-]?[0-9]+", node):
            raise ValueError(f"failed to convert the NUMA node ID, expected integer, got {node}")
        amounts = {}
        for limit in limits[0].split(","):
            name, equals, amount = limit.partition("=")
            if not equals or "=" in amount:
                raise ValueError(
                    f"the reserved limit has incorrect value, expected type=quantity, got {limit}"
                )
            if name != "memory" and not name.startswith("hugepages-"):
                raise ValueError(f"memory type conversion error, unknown type: {quote(name)}")
            try:
                parse_quantity(amount)
            except Failure:
                problem = "failed to retrieve quantity, error"
                raise ValueError(f"{problem}: {NO_QUANTITY}") from None
            amounts[name] = amount
        reservations.append({"numaNode": int(node), "limits": amounts})
    return reservations


def parse_amount(text: str) -> str:
    """Read a quantity."""
    try:
        parse_quantity(text)
    except Failure as error:
        raise ValueError(str(error)) from None
    return text


def parse_level(text: str) -> int:
    """Read -v: glog's and klog's Level, and from 1.23 on the logging library's VerbosityLevel."""
    if not since(23):
        return parse_int(text, 32, 10) if since(16) else atoi(text)
    if not re.fullmatch("[0-9]+", text):
        raise ValueError(f"strconv.ParseUint: parsing {quote(text)}: invalid syntax")
    return int(text)


def parse_unsigned(text: str) -> int:
    """Read what strconv.ParseUint reads in base 0."""
    problem = ValueError(f"strconv.ParseUint: parsing {quote(text)}: invalid syntax")
    if text[:1] in ("+", "-"):
        raise problem
    try:
        return parse_int(text)
    except ValueError:
        raise problem from None


def parse_taints(text: str) -> list[dict[str, Any]]:
    """Read taints: pkg/util/taints/taints.go."""
    if not since(15):
        return [parse_taint(spec) for spec in text.split(",")]
    taints = [parse_new_taint(spec) for spec in text.split(",") if text]
    if not since(23):
        return taints
    seen = set()
    for taint in taints:
        key, effect = taint["key"], taint["effect"]
        if (key, effect) in seen:
            value = taint.get("value", "")
            shown = f"{{{key} {value} {effect} <nil>}}"
            raise ValueError(f"duplicated taints with the same key and effect: {shown}")
        seen.add((key, effect))
    return taints


def parse_new_taint(spec: str) -> dict[str, Any]:
    """Read key:effect or key=value:effect, as from 1.15 on."""
    invalid = f"invalid taint spec: {spec}"
    pair, colon, effect = spec.partition(":")
    key, _, value = pair.partition("=")
    if ":" in effect:
        raise ValueError(invalid)
    if colon:
        if effect not in TAINT_EFFECTS:
            raise ValueError(f"invalid taint effect: {effect}, unsupported taint effect")
        if "=" in value:
            raise ValueError(invalid)
        advice = label_value_problems(value)
        if advice:
            raise ValueError(f"{invalid}, {'; '.join(advice)}")
    else:
        key = pair
    advice = qualified_name_problems(key)
    if advice:
        raise ValueError(f"{invalid}, {'; '.join(advice)}")
    if not colon and since(23):
        raise ValueError(invalid)
    return {"key": key, **({"value": value} if value else {}), "effect": effect}


def label_value_problems(value: str) -> list[str]:
    """Return what is wrong with a label's value: k8s.io/apimachinery/pkg/util/validation."""
    problems = []
    if len(value) > 63:
        few = "bytes" if since(34) else "characters"
        problems.append(f"must be no more than 63 {few if since(10) else 'characters'}")
    if not re.fullmatch(f"({NAME_PART})?", value):
        problems.append(label_value_advice())
    return problems


def qualified_name_problems(key: str) -> list[str]:
    """Return what is wrong with a label's or a taint's key."""
    parts = key.split("/")
    if len(parts) > 2:
        kind = "valid label key" if since(35) else "qualified name"
        return [
            f"a {kind} {QUALIFIED_NAME_ADVICE} with an optional DNS subdomain prefix "
            "and '/' (e.g. 'example.com/MyName')"
        ]
    problems = []
    if len(parts) == 2:
        if not parts[0]:
            problems.append("prefix part must be non-empty")
        elif not re.fullmatch(DNS_SUBDOMAIN, parts[0]) or len(parts[0]) > 253:
            problems.append(f"prefix part {SUBDOMAIN_ADVICE}")
    if not parts[-1]:
        problems.append("name part must be non-empty")
    elif len(parts[-1]) > 63:
        problems.append("name part must be no more than 63 characters")
    if not re.fullmatch(NAME_PART, parts[-1]):
        problems.append(f"name part {QUALIFIED_NAME_ADVICE}")
    return problems


def parse_taint(spec: str) -> dict[str, Any]:
    """Read key=value:effect into the taint the API has."""
    parts = spec.split("=")
    prefix, slash, name = parts[0].rpartition("/")
    named = re.fullmatch(NAME_PART, name) and len(name) <= 63
    placed = not slash or (re.fullmatch(DNS_SUBDOMAIN, prefix) and len(prefix) <= 253)
    if len(parts) != 2 or not parts[1] or not named or not placed:
        raise ValueError(f"invalid taint spec: {spec}")
    value, *effects = parts[1].split(":")
    if not effects and not since(9):
        raise Panic("runtime error: index out of range")
    advice = label_value_problems(value)
    if len(effects) != 1 or advice:
        raise ValueError(f"invalid taint spec: {spec}, {'; '.join(advice)}")
    if effects[0] not in TAINT_EFFECTS:
        wrong = f"effect: {effects[0]}" if since(9) else f"spec: {spec}"
        raise ValueError(f"invalid taint {wrong}, unsupported taint effect")
    taint = {"key": parts[0], "value": value, "effect": effects[0], "timeAdded": None}
    return {field: content for field, content in taint.items() if content != ""}


def parse_cidrs(text: str) -> str:
    """Check address/bits pairs: pkg/cloudprovider/providers/gce/gce_loadbalancer.go."""
    for cidr in text.split(","):
        address, _, bits = cidr.partition("/")
        most = 32 if is_ip(address, socket.AF_INET) else 128
        if not is_ip(address) or not bits.isdigit() or int(bits) > most:
            raise ValueError(f"invalid CIDR address: {cidr}")
    return text


def parse_version(text: str) -> str:
    """Read --version: pkg/version/verflag/verflag.go."""
    return text if text == "raw" else str(parse_bool(text)).lower()


def parse_severity(text: str) -> str:
    """Check glog's --stderrthreshold."""
    if text.upper() not in ("INFO", "WARNING", "ERROR", "FATAL"):
        atoi(text)
    return text


def parse_vmodule(text: str) -> str:
    """Check --vmodule, glog's and klog's or from 1.23 on the logging library's."""
    for pattern in filter(None, text.split(",")):
        name, _, level = pattern.partition("=")
        if since(23):
            if not name or not level or "=" in level:
                raise ValueError(f"{quote(pattern)} does not have the pattern=N format")
            try:
                parse_level(level)
            except ValueError as error:
                raise ValueError(f"parsing verbosity in {quote(pattern)}: {error}") from None
            continue
        if not name or not re.fullmatch(r"[+-]?[0-9]+", level):
            raise ValueError("syntax error: expect comma-separated list of filename=N")
        if int(level) < 0:
            raise ValueError("negative value for vmodule level")
    return text


def parse_trace_location(text: str) -> str:
    """Check glog's --log-backtrace-at."""
    file, _, line = text.partition(":")
    if "." not in file or not re.fullmatch(r"[+-]?[0-9]+", line):
        raise ValueError("syntax error: expect file.go:234")
    if int(line) <= 0:
        raise ValueError("negative or zero value for level")
    return text


PARSERS: dict[str, Callable[[str], Any]] = {
    "[]api.Taint": parse_taints,
    "[]v1.Taint": parse_taints,
    "Level": parse_level,
    "bool": parse_bool,
    "cidrs": parse_cidrs,
    "duration": parse_duration,
    "float64": parse_float,
    "int": parse_int,
    "int32": lambda text: parse_int(text, 32),
    "int64": parse_int,
    "ip": parse_ip,
    "colonSeparatedMultimapStringString": parse_headers,
    "mapStringBool": parse_switches,
    "mapStringString": parse_map,
    "mapStringString!": lambda text: parse_pairs(text, split=False),
    "mapStringString<": lambda text: parse_pairs(text, "<"),
    "mapStringString=": parse_pairs,
    "moduleSpec": parse_vmodule,
    "pattern=N,...": parse_vmodule,
    "quantity": parse_amount,
    "reserved-memory": parse_reserved_memory,
    "reservedMemory": parse_reserved_memory,
    "severity": parse_severity,
    "string": str,
    "stringSlice": parse_list,
    "traceLocation": parse_trace_location,
    "uint": parse_unsigned,
    "uint64": parse_unsigned,
    "version": parse_version,
}
"""What reads each type of flag; durations are kept in nanoseconds."""

MAPS = {kind for kind in PARSERS if "map" in kind}
LISTS = {"[]api.Taint", "[]v1.Taint", "reserved-memory", "reservedMemory"}
READ = ("bool", "duration", "float64", "int", "int32", "int64", "uint", "uint64", "Level")


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
"""What the flags of these marks say when they are used."""


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
        """Whether the flag never takes the next word."""
        return self.kind in ("bool", "version")

    def usage(self) -> str:
        """Return how help shows the flag."""
        letter = {"help": "  -h, ", "v": "  -v, "}.get(self.name, "      ")
        return f"{letter}--{self.name}" + ("" if self.boolean else f" {self.kind.rstrip('<=!')}")

    def usage_default(self) -> str:
        """Return the default as help shows it, which is not at all if it is a zero value."""
        shown = f" (DEPRECATED: {self.deprecated})" if self.deprecated else ""
        if self.default not in ("", "0", "0s", "[]", "false"):
            default = quote(self.default) if self.kind == "string" else self.default
            shown = f" (default {default})" + shown
        return shown.strip()

    def set(self, text: str) -> None:
        """Give the flag a value; a list given again grows, a map is merged.

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
"""What counts for a flag in the versions that do not have it."""


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
        """Return a flag's value, or what counts in a version that does not have the flag."""
        return self.flags[name].value if name in self.flags else ABSENT[name]

    def changed(self, name: str) -> bool:
        """Say whether the flag is on the command line."""
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


def complain(text: str) -> None:
    """Print a line on standard error, outside the log."""
    os.write(2, f"{text}\n".encode(errors="surrogateescape"))


# ------------------------------------------------------------------------------------------ YAML


class YamlError(ValueError):
    """A text that is no YAML, or YAML beyond what this program reads."""


class Unfinished(YamlError):
    """A flow collection that goes on in the next line."""


class Line(NamedTuple):
    """What a line of YAML holds, without indentation and comment."""

    indent: int
    text: str


BLANKS = " \t"
YAML_CONSTANTS = {
    **dict.fromkeys(["", "~", "null", "Null", "NULL"]),
    **dict.fromkeys(
        ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"], True
    ),
    **dict.fromkeys(
        ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"], False
    ),
}
YAML_ESCAPES = {
    "0": "\0", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
    "v": "\v", '"': '"', "/": "/", "\\": "\\", " ": " ",
}  # fmt: skip
DOUBLE_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
SINGLE_QUOTED = re.compile(r"'((?:[^']|'')*)'")


class Yaml:
    """Reads the YAML that kubeconfigs and manifests are written in, and refuses all else.

    Mappings and sequences in block and flow style, plain and quoted scalars of one line, literal
    and folded blocks, comments; of several documents the first, as the kubelet. No anchors, tags or
    directives, and no scalars that go on in the next line.
    """

    def __init__(self, text: str) -> None:
        self.lines = re.split("\r\n|\r|\n", text)
        self.row = 0

    def document(self) -> Any:
        """Return what the document holds."""
        self.peek()
        if self.row < len(self.lines) and re.match(r"---([ \t]|$)", self.lines[self.row]):
            self.lines[self.row] = "   " + self.lines[self.row][3:]
        value = self.block() if self.peek() else None
        if self.peek():
            self.refuse("did not find expected <document start>")
        return value

    def refuse(self, problem: str) -> NoReturn:
        """Raise what is wrong with the present line."""
        raise YamlError(f"yaml: line {max(1, min(self.row + 1, len(self.lines)))}: {problem}")

    def misread(self, problem: str) -> NoReturn:
        """Raise what the scanner finds, for which go-yaml named the line before until 1.12."""
        self.row -= 0 if since(13) else 1
        self.refuse(problem)

    def peek(self) -> Line | None:
        """Return the next line that holds something, or None at the end of the document."""
        while self.row < len(self.lines):
            line = self.lines[self.row]
            text = uncommented(line)
            if text:
                if line.startswith(("---", "...")):
                    return None
                if line.startswith("%"):
                    self.refuse("directives are not supported")
                indent = len(line) - len(line.lstrip(" "))
                if line[indent] == "\t":
                    violates = "violates" if since(13) else "violate"
                    self.misread(f"found a tab character that {violates} indentation")
                return Line(indent, text)
            self.row += 1
        return None

    def block(self) -> Any:
        """Read the mapping, sequence or scalar that the present line starts."""
        line = self.peek()
        if line is None:
            return None
        if is_item(line.text):
            return self.sequence(line.indent)
        if key_and_rest(line.text):
            return self.mapping(line.indent)
        return self.inline(line.text)

    def mapping(self, indent: int) -> dict[str, Any]:
        """Read a block mapping."""
        values: dict[str, Any] = {}
        line = self.peek()
        while line and line.indent >= indent:
            pair = key_and_rest(line.text) if line.indent == indent else None
            if pair is None or is_item(line.text):
                self.refuse("did not find expected key")
            values[pair[0]] = self.value(pair[1], indent, item_indent=indent)
            line = self.peek()
        return values

    def sequence(self, indent: int) -> list[Any]:
        """Read a block sequence."""
        values: list[Any] = []
        line = self.peek()
        while line and line.indent == indent and is_item(line.text):
            rest = line.text[1:].lstrip(BLANKS)
            if rest and (is_item(rest) or key_and_rest(rest)):
                offset = indent + len(line.text) - len(rest)
                self.lines[self.row] = " " * offset + self.lines[self.row][offset:]
                values.append(self.block())
            else:
                values.append(self.value(rest, indent, item_indent=indent + 1))
            line = self.peek()
        if line and line.indent > indent:
            self.refuse("did not find expected '-' indicator")
        return values

    def value(self, rest: str, indent: int, item_indent: int) -> Any:
        """Read what follows a key or a dash; a sequence in the next line may start at item_indent.

        ``indent`` is that of the key or dash itself.
        """
        if rest and rest[0] in "|>":
            return self.literal(rest, indent)
        if rest:
            return self.inline(rest)
        self.row += 1
        line = self.peek()
        if line and line.indent >= (item_indent if is_item(line.text) else indent + 1):
            return self.block()
        return None

    def literal(self, header: str, indent: int) -> str:
        """Read the lines of a literal or folded block."""
        style = re.fullmatch(r"([|>])([-+]?)([1-9]?)", header)
        if style is None:
            self.refuse("did not find expected comment or line break")
        self.row += 1
        lines: list[str] = []
        while self.row < len(self.lines):
            line = self.lines[self.row]
            if line.strip(BLANKS) and len(line) - len(line.lstrip(" ")) <= indent:
                break
            lines.append(line)
            self.row += 1
        margins = [len(line) - len(line.lstrip(" ")) for line in lines if line.strip(BLANKS)]
        margin = indent + int(style[3]) if style[3] else min(margins[:1], default=0)
        if any(found < margin for found in margins):
            self.refuse("did not find expected indentation of a block")
        text = "\n".join(line[margin:] for line in lines)
        if style[1] == ">":
            text = re.sub(r"(?<=[^ \t\n])\n(?=[^ \t\n])", " ", text)
            text = re.sub(r"(?<=[^ \t\n])\n\n(?=[^ \t\n])", "\n", text)
        ending = {"-": "", "+": "\n"}.get(style[2])
        if ending is None:
            ending = "\n" if margins else ""
        return (text if style[2] == "+" else text.rstrip("\n")) + ending

    def inline(self, text: str) -> Any:
        """Read a scalar, or a flow collection that may span lines."""
        if text[0] in "&*!":
            self.refuse("anchors, aliases and tags are not supported")
        if text[0] in "%@`]},":
            self.refuse("found character that cannot start any token")
        if text[0] in "[{\"'":
            return self.flow(text)
        if re.search(r":([ \t]|$)", text):
            self.misread("mapping values are not allowed in this context")
        self.row += 1
        return resolve(text)

    def flow(self, text: str) -> Any:
        """Read a quoted scalar or a flow collection, taking in more lines as long as it needs."""
        while True:
            try:
                value, end = read_flow(text, 0)
            except Unfinished as error:
                self.row += 1
                line = self.peek() if text[0] in "[{" else None
                if line is None:
                    while not self.lines[self.row - 1].strip(BLANKS):
                        self.row -= 1
                    self.row -= 1
                    closing = {"[": "]", "{": "}"}.get(text[0])
                    problem = f"did not find expected ',' or '{closing}'"
                    self.refuse(problem if closing else str(error))
                text += " " + line.text
            except YamlError as error:
                self.refuse(str(error))
            else:
                if text[end:].strip(BLANKS):
                    self.refuse("did not find expected key")
                self.row += 1
                return value


COMMENT = re.compile(
    r"""(?:^|(?<=[ \t\[{,:-]))(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')"""
    r"""|(?:^|(?<=[ \t]))(?P<comment>\#.*)"""
)
"""A quoted scalar, or the comment at the end of a line."""


def uncommented(line: str) -> str:
    """Return a line without surrounding space and without the comment at its end."""
    comments = (match.start() for match in COMMENT.finditer(line) if match["comment"])
    return line[: next(comments, None)].strip(BLANKS)


def is_item(text: str) -> bool:
    """Say whether a line is an item of a sequence."""
    return text == "-" or text.startswith("- ")


def key_and_rest(text: str) -> tuple[str, str] | None:
    """Take ``key: rest`` apart; None if the text is nothing of the kind."""
    quoted = re.match(r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')[ \t]*:(?:[ \t]+|$)""", text)
    if quoted:
        return read_flow_scalar(quoted[1], 0)[0], text[quoted.end() :]
    plain = re.match(
        r"([^ \t\[\]{}&*!|>%@`\"'#,?:-]|[?:-](?=[^ \t]))(.*?)[ \t]*:(?:[ \t]+|$)", text
    )
    if plain is None or plain[1] + plain[2] == "<<":
        return None
    return plain[1] + plain[2], text[plain.end() :]


FLOW_PLAIN = re.compile(r"(?:[^,\[\]{}:#]|:(?![ \t,\]}]|$)|(?<![ \t])#)+")


def read_flow(text: str, start: int) -> tuple[Any, int]:
    """Read the value that starts in a flow; return it and where it ends."""
    start = skip_space(text, start)
    if text[start] == "[":
        return read_flow_list(text, start + 1)
    if text[start] == "{":
        return read_flow_map(text, start + 1)
    scalar, end = read_flow_scalar(text, start)
    return (scalar if text[start] in "\"'" else resolve(scalar)), end


def read_flow_scalar(text: str, start: int) -> tuple[str, int]:
    """Read a key or an unresolved scalar in a flow."""
    if text[start] in "\"'":
        pattern = DOUBLE_QUOTED if text[start] == '"' else SINGLE_QUOTED
        quoted = pattern.match(text, start)
        if quoted is None:
            raise Unfinished("found unexpected end of stream in a quoted scalar")
        if text[start] == "'":
            return quoted[1].replace("''", "'"), quoted.end()
        return unescape(quoted[1]), quoted.end()
    plain = FLOW_PLAIN.match(text, start)
    if plain is None or plain[0][0] in "&*!%@`|>":
        raise YamlError("did not find expected node content")
    return plain[0].strip(BLANKS), plain.end()


def read_flow_list(text: str, position: int) -> tuple[list[Any], int]:
    """Read a flow sequence from behind its bracket."""
    values: list[Any] = []
    position = skip_space(text, position)
    while text[position] != "]":
        value, position = read_flow(text, position)
        values.append(value)
        position = skip_comma(text, position, "]")
    return values, position + 1


def read_flow_map(text: str, position: int) -> tuple[dict[str, Any], int]:
    """Read a flow mapping from behind its brace."""
    values: dict[str, Any] = {}
    position = skip_space(text, position)
    while text[position] != "}":
        key, position = read_flow_scalar(text, position)
        position = skip_space(text, position)
        value = None
        if text[position] == ":":
            position = skip_space(text, position + 1)
            if text[position] not in ",}":
                value, position = read_flow(text, position)
        values[key] = value
        position = skip_comma(text, position, "}")
    return values, position + 1


def skip_space(text: str, position: int) -> int:
    """Return where the next thing in a flow starts."""
    while position < len(text) and text[position] in BLANKS:
        position += 1
    if position == len(text):
        raise Unfinished("did not find expected ',' or the end of a collection")
    return position


def skip_comma(text: str, position: int, end: str) -> int:
    """Return where the next item in a flow collection starts, or the collection's end."""
    position = skip_space(text, position)
    if text[position] == ",":
        return skip_space(text, position + 1)
    if text[position] != end:
        raise YamlError(f"did not find expected ',' or '{end}'")
    return position


def unescape(text: str) -> str:
    """Replace the escapes of a double-quoted scalar."""

    def replacement(escape: re.Match[str]) -> str:
        code = escape[1]
        if code[0] in "xuU" and len(code) > 1:
            number = int(code[1:], 16)
            if 0xD800 <= number <= 0xDFFF or number > 0x10FFFF:
                raise YamlError("found invalid Unicode character escape code")
            return chr(number)
        if code not in YAML_ESCAPES:
            raise YamlError("found unknown escape character")
        return YAML_ESCAPES[code]

    return re.sub(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", replacement, text)


def resolve(plain: str) -> Any:
    """Return what a plain scalar stands for, by the rules of YAML 1.1 that go-yaml follows."""
    if plain in YAML_CONSTANTS:
        return YAML_CONSTANTS[plain]
    if re.fullmatch(r"[-+]?(0x[0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)", plain):
        return parse_int(plain)
    if re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", plain):
        return float(plain)
    return plain


def load_yaml(data: bytes) -> Any:
    """Return what a text in YAML or JSON holds."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise YamlError("yaml: invalid leading UTF-8 octet") from None
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError:
            pass  # it may still be a flow mapping
    return Yaml(text).document()


# ------------------------------------------------------------------------------------ kubeconfig

NO_CONFIGURATION = "no configuration has been provided"
NO_CONFIGURATION_HINT = ", try setting KUBERNETES_MASTER environment variable"
NO_SERVER = "cluster has no server defined"
CLUSTER_FIELDS = {
    "server": str,
    "insecure-skip-tls-verify": bool,
    "certificate-authority": str,
    "certificate-authority-data": bytes,
}
USER_FIELDS = {
    "client-certificate": str,
    "client-certificate-data": bytes,
    "client-key": str,
    "client-key-data": bytes,
    "token": str,
    "tokenFile": str,
    "username": str,
    "password": str,
}
CONTEXT_FIELDS = {"cluster": str, "user": str}
GO_TYPES = {str: "string", bool: "bool", dict: "object", list: "array", int: "number"}


class ClientConfig(NamedTuple):
    """How to reach the API server: what of a kubeconfig is left after its context is followed."""

    server: str
    insecure: bool = False
    ca: bytes = b""
    certificate: bytes = b""
    key: bytes = b""
    token: str = ""
    username: str = ""
    password: str = ""


def client_config(path: str, server: str = "") -> ClientConfig:
    """Read a kubeconfig; ``server`` overrides its cluster's.

    The Failure is worded as the error of client-go/tools/clientcmd. Without current-context the
    context with the empty name counts.
    """
    chosen, contexts, clusters, users = read_kubeconfig(path) if path else ("", {}, {}, {})
    base = os.path.dirname(os.path.abspath(path))
    context = contexts.get(chosen, empty(CONTEXT_FIELDS))
    user = absolute(users.get(context["user"], empty(USER_FIELDS)), base)
    cluster = absolute(clusters.get(context["cluster"], empty(CLUSTER_FIELDS)), base)
    exists = context["cluster"] in clusters or bool(server)
    cluster["server"] = server or cluster["server"]

    problems = []
    if chosen and chosen not in contexts:
        problems.append(f"context was not found for specified context: {chosen}")
    problems += user_problems(context["user"], user)
    problems += cluster_problems(context["cluster"], cluster) if exists else [NO_SERVER]
    if problems == [NO_SERVER]:
        problems = [NO_CONFIGURATION + (NO_CONFIGURATION_HINT if since(18) else "")]
    if problems:
        raise Failure(f"invalid configuration: {aggregate(problems)}")
    if not is_secure(cluster["server"]):
        return ClientConfig(cluster["server"])
    return ClientConfig(
        server=cluster["server"],
        insecure=cluster["insecure-skip-tls-verify"],
        ca=content(cluster, "certificate-authority"),
        certificate=content(user, "client-certificate"),
        key=content(user, "client-key"),
        token=user["token"] or (read_file(user["tokenFile"]).decode() if user["tokenFile"] else ""),
        username=user["username"],
        password=user["password"],
    )


def read_kubeconfig(path: str) -> tuple[str, Entries, Entries, Entries]:
    """Return a kubeconfig's current-context, contexts, clusters and users."""
    try:
        os.stat(path)
    except FileNotFoundError as error:
        raise Failure(f"stat {path}: {errno_text(error)}") from None
    except OSError:
        pass  # reading it says what is wrong
    try:
        config = load_yaml(read_file(path)) or {}
        if not isinstance(config, dict):
            raise Failure(
                "couldn't get version/kind; json parse error: json: cannot unmarshal "
                f"{GO_TYPES.get(type(config), 'number')} into Go value of type struct "
                r'{ APIVersion string "json:\"apiVersion,omitempty\""; '
                r'Kind string "json:\"kind,omitempty\"" }'
            )
        kind, version = config.get("kind") or "Config", config.get("apiVersion") or "v1"
        if (kind, version) != ("Config", "v1"):
            raise Failure(f'no kind "{kind}" is registered for version "{version}"')
        return (
            str(config.get("current-context") or ""),
            named(config, "contexts", "context", CONTEXT_FIELDS),
            named(config, "clusters", "cluster", CLUSTER_FIELDS),
            named(config, "users", "user", USER_FIELDS),
        )
    except (Failure, YamlError) as error:
        word = "error" if since(16) else "Error"
        raise Failure(f'{word} loading config file "{path}": {error}') from None


def named(
    config: dict[str, Any], plural: str, singular: str, fields: Mapping[str, type]
) -> Entries:
    """Return a kubeconfig's list of named things by name; the last of a name counts."""
    entries = config.get(plural) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Failure(f"only encoded map or array can be decoded into a slice: {plural}")
    return {
        str(entry.get("name") or ""): typed(entry.get(singular) or {}, singular, fields)
        for entry in entries
    }


def empty(fields: Mapping[str, type]) -> dict[str, Any]:
    """Return every field with its zero value."""
    return {name: kind() for name, kind in fields.items()}


def typed(entry: Any, what: str, fields: Mapping[str, type]) -> dict[str, Any]:
    """Return an entry's known fields, each of its type; no value is ever printed."""
    if not isinstance(entry, dict):
        raise Failure(f"json: cannot unmarshal {what} into Go value of type struct")
    values = empty(fields)
    for name, kind in fields.items():
        value = entry.get(name)
        if value is None:
            continue
        if not isinstance(value, bool if kind is bool else str):
            found = GO_TYPES.get(type(value), "number")
            raise Failure(f"json: cannot unmarshal {found} into Go value of {what}.{name}")
        values[name] = decoded(str(value), name) if kind is bytes else value
    return values


def decoded(text: str, name: str) -> bytes:
    """Decode a field in base64."""
    try:
        return base64.b64decode(re.sub(r"[\r\n]", "", text), validate=True)
    except binascii.Error:
        raise Failure(f"json: error decoding base64 binary of {name}: illegal data") from None


def absolute(entry: dict[str, Any], base: str) -> dict[str, Any]:
    """Return an entry with the paths in it resolved against the kubeconfig's folder."""
    paths = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
    return {
        name: os.path.join(base, value) if value and name in paths else value
        for name, value in entry.items()
    }


def user_problems(name: str, user: dict[str, Any]) -> list[str]:
    """Return what validateAuthInfo finds (clientcmd/validation.go)."""
    certificate, key = user["client-certificate"], user["client-key"]
    problems = []
    if certificate or user["client-certificate-data"]:
        if certificate and user["client-certificate-data"]:
            problems.append(
                f"client-cert-data and client-cert are both specified for {name}. "
                "client-cert-data will override."
            )
        if key and user["client-key-data"]:
            problems.append(
                f"client-key-data and client-key are both specified for {name}; "
                "client-key-data will override"
            )
        if not key and not user["client-key-data"]:
            problems.append(
                f"client-key-data or client-key must be specified for {name} "
                "to use the clientCert authentication method."
            )
        problems += unreadable("client-cert", certificate, name)
        problems += unreadable("client-key", key, name)
    if user["token"] and (user["username"] or user["password"]):
        problems.append(
            f"more than one authentication method found for {name}; "
            "found [token basicAuth], only one is allowed"
        )
    return problems


def cluster_problems(name: str, cluster: dict[str, Any]) -> list[str]:
    """Return what validateClusterInfo finds (clientcmd/validation.go)."""
    problems = []
    if not cluster["server"]:
        problems.append(
            f"no server found for cluster {quote(name)}"
            if name
            else "default cluster has no server defined"
        )
    if cluster["certificate-authority"] and cluster["certificate-authority-data"]:
        problems.append(
            f"certificate-authority-data and certificate-authority are both specified for {name}. "
            "certificate-authority-data will override."
        )
    return problems + unreadable("certificate-authority", cluster["certificate-authority"], name)


def unreadable(what: str, path: str, name: str) -> list[str]:
    """Return the problem with a file that a kubeconfig names, if there is one."""
    try:
        if path:
            open(path, "rb").close()
    except OSError as error:
        problem = f"open {path}: {errno_text(error)}"
        return [f"unable to read {what} {path} for {name} due to {problem}"]
    return []


def content(entry: dict[str, Any], name: str) -> bytes:
    """Return what a field's -data form or the file it names holds."""
    data: bytes = entry[f"{name}-data"]
    return data or (read_file(entry[name]) if entry[name] else b"")


def is_secure(server: str) -> bool:
    """Say whether the connection to a server would be encrypted, and so may carry secrets."""
    try:
        return server_url(server).startswith("https:")
    except Failure:
        return False  # connecting says what is wrong


def server_url(server: str) -> str:
    """Return the URL that a kubeconfig's server stands for (client-go/rest/url_utils.go)."""
    parts = urlsplit(server)
    if parts.scheme and parts.netloc and not re.search(r"[\s{}]", parts.netloc):
        return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")
    if urlsplit("http://" + server).path not in ("", "/"):
        raise Failure(f"host must be a URL or a host:port pair: {quote(server)}")
    return "http://" + server.rstrip("/")


# ------------------------------------------------------------------------------ lock and inotify

IN_MODIFY, IN_OPEN, IN_MOVED_FROM, IN_MOVED_TO = 0x2, 0x20, 0x40, 0x80
IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_ISDIR = 0x100, 0x200, 0x400, 0x40000000
INOTIFY_NAMES = {IN_OPEN: "IN_OPEN", IN_DELETE_SELF: "IN_DELETE_SELF"}
INOTIFY_EVENT = struct.Struct("iIII")
PR_SET_NAME = 15
MFD_CLOEXEC = 1

libc = ctypes.CDLL(None, use_errno=True)


class Inotify:
    """The kernel's reports of what happens to a path."""

    def __init__(self, path: str, mask: int) -> None:
        self.path = path
        self.events: list[tuple[int, str]] = []
        self.descriptor = libc.inotify_init1(os.O_CLOEXEC)
        watch = libc.inotify_add_watch(self.descriptor, os.fsencode(path), mask)
        if self.descriptor < 0 or watch < 0:
            number = ctypes.get_errno()
            self.close()
            raise OSError(number, os.strerror(number))

    def next(self) -> tuple[int, str]:
        """Wait for an event and return its mask and the path it happened to."""
        while not self.events:
            data = os.read(self.descriptor, 65536)
            offset = 0
            while offset < len(data):
                _, mask, _, length = INOTIFY_EVENT.unpack_from(data, offset)
                offset += INOTIFY_EVENT.size
                name = os.fsdecode(data[offset : offset + length].rstrip(b"\0"))
                self.events.append((mask, f"{self.path}/{name}" if name else self.path))
                offset += length
        return self.events.pop(0)

    def close(self) -> None:
        """Stop watching."""
        if self.descriptor >= 0:
            os.close(self.descriptor)


def take_lock(path: str, exit_on_contention: bool) -> None:
    """Hold --lock-file, waiting for it if need be: run() and pkg/util/flock.

    With --exit-on-lock-contention, whoever opens the file afterwards ends this kubelet.
    """
    if exit_on_contention and not path:
        raise Failure("cannot exit on lock file contention: no lock file specified")
    if not path:
        return
    text = f"acquiring file lock on {quote(path)}"
    log("I", "server.go:370", structured("Acquiring file lock", path=path) if since(21) else text)
    try:
        fcntl.flock(os.open(path, os.O_CREAT | os.O_RDWR, 0o600), fcntl.LOCK_EX)
    except OSError as error:
        problem = f"unable to acquire file lock on {quote(path)}: {errno_text(error)}"
        raise Failure(problem) from None
    if exit_on_contention:
        text = f"watching for inotify events for: {path}"
        if since(21):
            text = structured("Watching for inotify events", path=path)
        log("I", "server.go:375", text)
        try:
            watch = Inotify(path, IN_OPEN | IN_DELETE_SELF)
        except OSError as error:
            log("E", "server_linux.go:31", f"unable to watch lockfile: {errno_text(error)}")
            raise Failure(errno_text(error)) from None
        in_background(exit_on_event, watch)


def exit_on_event(watch: Inotify) -> None:
    """End the kubelet, as if all were well, on the first event."""
    mask, path = watch.next()
    names = "|".join(name for bit, name in INOTIFY_NAMES.items() if mask & bit)
    event = f"{quote(path)}: {mask:#x} == {names}"
    text = structured("inotify event", event=event) if since(21) else f"inotify event: {event}"
    log("I", "server_linux.go:37", text)
    os._exit(0)


def in_background(work: Callable[..., object], *arguments: Any) -> None:
    """Run something that must not keep the program alive."""
    threading.Thread(target=work, args=arguments, daemon=True).start()


# --------------------------------------------------------------------------------- configuration

QUANTITY = re.compile(r"([+-]?[0-9]*\.?[0-9]+|[+-]?[0-9]+\.)(n|u|m|[kMGTPE]i?|Ki|[eE][+-]?[0-9]+)?")
SUFFIXES = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15,
    "E": 10**18, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
}  # fmt: skip
EVICTION_SIGNALS = (
    "memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available",
    "imagefs.inodesFree", "allocatableMemory.available", "allocatableNodeFs.available",
)  # fmt: skip


NO_QUANTITY = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)


def parse_quantity(text: str) -> float:
    """Read a resource quantity: k8s.io/apimachinery/pkg/api/resource/quantity.go."""
    found = QUANTITY.fullmatch(text)
    if found is None:
        raise Failure(NO_QUANTITY)
    number, suffix = float(found[1]), found[2] or ""
    return number * SUFFIXES[suffix] if suffix in SUFFIXES else float(found[1] + suffix)


def set_feature_gates(given: Any) -> None:
    """Check --feature-gates: feature_gate.go in k8s.io/apiserver or k8s.io/component-base."""
    enabled = {}
    for pair in filter(None, given.split(",")) if isinstance(given, str) else ():
        name, equals, value = (part.strip() for part in pair.partition("="))
        if name not in FACTS["gates"]:
            raise Failure(f"unrecognized key: {name}")
        if not equals:
            raise Failure(f"missing bool value for {name}")
        try:
            enabled[name] = parse_bool(value)
        except ValueError as error:
            raise Failure(f"invalid value of {name}: {value}, err: {error}") from None
    for name, on in sorted({} if isinstance(given, str) else given.items()):
        if name not in FACTS["gates"]:
            raise Failure(f"unrecognized {'feature gate' if since(12) else 'key'}: {name}")
        stage, default, *locked = FACTS["gates"][name].split()
        if locked and on != (default == "true"):
            raise Failure(
                f"cannot set feature gate {name} to {str(on).lower()}, "
                f"feature is locked to {default}"
            )
        if since(12) and stage in ("ga", "deprecated"):
            kind = "GA" if stage == "ga" else stage
            switched = f"{name}={str(on).lower()}"
            problem = f"Setting {kind} feature gate {switched}. It will be removed in a future"
            log("W", "feature_gate.go:235", f"{problem} release.")
        enabled[name] = on
    shown = " ".join(f"{name}:{str(on).lower()}" for name, on in sorted(enabled.items()))
    text = f"&{{map[{shown}]}}" if since(10) else f"map[{shown}]"
    log("I", "feature_gate.go:144", f"feature gates: {text}", level=1 if since(12) else 0)


class Configuration:
    """The KubeletConfiguration: what is there by default, what a file says, what the flags say.

    ``values`` are kept by path, durations in nanoseconds. Without a file the defaults are those of
    the flags, which let everybody in; they differ from those that a file starts from.
    """

    KIND = ("kubelet.config.k8s.io/v1beta1", "KubeletConfiguration")

    def __init__(self) -> None:
        self.values: dict[str, Any] = {
            path: parse_duration(default) if default and kind in DURATIONS else default
            for path, (kind, _, default, _) in FACTS["fields"].items()
        }

    def take_flags(self, flags: FlagSet, only_changed: bool = False) -> None:
        """Let the flags say what they can say."""
        for path, flag in self.bound(flags):
            nothing = not flag.changed and not flag.value and self.values[path] is None
            if not nothing and (flag.changed or not only_changed):
                merged = path == "featureGates" and only_changed and self.values[path]
                self.values[path] = {**self.values[path], **flag.value} if merged else flag.value

    def give_flags(self, flags: FlagSet) -> None:
        """Make the flags say what counts in the end."""
        for path, flag in self.bound(flags):
            flag.value = self.values[path] if self.values[path] is not None else flag.value

    @staticmethod
    def bound(flags: FlagSet) -> Iterator[tuple[str, Flag]]:
        """Yield the paths that a flag sets, each with its flag."""
        for path, (_, _, _, name) in FACTS["fields"].items():
            if name in flags.flags and not path.startswith("logging.v"):
                yield path, flags.flags[name]

    def load(self, path: str) -> None:
        """Take what a file says: pkg/kubelet/kubeletconfig/configfiles/configfiles.go."""
        absolute_path = os.path.abspath(path)
        try:
            try:
                data = read_file(absolute_path)
            except Failure as error:
                problem = f"failed to read kubelet config file {quote(absolute_path)}"
                raise Failure(f"{problem}, error: {error}") from None
            if not data:
                raise Failure(f"kubelet config file {quote(absolute_path)} was empty")
            self.read(data, os.path.dirname(absolute_path))
        except Failure as error:
            problem = f"failed to load Kubelet config file {path}, error {error}"
            raise Refusal("file", problem) from None

    def load_folder(self, folder: str) -> None:
        """Take what the files of --config-dir say, one after the other (1.28 and newer)."""
        switch = "KUBELET_CONFIG_DROPIN_DIR_ALPHA"
        if not since(30) and switch not in os.environ:
            problem = f"flag config-dir specified but environment variable {switch} not set"
            raise Refusal("folder", f"{problem}, cannot start kubelet")
        try:
            if not os.path.isdir(folder):
                raise Failure(f"lstat {folder}: no such file or directory")
            for place, folders, names in os.walk(folder):
                folders.sort()
                for name in sorted(name for name in names if name.endswith(".conf")):
                    path = os.path.join(place, name)
                    try:
                        self.read(read_file(path), place, merged=True)
                    except Failure as error:
                        problem = f"failed to load kubelet dropin file, path: {path}"
                        raise Failure(f"{problem}, error: {error}") from None
        except Failure as error:
            problem = f"failed to walk through kubelet dropin directory {quote(folder)}: {error}"
            raise Refusal("folder", f"failed to merge kubelet configs: {problem}") from None

    def read(self, data: bytes, folder: str, merged: bool = False) -> None:
        """Decode a file's content; what is not known in it is passed over, from 1.17 on loudly."""
        decode = "failed to decode:" if since(17) else "failed to decode, error:"
        try:
            content = load_yaml(data)
        except YamlError as error:
            raise Failure(f"{decode} {error}") from None
        problem = self.wrong_kind(content, data.decode())
        if problem:
            raise Failure(f"{decode} {problem}")
        gates = content.get("featureGates")
        for name in sorted(gates) if isinstance(gates, dict) and since(32) else ():
            if name not in FACTS["gates"]:
                problem = "failed to merge global and in-flight KubeletConfiguration while setting"
                raise Panic(f"{problem} defaults, error: unrecognized feature gate: {name}")
        unknown: list[str] = []
        try:
            self.merge(content, "", unknown, merged)
        except ValueError as error:
            raise Failure(f"{decode} {error}") from None
        if unknown and since(17):
            warn_of_unknown(unknown, content)
        for name in PATHS:
            if self.values.get(name):
                self.values[name] = os.path.join(folder, self.values[name])

    def wrong_kind(self, content: Any, text: str) -> str:
        """Return why a document is no KubeletConfiguration; ``text`` is what it was read from."""
        if not isinstance(content, dict):
            found = GO_TYPES.get(type(content), "number")
            return (
                f"couldn't get version/kind; json parse error: json: cannot unmarshal {found} into "
                "Go value of type struct { APIVersion string "
                r'"json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
            )
        version, kind = content.get("apiVersion"), content.get("kind")
        if not kind or not version:
            missing = "apiVersion" if kind else "Kind"
            return f"Object '{missing}' is missing in '{text}'"
        if (version, kind) != self.KIND:
            line = 111 if since(35) else 110 if since(33) else 100 if since(20) else 101
            where = f' in scheme "pkg/runtime/scheme.go:{line}"' if since(12) else ""
            return f"no kind {quote(kind)} is registered for version {quote(version)}{where}"
        return ""

    def merge(self, content: dict[str, Any], prefix: str, unknown: list[str], merged: bool) -> None:
        """Take over a mapping's fields; ``merged`` maps keep what they had."""
        for name, value in content.items():
            path = f"{prefix}{name}"
            if path in FACTS["fields"]:
                kind = FACTS["fields"][path][0]
                if value is not None:
                    value = read_field(path, kind, value)
                    if merged and kind.startswith("map") and self.values[path]:
                        value = {**self.values[path], **value}
                    self.values[path] = value
            elif any(known.startswith(f"{path}.") for known in FACTS["fields"]):
                if value is not None and not isinstance(value, dict):
                    raise ValueError(unfit(value, path, "v1beta1 struct"))
                self.merge(value or {}, f"{path}.", unknown, merged)
            elif path not in ("kind", "apiVersion"):
                unknown.append(path)

    def shown(self) -> dict[str, Any]:
        """Return the answer on /configz."""
        answer: dict[str, Any] = {}
        if since(36):
            answer["apiVersion"], answer["kind"] = self.KIND
        for path, (kind, always, _, _) in FACTS["fields"].items():
            *parents, name = path.split(".")
            place = answer
            for parent in parents:
                place = place.setdefault(parent, {})
            value = self.values[path]
            if value or always:
                place[name] = format_duration(value) if kind == "duration" else value
        return {"kubeletconfig" if since(8) else "componentconfig": answer}


def warn_of_unknown(names: list[str], content: Any) -> None:
    """Say that a file has fields that this version does not know, and go on."""
    problem = f"strict decoding error: {', '.join(f'unknown field {quote(n)}' for n in names)}"
    if not since(23):
        found = f"found unknown field: {names[0].rpartition('.')[2]}"
        problem = f"v1beta1.KubeletConfiguration.ReadObject: {found}"
        problem = f"strict decoder error for {go_json(content)}: {problem}"
    if since(21):
        message = "Using lenient decoding as strict decoding failed"
        log("I", "codec.go:109", structured(message, err=problem))
    else:
        log("W", "codec.go:109", f"using lenient decoding as strict decoding failed: {problem}")


DURATIONS = ("duration", "nanoseconds")
PATHS = ("staticPodPath", "authentication.x509.clientCAFile", "tlsCertFile", "tlsPrivateKeyFile")
"""Fields whose value, if it is relative, starts at the file's folder."""

FIELD_TYPES: dict[str, Any] = {
    "bool": bool, "string": str, "duration": str, "int32": int, "int64": int, "uint32": int,
    "float64": (int, float), "[]string": list, "[]int32": list, "map[string]string": dict,
    "map[string]bool": dict, "map[string][]string": dict,
}  # fmt: skip


def read_field(path: str, kind: str, value: Any) -> Any:
    """Return a field's value; the ValueError is worded as encoding/json's error."""
    wanted = FIELD_TYPES.get(kind, object)
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind not in ("bool", "any")):
        raise ValueError(unfit(value, path, "string" if kind == "duration" else kind))
    if kind == "map[string]string" and not all(isinstance(one, str) for one in value.values()):
        found = next(one for one in value.values() if not isinstance(one, str))
        raise ValueError(unfit(found, path, "string"))
    if kind == "map[string]bool" and not all(isinstance(one, bool) for one in value.values()):
        found = next(one for one in value.values() if not isinstance(one, bool))
        raise ValueError(unfit(found, path, "bool"))
    if kind == "duration":
        return parse_duration(value)
    return value


def unfit(value: Any, path: str, kind: str) -> str:
    """Return what is wrong with a value of the wrong type.

    Until 1.22 json-iterator reads the file; where it stood then is left out here.
    """
    if not since(23):
        found = json.dumps(value)[0]
        wanted = {
            "bool": f"ReadBool: expect t or f, but found {found}",
            "string": f'ReadString: expects " or n, but found {found}',
            "[]string": f"[]string: decode slice: expect [ or n, but found {found}",
        }.get(kind)
        if wanted is None:
            number = kind.startswith(("int", "float"))
            wanted = "readUint32: unexpected character: \ufffd" if number else ""
            wanted = wanted or f"readObjectStart: expect {{ or n, but found {found}"
        names = (part[:1].upper() + part[1:] for part in path.split("."))
        return f"v1beta1.KubeletConfiguration.{'.'.join(names)}: {wanted}"
    found = GO_TYPES.get(type(value), "number")
    place = f"KubeletConfiguration.{path}"
    return f"json: cannot unmarshal {found} into Go struct field {place} of type {kind}"


KUBELET_LABELS = (
    "beta.kubernetes.io/arch", "beta.kubernetes.io/instance-type", "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region", "failure-domain.beta.kubernetes.io/zone",
)  # fmt: skip
LABELS_TO_1_16 = (
    "failure-domain.kubernetes.io/region", "failure-domain.kubernetes.io/zone",
    "kubernetes.io/arch", "kubernetes.io/hostname", "kubernetes.io/instance-type",
    "kubernetes.io/os",
)  # fmt: skip
LABELS_FROM_1_17 = (
    "kubernetes.io/arch", "kubernetes.io/hostname", "kubernetes.io/os",
    "node.kubernetes.io/instance-type", "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
)  # fmt: skip
LABEL_NAMESPACES = ("kubelet.kubernetes.io", "node.kubernetes.io")


def check_labels(labels: dict[str, str]) -> None:
    """Refuse what --node-labels may not set: ValidateKubeletFlags, from 1.13 on."""
    if not since(13):
        return
    allowed = (*KUBELET_LABELS, *(LABELS_FROM_1_17 if since(17) else LABELS_TO_1_16))
    unknown = sorted(
        key
        for key in labels
        if in_domain(key.rpartition("/")[0], ("kubernetes.io", "k8s.io"))
        and not in_domain(key.rpartition("/")[0], LABEL_NAMESPACES)
        and key not in allowed
    )
    problem = "unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: "
    rule = (
        "--node-labels in the 'kubernetes.io' namespace must begin with an allowed prefix "
        f"({', '.join(LABEL_NAMESPACES)}) or be in the specifically allowed set "
        f"({', '.join(allowed)})"
    )
    problem += f"[{' '.join(unknown)}]"
    if unknown and since(16):
        raise Refusal("flags", f"{problem}\n{rule}")
    if unknown:
        log("W", "options.go:251", problem)
        log("W", "options.go:252", f"in {'1.16' if since(14) else '1.15'}, {rule}")
    if since(25):
        check_label_syntax(labels)


def in_domain(prefix: str, domains: tuple[str, ...]) -> bool:
    """Say whether a label's prefix is one of the domains or below it."""
    return any(f".{prefix}".endswith(f".{domain}") for domain in domains)


def check_label_syntax(labels: dict[str, str]) -> None:
    """Refuse labels that the API would not take."""
    problems = [(key, qualified_name_problems(key)) for key in labels]
    problems += [(value, label_value_problems(value)) for value in labels.values()]
    found = [f"'{text}' - {', '.join(advice)}" for text, advice in problems if advice]
    if found:
        raise Refusal("flags", f"invalid node labels: {'; '.join(found)}")


def check_flags(flags: FlagSet) -> None:
    """Check what ValidateKubeletFlags does (cmd/kubelet/app/options/options.go)."""
    if since(24) and not since(27):
        runtime = flags["container-runtime"]
        if runtime != "remote":
            problem = f"unsupported CRI runtime: {quote(runtime)}"
            raise Refusal("flags", f'{problem}, only "remote" is currently supported')
        if since(26) and not flags["container-runtime-endpoint"]:
            problem = "the container runtime endpoint address was not specified or empty"
            raise Refusal("flags", f"{problem}, use --container-runtime-endpoint to set")
    check_labels(flags["node-labels"])


PORTS = range(1, 65536)
LIMITS: dict[str, tuple[str, range, str]] = {
    "cadvisor-port": ("CAdvisorPort", range(65536), "must be between 0 and 65535, inclusive"),
    "event-burst": ("EventBurst", range(2**31), "must not be a negative number"),
    "event-qps": ("EventRecordQPS", range(2**31), "must not be a negative number"),
    "healthz-port": ("HealthzPort", range(65536), "must be between 1 and 65535, inclusive"),
    "image-gc-high-threshold": (
        "ImageGCHighThresholdPercent", range(101), "must be between 0 and 100, inclusive",
    ),
    "image-gc-low-threshold": (
        "ImageGCLowThresholdPercent", range(101), "must be between 0 and 100, inclusive",
    ),
    "iptables-drop-bit": ("IPTablesDropBit", range(32), "must be between 0 and 31, inclusive"),
    "iptables-masquerade-bit": (
        "IPTablesMasqueradeBit", range(32), "must be between 0 and 31, inclusive",
    ),
    "kube-api-burst": ("KubeAPIBurst", range(2**31), "must not be a negative number"),
    "kube-api-qps": ("KubeAPIQPS", range(2**31), "must not be a negative number"),
    "max-open-files": ("MaxOpenFiles", range(2**63), "must not be a negative number"),
    "max-pods": ("MaxPods", range(2**31), "must not be a negative number"),
    "oom-score-adj": (
        "OOMScoreAdj", range(-1000, 1001), "must be between -1000 and 1000, inclusive",
    ),
    "pods-per-core": ("PodsPerCore", range(2**31), "must not be a negative number"),
    "port": ("Port", PORTS, "must be between 1 and 65535, inclusive"),
    "read-only-port": ("ReadOnlyPort", range(65536), "must be between 0 and 65535, inclusive"),
    "registry-burst": ("RegistryBurst", range(2**31), "must not be a negative number"),
    "registry-qps": ("RegistryPullQPS", range(2**31), "must not be a negative number"),
}  # fmt: skip
"""What ValidateKubeletConfiguration says of the numbers, in its order."""


def field_name(flag: str, name: str) -> str:
    """Return a field as validation names it: from 1.20 on as it is written in the file."""
    paths = (path for path, (_, _, _, bound) in FACTS["fields"].items() if bound == flag)
    shown = next(paths, name) if since(20) else name
    return f"{shown} (--{flag})"


def configuration_problems(flags: FlagSet) -> list[str]:
    """Return what ValidateKubeletConfiguration finds; 1.7 has less to say (check_configuration)."""
    found = []
    levels = flags["enforce-node-allocatable"]
    invalid = "invalid configuration:" if since(10) else "Invalid configuration:"
    enforced = field_name("enforce-node-allocatable", "EnforceNodeAllocatable")
    qos = field_name("cgroups-per-qos", "CgroupsPerQOS")
    if not flags["cgroups-per-qos"] and levels and not since(31):
        how = "is set to true" if since(20) else "feature is turned on"
        start = f"{invalid} " if since(10) else ""
        found.append(f"{start}{enforced} is not supported unless {qos} {how}")
    if flags["system-cgroups"] and not flags["cgroup-root"]:
        system = field_name("system-cgroups", "SystemCgroups")
        root = field_name("cgroup-root", "CgroupRoot")
        found.append(f"{invalid} {system} was specified and {root} was not specified")
    for flag, (name, allowed, rule) in LIMITS.items():
        if flag in flags.flags and flags[flag] not in allowed:
            found.append(f"{invalid} {field_name(flag, name)} {flags[flag]} {rule}")
    found += enforcement_problems(flags, invalid, enforced, qos)
    if since(32) and flags["runonce"]:
        problem = "Runonce mode has been deprecated and should not be set"
        found.append(f"{invalid} runOnce (--runOnce) true, {problem}")
    if since(27) and not flags["container-runtime-endpoint"]:
        found.append(f"{invalid} the containerRuntimeEndpoint was not specified or empty")
    if flags["hairpin-mode"] not in HAIRPIN_MODES and since(10):
        found.append(
            f"{invalid} option {quote(flags['hairpin-mode'])} specified for "
            f"{field_name('hairpin-mode', 'HairpinMode')}. "
            'Valid options are "none", "hairpin-veth" or "promiscuous-bridge"'
        )
    return found + [problem for problem in [cgroup_problem(flags)] if problem]


def enforcement_problems(flags: FlagSet, invalid: str, enforced: str, qos: str) -> list[str]:
    """Return what is wrong with --enforce-node-allocatable from 1.8 on."""
    found = []
    levels = ["pods", "system-reserved", "kube-reserved"]
    if since(32):
        levels[2:2] = ["system-reserved-compressible"]
        levels.append("kube-reserved-compressible")
    given = flags["enforce-node-allocatable"]
    for level in given:
        if level == "none" and since(10):
            if len(given) > 1:
                word = quote(level) if since(31) else f"'{level}'"
                rule = f"may not contain additional enforcements when {word} is specified"
                found.append(f"{invalid} {enforced} {rule}")
            continue
        if level not in levels:
            # 1.10 to 1.15 name the first option twice, and never the last.
            none = [levels[0] if not since(16) else "none"] if since(10) else []
            quoted = [quote(one) for one in levels + none]
            comma = "," if since(10) and not since(32) else ""
            options = f"{', '.join(quoted[:-1])}{comma} or {quoted[-1]}"
            found.append(
                f"{invalid} option {quote(level)} specified for {enforced}. "
                f"Valid options are {options}"
                if since(10)
                else f"Invalid option {quote(level)} specified for {enforced} setting. "
                f"Valid options are {options}"
            )
            continue
        found += cgroup_needed(flags, level, invalid, enforced)
        if since(31) and not flags["cgroups-per-qos"]:
            rule = f"must be set to true when {quote(level)} contained in {enforced}"
            found.append(f"{invalid} {qos} {rule}")
    return found


def cgroup_needed(flags: FlagSet, level: str, invalid: str, enforced: str) -> list[str]:
    """Insist on the cgroup that a reservation is enforced in, from 1.16 on."""
    what = level.rpartition("-compressible")[0] or level
    if not since(16) or what == "pods" or flags[f"{what}-cgroup"]:
        return []
    field = f"{'system' if what.startswith('system') else 'kube'}ReservedCgroup (--{what}-cgroup)"
    if since(32):
        either = f"{quote(what)} or {quote(what + '-compressible')} included"
    else:
        word = quote(what) if since(31) else f"'{what}'" if since(20) else what
        either = f"{word} contained"
    return [f"{invalid} {field} must be specified when {either} in {enforced}"]


HAIRPIN_MODES = ("promiscuous-bridge", "hairpin-veth", "none")


def cgroup_problem(flags: FlagSet) -> str:
    """Return what is wrong with the host's cgroups: validation_linux.go, from 1.35 on an error."""
    if not since(31) or os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        return ""
    if flags["fail-cgroupv1"] and since(35):
        return (
            "kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is "
            "unsupported and will be removed in a future release"
        )
    if flags["fail-cgroupv1"]:
        return (
            "kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is in "
            "maintenance mode"
        )
    return ""


def check_configuration(flags: FlagSet) -> None:
    """Check what validation does before anything is started."""
    if since(8):
        problems = configuration_problems(flags)
        if problems:
            raise Failure(aggregate(problems))
        return
    levels = flags["enforce-node-allocatable"]
    if not flags["cgroups-per-qos"] and levels:
        raise Failure(
            "Node Allocatable enforcement is not supported "
            "unless Cgroups Per QOS feature is turned on"
        )
    if flags["system-cgroups"] and not flags["cgroup-root"]:
        raise Failure(
            "invalid configuration: system container was specified and cgroup root was not "
            "specified"
        )
    for level in levels:
        if level not in ("pods", "system-reserved", "kube-reserved"):
            raise Failure(
                f"invalid option {quote(level)} specified for EnforceNodeAllocatable setting. "
                'Valid options are "pods", "system-reserved" or "kube-reserved"'
            )


def check_cloud(flags: FlagSet) -> None:
    """Refuse a cloud provider that is not built in."""
    name = flags["cloud-provider"]
    known = ("", "external", *(() if since(9) else ("auto-detect",)))
    if name in known or since(34):
        return
    if since(32):
        raise Failure(
            f"cloud provider {quote(name)} was specified, but built-in cloud providers are "
            "disabled. Please set --cloud-provider=external and migrate to an external cloud "
            "provider"
        )
    raise Failure(f"unknown cloud provider {quote(name)}")


def check_swap(flags: FlagSet) -> None:
    """Refuse to run with swap: pkg/kubelet/cm/container_manager_linux.go."""
    lines = text_of("/proc/swaps").strip().splitlines()
    if not flags["fail-swap-on"] or len(lines) < 2:
        return
    running = "running" if since(16) else "Running"
    problem = f"{running} with swap on is not supported, please disable swap"
    if since(31):
        raise Failure(f"{problem} or set --fail-swap-on flag to false")
    shown = f"[{' '.join(lines)}]"
    raise Failure(f"{problem}! or set --fail-swap-on flag to false. /proc/swaps contained: {shown}")


RESERVABLE = ("cpu", "memory", "storage", "ephemeral-storage", "pid")


def check_resources(flags: FlagSet) -> None:
    """Check reservations and hard evictions as run() does for the container manager."""
    for flag in ("kube-reserved", "system-reserved"):
        for name, amount in flags[flag].items():
            if name not in RESERVABLE:
                raise Failure(f"cannot reserve {quote(name)} resource")
            if parse_quantity(amount) < 0:
                raise Failure(f"resource quantity for {quote(name)} cannot be negative: {amount}")
    if not flags["experimental-allocatable-ignore-eviction"]:
        parse_evictions(flags["eviction-hard"])
    for name, share in flags["experimental-qos-reserved"].items():
        if name != "memory":
            raise Failure(f"cannot reserve {quote(name)} resource")
        if not share.endswith("%"):
            raise Failure(f"percentage expected, got '{share}'")
        if not re.fullmatch(r"[+-]?[0-9]+%", share):
            raise Failure(f"invalid number in percentage '{share}'")
        if not 0 <= int(share[:-1]) <= 100:
            raise Failure("percentage must be between 0 and 100")


def parse_evictions(text: Any) -> dict[str, str]:
    """Return eviction thresholds by signal: pkg/kubelet/eviction/helpers.go."""
    thresholds: dict[str, str] = {}
    for statement in statements_of(text, "<"):
        parts = statement.split("<")
        if len(parts) != 2:
            raise Failure(
                f"invalid eviction threshold syntax {statement}, expected <signal><operator><value>"
            )
        signal_name, value = known_signal(parts[0]), parts[1]
        amount = parse_percentage(value) if value.endswith("%") else parse_quantity(value)
        if amount <= 0:
            kind = "percentage threshold" if value.endswith("%") else "threshold"
            raise Failure(f"eviction {kind} {signal_name} must be positive: {value}")
        if signal_name in thresholds:
            raise Failure(f"found duplicate eviction threshold for signal {signal_name}")
        thresholds[signal_name] = value
    return thresholds


def statements_of(given: Any, mark: str) -> list[str]:
    """Return eviction statements one by one; from 1.9 on their flags are maps."""
    if isinstance(given, str):
        return given.split(",") if given else []
    return [f"{name}{mark}{value}" for name, value in given.items()]


def parse_percentage(text: str) -> float:
    """Read a percentage."""
    try:
        return parse_float(text.rstrip("%"))
    except ValueError as error:
        raise Failure(str(error)) from None


def known_signal(name: str) -> str:
    """Return an eviction signal's name if there is such a signal."""
    if name not in EVICTION_SIGNALS:
        raise Failure(f"unsupported eviction signal {name}")
    return name


def parse_statements(text: Any, what: str, value: str) -> dict[str, str]:
    """Return signal=value statements by signal; the words are for the complaint."""
    statements: dict[str, str] = {}
    for statement in statements_of(text, "="):
        parts = statement.split("=")
        if len(parts) != 2:
            raise Failure(f"invalid eviction {what} {statement}, expected <signal>=<{value}>")
        statements[known_signal(parts[0])] = parts[1]
    return statements


def check_soft_evictions(flags: FlagSet) -> None:
    """Check soft evictions, their grace periods and minimum reclaims (eviction/helpers.go)."""
    soft = parse_evictions(flags["eviction-soft"])
    periods = parse_statements(
        flags["eviction-soft-grace-period"], "grace period syntax", "duration"
    )
    for period in periods.values():
        try:
            negative = parse_duration(period) < 0
        except ValueError as error:
            raise Failure(str(error)) from None
        if negative:
            raise Failure(
                f"invalid eviction grace period specified: {period}, must be a positive value"
            )
    reclaims = flags["eviction-minimum-reclaim"]
    for amount in parse_statements(reclaims, "minimum reclaim syntax:", "value").values():
        (parse_percentage if amount.endswith("%") else parse_quantity)(amount)
    for name in soft:
        if name not in periods:
            raise Failure(f"grace period must be specified for the soft eviction threshold {name}")


def check_sources(flags: FlagSet) -> None:
    """Check where privileged pods may come from: pkg/kubelet/types/pod_update.go."""
    for flag in ("host-network-sources", "host-pid-sources", "host-ipc-sources"):
        for source in flags[flag]:
            if source not in ("*", "file", "http", "api", ""):
                raise Failure(f"unknown pod source {quote(source)}")


def check_runtime(flags: FlagSet) -> None:
    """Insist on a container runtime that this version knows of."""
    runtimes = ("docker", "remote") if since(11) else ("docker", "rkt", "remote")
    if flags["container-runtime"] not in runtimes:
        raise Failure(f"unsupported CRI runtime: {quote(flags['container-runtime'])}")


def check_kubelet(flags: FlagSet) -> None:
    """Check what NewMainKubelet does (pkg/kubelet/kubelet.go), in its order."""
    if not flags["root-dir"]:
        raise Failure('invalid root directory ""')
    if flags["sync-frequency"] <= 0:
        raise Failure(f"invalid sync frequency {flags['sync-frequency']}")
    if flags["make-iptables-util-chains"]:
        for name in ("masquerade", "drop"):
            if not 0 <= flags[f"iptables-{name}-bit"] <= 31:
                raise Failure(f"iptables-{name}-bit is not valid. Must be within [0, 31]")
        if flags["iptables-masquerade-bit"] == flags["iptables-drop-bit"]:
            raise Failure("iptables-masquerade-bit and iptables-drop-bit must be different")
    header = flags["manifest-url-header"]
    if isinstance(header, str) and header and header.count(":") != 1:
        raise Failure(
            f"manifest-url-header must have a single ':' key-value separator, got {quote(header)}"
        )
    check_soft_evictions(flags)
    for address in flags["cluster-dns"]:
        if not is_ip(address):
            log("W", "kubelet.go:434", f"Invalid clusterDNS ip '{quote(address)}'")
    if flags["hairpin-mode"] not in HAIRPIN_MODES:
        mode = quote(flags["hairpin-mode"])
        raise Fatal("kubelet.go:506", f"Invalid hairpin mode: unknown value: {mode}")
    plugin = flags["network-plugin"]
    if plugin not in ("", "cni", "kubenet"):
        raise Failure(f"Network plugin {quote(plugin)} not found.")
    check_runtime(flags)
    thresholds = {}
    for level in ("High", "Low"):
        threshold = flags[f"image-gc-{level.lower()}-threshold"]
        if not 0 <= threshold <= 100:
            raise Failure(
                "failed to initialize image manager: "
                f"invalid {level}ThresholdPercent {threshold}, must be in range [0-100]"
            )
        thresholds[level] = threshold
    if thresholds["Low"] > thresholds["High"]:
        raise Failure(
            "failed to initialize image manager: "
            f"LowThresholdPercent {thresholds['Low']} can not be higher than "
            f"HighThresholdPercent {thresholds['High']}"
        )


# ---------------------------------------------------------------------------------- certificates

PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s.*?-----END \1-----", re.DOTALL)
X509_PARTIAL_CHAIN = 0x80000
SSL_VERIFY_PEER = 1
SSL_CTRL_SET_SESS_CACHE_MODE = 44
X509_UNKNOWN_AUTHORITY = "x509: certificate signed by unknown authority"
X509_PROBLEMS = {
    9: "x509: certificate has expired or is not yet valid",
    10: "x509: certificate has expired or is not yet valid",
    26: "x509: certificate specifies an incompatible key usage",
}
"""What Go says for the errors of OpenSSL's x509_vfy.h that are not about the authority."""


def pem_blocks(data: bytes) -> list[str]:
    """Return the types of the PEM blocks in a text."""
    return [kind.decode() for kind in PEM_BLOCK.findall(data)]


def load_key_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Give a TLS context its certificate; the Failure is that of crypto/tls X509KeyPair."""
    for data, what in ((certificate, "certificate"), (key, "key")):
        found = pem_blocks(data)
        if not found:
            raise Failure(f"tls: failed to find any PEM data in {what} input")
        if what == "certificate" and "CERTIFICATE" not in found:
            raise Failure(
                "tls: failed to find certificate PEM data in certificate input, but did find a "
                "private key; PEM inputs may have been switched"
                if found[0].endswith("PRIVATE KEY")
                else 'tls: failed to find "CERTIFICATE" PEM block in certificate input after '
                f"skipping PEM blocks of the following types: {found}"
            )
    try:
        with in_memory(certificate) as first, in_memory(key) as second:
            context.load_cert_chain(first, second, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise Failure("tls: private key does not match public key") from None
        if error.reason == "KEY_TYPE_MISMATCH":
            raise Failure("tls: private key type does not match public key type") from None
        raise Failure("tls: failed to parse private key") from None


@contextmanager
def in_memory(data: bytes) -> Iterator[str]:
    """Give data a file name without writing it to a disk; OpenSSL takes keys no other way."""
    descriptor = libc.memfd_create(b"pem", MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def trust(context: ssl.SSLContext, pem: bytes) -> None:
    """Trust the certificates in a PEM text, each as an authority of its own as Go does."""
    context.load_verify_locations(cadata=pem.decode("ascii", "ignore"))
    context.verify_flags |= X509_PARTIAL_CHAIN


def load_client_ca(path: str) -> bytes:
    """Read --client-ca-file: k8s.io/client-go/util/cert/io.go."""
    complaint = f"unable to load client CA file {path}"
    try:
        data = read_file(path)
    except Failure as error:
        raise Failure(str(error) if since(36) else f"{complaint}: {error}") from None
    if "CERTIFICATE" not in pem_blocks(data):
        problem = "data does not contain any valid RSA or ECDSA certificates"
        action = "creating pool from" if since(17) else "reading"
        problem = problem if since(8) else "could not read any certificates"
        raise Failure(f"{complaint}: error {action} {path}: {problem}")
    try:
        trust(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), data)
    except ssl.SSLError:
        raise Failure(f"{complaint}: error reading {path}: x509: malformed certificate") from None
    return data


def serving_files(flags: FlagSet, host: str) -> tuple[str, str]:
    """Return certificate and key of the kubelet's port, made if none are given.

    InitializeTLS in cmd/kubelet/app/server.go: those in --cert-dir are used again.
    """
    given = flags["tls-cert-file"], flags["tls-private-key-file"]
    if any(given):
        return given
    folder = flags["cert-dir"]
    paths = os.path.join(folder, "kubelet.crt"), os.path.join(folder, "kubelet.key")
    readable = [os.access(path, os.R_OK) for path in paths]
    if any(readable) and not all(readable):
        missing = paths[readable.index(False)]
        raise Failure(f"error reading {missing}, certificate and key must be supplied as a pair")
    if not all(readable):
        certificate, key = self_signed(host)
        try:
            os.makedirs(folder, 0o755, exist_ok=True)
            write_file(paths[0], certificate, 0o644)
            write_file(paths[1], key, 0o600)
        except OSError as error:
            raise Failure(f"mkdir {folder}: {errno_text(error)}") from None
    return paths


def write_file(path: str, data: bytes, mode: int) -> None:
    """Write a file that has its mode from the beginning."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with open(os.open(path, flags, mode), "wb") as file:
        file.write(data)


def self_signed(host: str) -> tuple[bytes, bytes]:
    """Make a certificate as GenerateSelfSignedCertKey in k8s.io/client-go/util/cert does."""
    kind = "IP" if is_ip(host) else "DNS"
    request = f"""
        [req]
        prompt = no
        distinguished_name = subject
        x509_extensions = extensions
        [subject]
        CN = {host}@{int(time.time())}
        [extensions]
        keyUsage = critical, digitalSignature, keyEncipherment, keyCertSign
        extendedKeyUsage = serverAuth
        basicConstraints = critical, CA:TRUE
        subjectAltName = {kind}:{host}
    """
    command = "openssl req -x509 -config /dev/stdin -newkey rsa:2048 -nodes -sha256 -days 365"
    outputs = "-set_serial 1 -keyout /dev/stdout -out /dev/stdout"
    try:
        made = subprocess.run(
            [*command.split(), *outputs.split()],
            input=request.encode(),
            capture_output=True,
            check=True,
        ).stdout
    except FileNotFoundError:
        problem = 'exec: "openssl": executable file not found in $PATH'
        raise Failure(f"unable to generate self signed cert: {problem}") from None
    except subprocess.CalledProcessError as error:
        problem = error.stderr.decode(errors="replace").strip()
        raise Failure(f"unable to generate self signed cert: {problem}") from None
    blocks = [match[0] + b"\n" for match in PEM_BLOCK.finditer(made)]
    key, certificate = sorted(blocks, key=lambda block: b"BEGIN CERTIFICATE" in block)
    return certificate, key


class Client(NamedTuple):
    """Who is at the other end of a TLS connection."""

    name: str = ""
    groups: tuple[str, ...] = ()
    problem: str = ""


CA_SECONDS = 60


class ServingTls:
    """TLS as the kubelet serves it: a client certificate is asked for but never insisted on.

    One that does not verify does not break the connection; its problem is remembered for whoever
    decides about the request.
    """

    def __init__(
        self, certificate: bytes, key: bytes, client_ca: bytes | None, client_ca_file: str
    ) -> None:
        self.problems = threading.local()
        self.pair = certificate, key
        self.client_ca, self.client_ca_file = client_ca, client_ca_file
        self.next_look = time.monotonic() + CA_SECONDS
        # Old ones stay: connections that were accepted with them may still call back.
        self.callbacks: list[Any] = []
        self.contexts = [self.new_context()]

    def new_context(self) -> ssl.SSLContext:
        """Return how to shake hands, trusting the client CA of the moment."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        load_key_pair(context, *self.pair)
        if self.client_ca is not None:
            # Go 1.8 has no TLS 1.3; in TLS 1.2 all about certificates is settled in the handshake.
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.verify_mode = ssl.CERT_OPTIONAL
            trust(context, self.client_ca)
            self._tolerate_any_certificate(context)
        return context

    def look_at_client_ca(self) -> None:
        """Take over a client CA that was replaced, as from 1.17 on.

        apiserver/pkg/server/dynamiccertificates/dynamic_cafile_content.go: a look every minute, and
        from 1.23 on a watch. One that cannot be used changes nothing.
        """
        if self.client_ca is None or not since(17):
            return
        if not since(23) and time.monotonic() < self.next_look:
            return
        self.next_look = time.monotonic() + CA_SECONDS
        try:
            fresh = load_client_ca(self.client_ca_file)
        except Failure as error:
            log("E", "dynamic_cafile_content.go:171", str(error))
            return
        if fresh != self.client_ca:
            self.client_ca = fresh
            self.contexts.append(self.new_context())

    def accept(self, connection: socket.socket) -> tuple[ssl.SSLSocket, Client]:
        """Shake hands; return the encrypted connection and who is there."""
        self.problems.first = ""
        self.look_at_client_ca()
        encrypted = self.contexts[-1].wrap_socket(connection, server_side=True)
        certificate: Any = encrypted.getpeercert() or {}
        subject: dict[str, list[str]] = {}
        for ((name, value),) in certificate.get("subject", ()):
            subject.setdefault(name, []).append(value)
        names = subject.get("commonName", [""])
        groups = tuple(subject.get("organizationName", ()))
        return encrypted, Client(names[-1], groups, self.problems.first)

    def _tolerate_any_certificate(self, context: ssl.SSLContext) -> None:
        """Make OpenSSL go on whatever it finds about a client's certificate.

        The ssl module offers no such mode, so that its own OpenSSL is called through ctypes. Where
        that cannot be found, a certificate that does not verify breaks the handshake.
        """
        import _ssl

        library = ctypes.CDLL(getattr(_ssl, "__file__", None))
        if not hasattr(library, "SSL_CTX_set_verify"):
            return

        def verified(good: int, store: int) -> int:
            if not good and not self.problems.first:
                number = library.X509_STORE_CTX_get_error(ctypes.c_void_p(store))
                self.problems.first = X509_PROBLEMS.get(number, X509_UNKNOWN_AUTHORITY)
            return 1

        callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)(verified)
        self.callbacks.append(callback)
        # PySSLContext holds its SSL_CTX* right behind the head that all objects have.
        pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
        library.SSL_CTX_set_verify(pointer, SSL_VERIFY_PEER, callback)
        # A resumed session would skip the callback.
        library.SSL_CTX_ctrl(pointer, SSL_CTRL_SET_SESS_CACHE_MODE, ctypes.c_long(0), None)
        context.options |= ssl.OP_NO_TICKET


# ----------------------------------------------------------------------------------- static pods


def timestamp() -> str:
    """Return the time as the API writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class StaticPods:
    """The pods of --pod-manifest-path: pkg/kubelet/config/file.go and file_linux.go."""

    def __init__(self, path: str, period: int, node: str) -> None:
        self.path = path
        self.period = period
        self.node = node
        self.pods: dict[str, Any] = {}

    def items(self) -> list[Any] | None:
        """Return the pods, or None without any, as an empty list of Go's has it."""
        return [pod for _, pod in sorted(self.pods.items())] or None

    def follow(self) -> None:
        """Read the path now and whenever something changes in it, for ever."""
        while True:
            try:
                self.watch()
            except Failure as error:
                log("E", "file.go:72", f"unable to read config path {quote(self.path)}: {error}")
            time.sleep(self.period / SECOND)

    def watch(self) -> None:
        """Read the path and follow its changes until it goes away."""
        if not os.path.exists(self.path):
            self.pods = {}
            raise Failure("path does not exist, ignoring")
        created = IN_CREATE | IN_MOVED_TO
        mask = created | IN_MODIFY | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF
        try:
            inotify = Inotify(self.path, mask)
        except OSError as error:
            raise Failure(f"unable to create inotify: {errno_text(error)}") from None
        try:
            self.pods = self.read_all()
            while True:
                self.react(*inotify.next())
        finally:
            inotify.close()

    def read_all(self) -> dict[str, Any]:
        """Return what can be read of the pods in the path, a folder or a single file."""
        if os.path.isfile(self.path):
            return {self.path: self.read(self.path)}
        pods = {}
        for name in os.listdir(self.path):
            path = os.path.join(self.path, name)
            if name.startswith(".") or not os.path.isfile(path):
                continue
            try:
                pods[path] = self.read(path)
            except Failure as error:
                problem = f"Can't process config file {quote(path)}: {error}"
                log("I", "file.go:150", problem, level=1)
        return pods

    def react(self, mask: int, path: str) -> None:
        """Do what an event in the path asks for."""
        if os.path.basename(path).startswith(".") or mask & IN_ISDIR:
            return
        if mask & IN_DELETE_SELF:
            raise Failure("error while processing event: the watched path is deleted")
        if mask & (IN_DELETE | IN_MOVED_FROM):
            self.pods.pop(path, None)
            return
        try:
            self.pods[path] = self.read(path)
        except Failure as error:
            log("E", "file_linux.go:114", f"can't process config file {quote(path)}: {error}")

    def read(self, path: str) -> dict[str, Any]:
        """Return the pod in a file as the kubelet sees it."""
        data = read_file(path)
        try:
            manifest = load_yaml(data)
            kind_problem = wrong_kind(manifest)
            if kind_problem:
                raise Failure(kind_problem)
        except (Failure, YamlError) as error:
            raise Failure(
                f"{path}: couldn't parse as pod({error}), please check config file.\n"
            ) from None
        problems = pod_problems(manifest)
        if problems:
            raise Failure(f"invalid pod: [{', '.join(problems)}]")
        digest = hashlib.sha256(f"host:{self.node}file:{path}".encode() + data).hexdigest()[:32]
        return static_pod(manifest, self.node, digest)


def wrong_kind(manifest: Any) -> str:
    """Return why a document is no pod."""
    if not isinstance(manifest, dict):
        found = GO_TYPES.get(type(manifest), "number")
        return f"couldn't get version/kind; json parse error: cannot unmarshal {found}"
    kind, version = manifest.get("kind"), manifest.get("apiVersion")
    if not kind:
        return "Object 'Kind' is missing"
    if (kind, version) != ("Pod", "v1"):
        return f'no kind "{kind}" is registered for version "{version or ""}"'
    return ""


def pod_problems(manifest: dict[str, Any]) -> list[str]:
    """Return what validation finds first of all about a pod."""
    metadata, spec = manifest.get("metadata"), manifest.get("spec")
    problems = []
    if not isinstance(metadata, dict) or not metadata.get("name"):
        problems.append("metadata.name: Required value: name or generateName is required")
    containers = spec.get("containers") if isinstance(spec, dict) else None
    if not isinstance(containers, list) or not containers:
        return [*problems, "spec.containers: Required value"]
    for index, container in enumerate(containers):
        for field in ("name", "image"):
            if not isinstance(container, dict) or not container.get(field):
                problems.append(f"spec.containers[{index}].{field}: Required value")
    return problems


def static_pod(manifest: dict[str, Any], node: str, digest: str) -> dict[str, Any]:
    """Return a manifest's pod with what the kubelet adds (config/common.go) and API defaults."""
    given, spec = manifest["metadata"], manifest["spec"]
    name, namespace = f"{given['name']}-{node}", given.get("namespace") or "default"
    annotations = {
        **(given.get("annotations") or {}),
        "kubernetes.io/config.hash": digest,
        "kubernetes.io/config.seen": timestamp(),
        "kubernetes.io/config.source": "file",
    }
    defaults = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    }
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
    return {
        "metadata": {
            **given,
            "name": name,
            "namespace": namespace,
            "selfLink": f"/api/v1/namespaces/{namespace}/pods/{name}",
            "uid": digest,
            "creationTimestamp": None,
            "annotations": annotations,
        },
        "spec": {
            **defaults,
            **spec,
            "containers": [container_with_defaults(one) for one in spec["containers"]],
            "nodeName": node,
            "tolerations": [
                *(spec.get("tolerations") or []),
                {"operator": "Exists", "effect": "NoExecute"},
            ],
        },
        "status": {
            "phase": "Pending",
            "conditions": [{**scheduled, "lastTransitionTime": timestamp()}],
        },
    }


def container_with_defaults(container: dict[str, Any]) -> dict[str, Any]:
    """Return a container with the defaults of the API."""
    _, colon, tag = container["image"].rpartition("/")[2].partition(":")
    latest = not colon or tag == "latest"
    return {
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "Always" if latest else "IfNotPresent",
        **container,
    }


# ------------------------------------------------------------------------------------ API server


class ApiError(Exception):
    """A request to the API server that failed; ``code`` is the answer's, if there was one."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class ApiServer:
    """A connection to the API server by a kubeconfig's rules."""

    SECONDS = 30

    def __init__(self, config: ClientConfig) -> None:
        """Load the credentials; the Failure is that of client-go/transport."""
        self.url = server_url(config.server)
        parts = urlsplit(self.url)
        self.prefix = parts.path
        self.secure = parts.scheme == "https"
        self.host = parts.hostname or "localhost"
        self.port = parts.port or (443 if self.secure else 80)
        self.headers = {"Accept": "application/json", "User-Agent": f"hyperkube/{version()}"}
        if config.token:
            self.headers["Authorization"] = f"Bearer {config.token}"
        elif config.username or config.password:
            pair = f"{config.username}:{config.password}".encode()
            self.headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        if config.insecure and config.ca:
            raise Failure(
                "specifying a root certificates file with the insecure flag is not allowed"
            )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        if config.insecure:
            self.context.check_hostname = False
            self.context.verify_mode = ssl.CERT_NONE
        elif "CERTIFICATE" in pem_blocks(config.ca):
            trust(self.context, config.ca)
        elif self.secure and not config.ca:
            self.context.load_default_certs()
        if config.certificate and config.key:
            load_key_pair(self.context, config.certificate, config.key)

    def request(self, method: str, path: str, body: Any = None, kind: str = "json") -> Any:
        """Ask for something and return the answer; raise ApiError in client-go's words."""
        connection = HTTPConnection(self.host, self.port, timeout=self.SECONDS)
        if self.secure:
            connection = HTTPSConnection(
                self.host, self.port, timeout=self.SECONDS, context=self.context
            )
        headers = {**self.headers, "Content-Type": f"application/{kind}"}
        sent = None if body is None else json.dumps(body)
        try:
            connection.request(method, self.prefix + path, sent, headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, HTTPException) as error:
            problem = self.problem(error)
            url = f"{self.url}{path}"
            url = quote(url) if since(19) else url
            raise ApiError(f"{method.capitalize()} {url}: {problem}") from None
        finally:
            connection.close()
        try:
            answer: dict[str, Any] = dict(json.loads(text))
        except (TypeError, ValueError):
            answer = {"message": f"an error on the server ({quote(text[:80].decode('latin-1'))})"}
        if response.status >= 400:
            raise ApiError(str(answer.get("message", "unknown")), response.status)
        return answer

    def problem(self, error: Exception) -> str:
        """Return what Go says when a connection fails this way."""
        if isinstance(error, ssl.SSLCertVerificationError):
            if error.verify_code in X509_PROBLEMS:
                return X509_PROBLEMS[error.verify_code]
            if "mismatch" in error.verify_message or "not valid for" in error.verify_message:
                return f"x509: certificate is not valid for {self.host}"
            return X509_UNKNOWN_AUTHORITY
        if isinstance(error, ssl.SSLError):
            words = (error.reason or "unexpected EOF").lower().replace("_", " ")
            return f"remote error: tls: {re.sub('^(ssl|tls)v[0-9]+ alert ', '', words)}"
        if isinstance(error, (RemoteDisconnected, ConnectionResetError)):
            return "EOF"
        if isinstance(error, socket.gaierror):
            return f"dial tcp: lookup {self.host}: no such host"
        if isinstance(error, socket.timeout):
            return f"dial tcp {self.address()}: i/o timeout"
        if isinstance(error, OSError) and error.errno:
            old = error.errno != errno.ENETUNREACH and not since(11)
            call = "getsockopt" if old else "connect"
            return f"dial tcp {self.address()}: {call}: {errno_text(error)}"
        return str(error)

    def address(self) -> str:
        """Return the server's address as a dial error names it."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError:
            return join_host_port(self.host, self.port)
        return join_host_port(str(found[0][4][0]), self.port)


# ------------------------------------------------------------------------------------------ node

CONDITIONS = (
    ("OutOfDisk", "KubeletHasSufficientDisk", "kubelet has sufficient disk space available"),
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)
NETWORK_NOT_READY = (
    "NetworkReady=false reason:NetworkPluginNotReady "
    "message:docker: network plugin is not ready: cni config uninitialized"
)
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


class Node:
    """The machine as a Node object: pkg/kubelet/kubelet_node_status.go."""

    def __init__(self, flags: FlagSet) -> None:
        self.flags = flags
        self.name = (flags["hostname-override"] or os.uname().nodename).strip().lower()
        self.registered = False

    def follow(self, api: ApiServer) -> None:
        """Register with the API server and report to it, for ever."""
        while True:
            if self.flags["register-node"]:
                self.register(api)
            self.report(api)
            time.sleep(self.flags["node-status-update-frequency"] / SECOND)

    def register(self, api: ApiServer) -> None:
        """Try to register until it works, waiting from 0.1 s on twice as long, at most 7 s."""
        if self.registered:
            return
        pause = 0.1
        while not self.registered:
            time.sleep(pause)
            pause = min(2 * pause, 7.0)
            node = self.initial()
            log("I", "kubelet_node_status.go:82", f"Attempting to register node {self.name}")
            try:
                self.registered = self.create(api, node)
            except ApiError as error:
                problem = f"Unable to register node {quote(self.name)} with API server: {error}"
                log("E", "kubelet_node_status.go:106", problem)
        log("I", "kubelet_node_status.go:85", f"Successfully registered node {self.name}")

    def create(self, api: ApiServer, node: dict[str, Any]) -> bool:
        """Create the Node object, or take over the one there is if it is this machine's."""
        try:
            api.request("POST", "/api/v1/nodes", node)
            return True
        except ApiError as error:
            if error.code != 409:
                raise
        path = f"/api/v1/nodes/{self.name}"
        existing = api.request("GET", path)
        if since(11) or existing.get("spec", {}).get("externalID") == self.name:
            problem = f"Node {self.name} was previously registered"
            log("I", "kubelet_node_status.go:133", problem)
            return True
        api.request("DELETE", path)
        log("I", "kubelet_node_status.go:157", f"Deleted old node object {quote(self.name)}")
        return False

    def report(self, api: ApiServer) -> None:
        """Send the node's status, trying five times."""
        path = f"/api/v1/nodes/{self.name}"
        for attempt in range(5):
            try:
                self.patch_status(api, path, path if attempt else f"{path}?resourceVersion=0")
                return
            except ApiError as error:
                problem = f"Error updating node status, will retry: {error}"
                log("E", "kubelet_node_status.go:357", problem)
        problem = "Unable to update node status: update node status exceeds retry count"
        log("E", "kubelet_node_status.go:349", problem)

    def patch_status(self, api: ApiServer, path: str, source: str) -> None:
        """Replace the status of the Node object that is there."""
        try:
            node = api.request("GET", source)
        except ApiError as error:
            raise ApiError(f"error getting node {quote(self.name)}: {error}") from None
        status = self.status(node.get("status", {}).get("conditions", ()))
        api.request("PATCH", f"{path}/status", {"status": status}, "strategic-merge-patch+json")

    def initial(self) -> dict[str, Any]:
        """Return the Node object to register."""
        annotations = {}
        if self.flags["enable-controller-attach-detach"]:
            problem = "Setting node annotation to enable volume controller attach/detach"
            log("I", "kubelet_node_status.go:247", problem)
            annotations["volumes.kubernetes.io/controller-managed-attach-detach"] = "true"
        if self.flags["keep-terminated-pod-volumes"]:
            text = "Setting node annotation to keep pod volumes of terminated pods attached to"
            log("I", "kubelet_node_status.go:257", f"{text} the node")
            annotations["volumes.kubernetes.io/keep-terminated-pod-volumes"] = "true"
        status = self.status(())
        if "addresses" in status and is_ip(self.flags["node-ip"]):
            annotations["alpha.kubernetes.io/provided-node-ip"] = self.flags["node-ip"]
        taints = list(self.flags["register-with-taints"])
        if self.flags["cloud-provider"] == "external":
            key = "node.cloudprovider.kubernetes.io/uninitialized"
            taints.append({"key": key, "value": "true", "effect": "NoSchedule", "timeAdded": None})
        spec = {
            "externalID": "" if since(11) else self.name,
            "providerID": self.flags["provider-id"],
            "unschedulable": not self.flags["register-schedulable"],
            "taints": taints,
        }
        return {
            "kind": "Node",
            "apiVersion": "v1",
            "metadata": {
                "name": self.name,
                "labels": {
                    "beta.kubernetes.io/arch": architecture(),
                    "beta.kubernetes.io/os": "linux",
                    **({"kubernetes.io/arch": architecture()} if since(14) else {}),
                    **({"kubernetes.io/os": "linux"} if since(14) else {}),
                    "kubernetes.io/hostname": self.name,
                    **self.flags["node-labels"],
                },
                "annotations": annotations,
            },
            "spec": {field: value for field, value in spec.items() if value},
            "status": status,
        }

    def status(self, before: Any) -> dict[str, Any]:
        """Return the node's status; ``before`` are the conditions it had."""
        capacity, allocatable = self.resources()
        status = {
            "capacity": capacity,
            "allocatable": allocatable,
            "conditions": self.conditions(before),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.flags["port"]}},
            "nodeInfo": {
                "machineID": machine_id(),
                "systemUUID": machine_id(),
                "bootID": boot_id(),
                "kernelVersion": os.uname().release,
                "osImage": os_image(),
                "containerRuntimeVersion": "hollow://",
                "kubeletVersion": version(),
                "kubeProxyVersion": version(),
                "operatingSystem": "linux",
                "architecture": architecture(),
            },
        }
        try:
            status["addresses"] = [
                {"type": "InternalIP", "address": self.address()},
                {"type": "Hostname", "address": self.name},
            ]
        except Failure as error:
            problem = f"Failed to set some node status fields: {error}"
            log("W", "kubelet_node_status.go:951", problem)
        return status

    def address(self) -> str:
        """Return the address the node is reached at."""
        node_ip: str = self.flags["node-ip"]
        if is_ip(node_ip):
            self.check_node_ip(node_ip)
            return node_ip
        if is_ip(self.name):
            return self.name
        try:
            found = socket.getaddrinfo(self.name, None, socket.AF_INET)
        except OSError:
            found = []
        addresses = (str(entry[4][0]) for entry in found)
        return next((one for one in addresses if not one.startswith("127.")), "") or (
            self.default_address()
        )

    def default_address(self) -> str:
        """Return the address of the interface that the default route uses."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("192.0.2.1", 9))  # an address for documentation; nothing is sent
            except OSError:
                problem = "Unable to select an IP."
                raise Failure(
                    f"can't get ip address of node {self.name}. error: {problem}"
                ) from None
            return str(probe.getsockname()[0])

    def check_node_ip(self, node_ip: str) -> None:
        """Insist on an address that one of this machine's interfaces has (validateNodeIP)."""
        problem = ""
        if node_ip.startswith("127.") or node_ip == "::1":
            problem = "nodeIP can't be loopback address"
        elif not is_ip(node_ip, socket.AF_INET):
            problem = "nodeIP must be IPv4 address"
        elif node_ip not in local_addresses():
            problem = f"Node IP: {quote(node_ip)} not found in the host's network interfaces"
        if problem:
            raise Failure(f"failed to validate nodeIP: {problem}")

    def resources(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return what the machine has, and what of it pods may use."""
        cores, memory = os.cpu_count() or 1, memory_bytes()
        pods = self.flags["max-pods"]
        if self.flags["pods-per-core"] > 0:
            pods = min(pods, cores * self.flags["pods-per-core"])
        reserved = {"cpu": 0.0, "memory": 0.0}
        for flag in ("kube-reserved", "system-reserved"):
            for name, amount in self.flags[flag].items():
                reserved[name] = reserved.get(name, 0) + parse_quantity(amount)
        if not self.flags["experimental-allocatable-ignore-eviction"]:
            threshold = parse_evictions(self.flags["eviction-hard"]).get("memory.available", "0")
            percent = threshold.endswith("%")
            reserved["memory"] += (
                memory * parse_percentage(threshold) / 100 if percent else parse_quantity(threshold)
            )
        millis = max(0, cores * 1000 - math.ceil(reserved["cpu"] * 1000))
        free = max(0, memory - math.ceil(reserved["memory"]))
        capacity = {"cpu": str(cores), "memory": f"{memory // 1024}Ki", "pods": str(pods)}
        allocatable = {
            "cpu": str(millis // 1000) if millis % 1000 == 0 else f"{millis}m",
            "memory": f"{free // 1024}Ki",
            "pods": str(pods),
        }
        return capacity, allocatable

    def conditions(self, before: Any) -> list[dict[str, str]]:
        """Return the node's conditions; one that did not change keeps the time when it last did."""
        status, reason, message = "True", "KubeletReady", "kubelet is posting ready status"
        if not self.network_ready():
            status, reason = "False", "KubeletNotReady"
            message = f"runtime network not ready: {NETWORK_NOT_READY}"
        now = timestamp()
        changed = {(one["type"], one["status"]): one.get("lastTransitionTime") for one in before}
        absent = ("PIDPressure",) if not since(10) else ("OutOfDisk",) if since(16) else ()
        found = [(kind, "False", why, text) for kind, why, text in CONDITIONS if kind not in absent]
        return [
            {
                "type": kind,
                "status": state,
                "lastHeartbeatTime": now,
                "lastTransitionTime": changed.get((kind, state)) or now,
                "reason": why,
                "message": text,
            }
            for kind, state, why, text in [*found, ("Ready", status, reason, message)]
        ]

    def network_ready(self) -> bool:
        """Say whether the network plugin has a configuration, if it needs one."""
        if self.flags["network-plugin"] != "cni":
            return True
        try:
            names = os.listdir(self.flags["cni-conf-dir"] or "/etc/cni/net.d")
        except OSError:
            return False
        return any(name.endswith((".conf", ".conflist", ".json")) for name in names)


def architecture() -> str:
    """Return the machine's architecture as Go names it."""
    machine = os.uname().machine
    return ARCHITECTURES.get(machine, machine)


def text_of(path: str) -> str:
    """Return a small file as text, or nothing without the file."""
    try:
        return read_file(path).decode(errors="replace")
    except Failure:
        return ""


def machine_id() -> str:
    """Return the machine's id."""
    return (text_of("/etc/machine-id") or text_of("/var/lib/dbus/machine-id")).strip()


def boot_id() -> str:
    """Return the id of this boot."""
    return text_of("/proc/sys/kernel/random/boot_id").strip()


def os_image() -> str:
    """Return the distribution's name."""
    name = re.search(r'^PRETTY_NAME="?([^"\n]*)', text_of("/etc/os-release"), re.MULTILINE)
    return name[1] if name else "Unknown"


def memory_bytes() -> int:
    """Return the size of the machine's memory."""
    total = re.search(r"^MemTotal:\s+(\d+) kB", text_of("/proc/meminfo"), re.MULTILINE)
    return int(total[1]) * 1024 if total else 0


def local_addresses() -> set[str]:
    """Return the IPv4 addresses of this machine's interfaces."""
    return set(re.findall(r"\|-- (\S+)\s+/32 host LOCAL", text_of("/proc/net/fib_trie")))


# --------------------------------------------------------------------------------------- servers


class Request(NamedTuple):
    """What was asked for, and by whom."""

    method: str
    path: str
    query: dict[str, list[str]]
    token: str
    client: Client


class Page(NamedTuple):
    """An answer."""

    status: int
    body: bytes
    kind: str = "text/plain; charset=utf-8"
    location: str = ""


def text_page(text: str, status: int = 200) -> Page:
    """Answer with a text."""
    return Page(status, text.encode())


def go_json(value: Any) -> str:
    """Return a value as encoding/json writes it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def json_page(value: Any, ending: str = "") -> Page:
    """Answer with a value in JSON."""
    return Page(200, (go_json(value) + ending).encode(), "application/json")


NOT_FOUND = text_page("404 page not found\n", 404)
NO_ROUTE = text_page("404: Page Not Found", 404)
DISABLED = text_page("Debug endpoints are disabled.\n", 405)
NOT_ALLOWED = text_page("405: Method Not Allowed", 405)


def moved(status: int, location: str, words: str) -> Page:
    """Send a client elsewhere."""
    body = f'<a href="{location}">{words}</a>.\n\n'.encode()
    return Page(status, body, "text/html; charset=utf-8", location)


class Handler(BaseHTTPRequestHandler):
    """Carries requests to the server's pages and their answers back."""

    protocol_version = "HTTP/1.1"
    server: Server

    def answer(self) -> None:
        """Answer one request."""
        parts = urlsplit(self.path)
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        request = Request(
            self.command,
            unquote(parts.path),
            parse_qs(parts.query, keep_blank_values=True),
            token.strip() if scheme.lower() == "bearer" else "",
            self.server.clients.present,
        )
        page = self.server.answer(request)
        self.send_response_only(page.status)
        self.send_header("Content-Type", page.kind)
        self.send_header("Date", self.date_time_string())
        self.send_header("Content-Length", str(len(page.body)))
        if page.location:
            self.send_header("Location", page.location)
        if page in (NOT_FOUND, DISABLED):
            self.send_header("X-Content-Type-Options", "nosniff")
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.send_header("Connection", "close")  # nothing here reads a request's body
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, *_: Any) -> None:
        """Log no requests, as the kubelet."""


class Server(socketserver.ThreadingTCPServer):
    """A port with pages on it, each connection in a thread of its own."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128
    SECONDS = 60

    def __init__(
        self, host: str, port: int, answer: Callable[[Request], Page], tls: ServingTls | None = None
    ) -> None:
        """Open the port; the Failure is worded as that of Go's net.Listen."""
        self.answer = answer
        self.tls = tls
        self.clients = threading.local()
        if not 0 <= port <= 65535:
            raise Failure(f"listen tcp: address {port}: invalid port")
        try:
            self.open(host, port)
        except OSError as error:
            where = join_host_port(host, port)
            raise Failure(f"listen tcp {where}: bind: {errno_text(error)}") from None
        in_background(self.serve_forever, 86400)

    def open(self, host: str, port: int) -> None:
        """Listen; a wildcard means IPv4 and IPv6 alike, as in Go."""
        wildcard = host in ("", "0.0.0.0", "::")
        if wildcard and socket.has_ipv6:
            self.address_family = socket.AF_INET6
            try:
                super().__init__(("::", port), Handler)
                return
            except OSError as error:
                if error.errno != errno.EAFNOSUPPORT:
                    raise
            host = ""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), Handler)

    def server_bind(self) -> None:
        """Bind the port."""
        if self.address_family == socket.AF_INET6:
            only = 0 if self.server_address[0] == "::" else 1
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        super().server_bind()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection."""
        request.settimeout(self.SECONDS)
        self.clients.present = Client()
        if self.tls:
            try:
                request, self.clients.present = self.tls.accept(request)
            except OSError as error:
                where = join_host_port(client_address[0].replace("::ffff:", ""), client_address[1])
                problem = getattr(error, "reason", None) or "EOF"
                log("I", "logs.go:41", f"http: TLS handshake error from {where}: {problem}")
                return
        Handler(request, client_address, self)
        request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let go of a client that went away; say what else went wrong."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            log("I", "logs.go:41", f"http: panic serving {client_address}: {error!r}")


SUBRESOURCES = {"/stats": "stats", "/metrics": "metrics", "/logs": "log", "/spec": "spec"}
VERBS = {"POST": "create", "GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class Gate:
    """Decides who may use the kubelet's port: auth.go in cmd/kubelet/app and pkg/kubelet/server."""

    def __init__(self, flags: FlagSet, node: str, api: ApiServer | None) -> None:
        """Refuse what cannot work."""
        self.node = node
        self.api = api
        self.anonymous = flags["anonymous-auth"]
        self.tokens = flags["authentication-token-webhook"]
        self.mode = flags["authorization-mode"]
        if self.tokens and api is None:
            raise Failure("no client provided, cannot use webhook authentication")
        if not (flags["client-ca-file"] or self.tokens or self.anonymous):
            raise Failure(f"{'no' if since(21) else 'No'} authentication method configured")
        if self.mode == "Webhook" and api is None:
            raise Failure("no client provided, cannot use webhook authorization")
        if self.mode not in ("AlwaysAllow", "Webhook"):
            problem = (
                f"Unknown authorization mode {self.mode}"
                if self.mode
                else "No authorization mode specified"
            )
            raise Failure(problem[0].lower() + problem[1:] if since(16) else problem)

    def refuse(self, request: Request) -> Page | None:
        """Return the answer to a request that may not be made."""
        user = self.authenticate(request)
        if user is None:
            return text_page("Unauthorized", 401)
        return self.forbid(user, request) if self.mode == "Webhook" else None

    def authenticate(self, request: Request) -> Client | None:
        """Return who makes the request, or None if that is not known or allowed."""
        client = request.client
        if client.name and not client.problem:
            return client
        problems = [client.problem] if client.problem else []
        if self.tokens and self.api and request.token:
            review = {
                "apiVersion": "authentication.k8s.io/v1beta1",
                "kind": "TokenReview",
                "spec": {"token": request.token},
            }
            path = "/apis/authentication.k8s.io/v1beta1/tokenreviews"
            try:
                status = self.api.request("POST", path, review).get("status", {})
            except ApiError as error:
                problems.append(str(error))
            else:
                if status.get("authenticated"):
                    user = status.get("user", {})
                    return Client(user.get("username", ""), tuple(user.get("groups", ())))
        if problems:
            problem = aggregate(problems)
            where = "server.go:236"
            log("E", where, f"Unable to authenticate the request due to an error: {problem}")
        elif self.anonymous:
            return Client("system:anonymous", ("system:unauthenticated",))
        return None

    def forbid(self, user: Client, request: Request) -> Page | None:
        """Ask the API server whether a user may make a request."""
        attributes = {
            "verb": VERBS.get(request.method, ""),
            "resource": "nodes",
            "subresource": SUBRESOURCES.get("/" + request.path.split("/")[1], "proxy"),
        }
        words = ", ".join(f"{key}={value}" for key, value in attributes.items())
        review = {
            "apiVersion": "authorization.k8s.io/v1beta1",
            "kind": "SubjectAccessReview",
            "spec": {
                "resourceAttributes": {**attributes, "version": "v1", "name": self.node},
                "user": user.name,
                "group": list(user.groups),
            },
        }
        path = "/apis/authorization.k8s.io/v1beta1/subjectaccessreviews"
        try:
            allowed = self.api and self.api.request("POST", path, review)["status"]["allowed"]
        except (ApiError, LookupError) as error:
            problem = f"Authorization error (user={user.name}, {words})"
            log("E", "server.go:252", f"{problem}: {error}")
            return text_page(problem, 500)
        return None if allowed else text_page(f"Forbidden (user={user.name}, {words})", 403)


def answer_healthz(request: Request, checks: tuple[str, ...]) -> Page | None:
    """Answer below /healthz: k8s.io/apiserver/pkg/server/healthz."""
    if request.path in [f"/healthz/{check}" for check in checks]:
        return text_page("ok")
    if request.path != "/healthz":
        return None
    if "verbose" not in request.query:
        return text_page("ok")
    lines = "".join(f"[+]{check} ok\n" for check in checks)
    return text_page(f"{lines}healthz check passed\n")


def healthz_port(request: Request) -> Page:
    """Answer on --healthz-port."""
    return answer_healthz(request, ("ping",)) or NOT_FOUND


CLOSED = (
    "/run/", "/exec/", "/attach/", "/portForward/", "/containerLogs/", "/runningpods/",
    "/debug/pprof/", "/logs/",
)  # fmt: skip


class KubeletPages:
    """The pages of the kubelet's own port and of the read-only one: pkg/kubelet/server/server.go.

    The path of a service ends in a slash if there is nothing but what is below it.
    """

    LOGS = "/var/log"

    def __init__(
        self, node: Node, pods: StaticPods, configz: dict[str, Any], standalone: bool
    ) -> None:
        self.node = node
        self.pods = pods
        self.configz = configz
        self.standalone = standalone
        self.started = timestamp()
        self.checks = ("ping", "log", "syncloop") if since(12) else ("ping", "syncloop")
        self.services: dict[str, Callable[[str], Page]] = {
            "/pods": self.pod_list,
            "/stats/": self.stats,
        }
        if not since(21):
            self.services["/spec/"] = self.spec
        self.debugging: dict[str, Callable[[str], Page]] = {
            "/attach": self.no_container,
            "/containerLogs": self.no_container,
            "/cri/": self.nothing,
            "/debug/pprof/": self.profile,
            "/exec": self.no_container,
            "/logs/": self.logs,
            "/portForward": self.no_container,
            "/run": self.no_container,
            "/runningpods/": self.running_pods,
        }

        closed = dict.fromkeys(CLOSED, self.disabled) if since(9) else {}
        self.open_to_all = {**self.services, **closed}

    def read_only(self, request: Request) -> Page:
        """Answer on --read-only-port: nobody is refused, and little is shown."""
        return self.page(request, gate=None, services=self.open_to_all, configz=False)

    def protected(self, gate: Gate, debugging: bool) -> Callable[[Request], Page]:
        """Return what answers on --port."""
        services = {**self.services, **self.debugging} if debugging else self.open_to_all
        return lambda request: self.page(request, gate, services, debugging)

    def page(
        self,
        request: Request,
        gate: Gate | None,
        services: dict[str, Callable[[str], Page]],
        configz: bool,
    ) -> Page:
        """Answer a request; what is no page at all is not found even for those kept out."""
        path = request.path
        root = next((one for one in services if f"{path}/".startswith(f"{one.rstrip('/')}/")), "")
        simple = self.simple_page(request, configz)
        if simple is None and not root:
            return NOT_FOUND
        if root and f"{path}/" == root:
            return moved(301, root, "Moved Permanently")
        refusal = gate.refuse(request) if gate else None
        if refusal or simple:
            return refusal or simple or NOT_FOUND
        if services[root] == self.disabled:
            return self.disabled("")
        posted = services[root] == self.no_container and root != "/containerLogs"
        if request.method not in (("GET", "POST") if posted else ("GET",)):
            return NOT_ALLOWED
        return services[root](path[len(root) :].strip("/"))

    def simple_page(self, request: Request, configz: bool) -> Page | None:
        """Return a page that has no other pages below it and takes any method."""
        if request.path in ("/metrics", "/metrics/cadvisor"):
            return metrics_page()
        if request.path == "/configz" and configz:
            return text_page(go_json(self.configz))
        return answer_healthz(request, self.checks)

    def pod_list(self, below: str) -> Page:
        """Return the static pods."""
        return NO_ROUTE if below else list_of_pods(self.pods.items())

    def running_pods(self, below: str) -> Page:
        """Return what runs: nothing ever does."""
        return NO_ROUTE if below else list_of_pods(None)

    def stats(self, below: str) -> Page:
        """Return the summary of a node without containers."""
        if below != "summary":
            return NO_ROUTE
        if not self.standalone and not self.node.registered:
            problem = f"failed GetNode: node '{self.node.name}' not found"
            return text_page(f"Internal Error: {problem}", 500)
        node = {"nodeName": self.node.name, "startTime": self.started}
        return json_page({"node": node, "pods": []})

    def spec(self, below: str) -> Page:
        """Return what cAdvisor knows of the machine, in short."""
        return NO_ROUTE if below else json_page(machine_info())

    def logs(self, below: str) -> Page:
        """Return a file or a list of files in /var/log."""
        path = os.path.join(self.LOGS, *(part for part in below.split("/") if part != ".."))
        try:
            if not os.path.isdir(path):
                return Page(200, read_file(path))
            names = sorted(entry.name + "/" * entry.is_dir() for entry in os.scandir(path))
        except (OSError, ValueError, Failure):
            return NOT_FOUND
        links = "".join(f'<a href="{name}">{name}</a>\n' for name in names)
        return Page(200, f"<pre>\n{links}</pre>\n".encode(), "text/html; charset=utf-8")

    def profile(self, below: str) -> Page:
        """Return the command line, the one profile that there is something to say about."""
        return Page(200, "\0".join(sys.argv).encode()) if below == "cmdline" else NO_ROUTE

    def no_container(self, below: str) -> Page:
        """Answer a question about a container: there are none."""
        _, slash, rest = below.partition("/")
        pod = rest.partition("/")[0]
        return text_page(f"pod {quote(pod)} does not exist\n", 404) if slash else NO_ROUTE

    def disabled(self, below: str) -> Page:
        """Answer for a service that is turned off, in the words of 1.9 and later."""
        return DISABLED

    def nothing(self, below: str) -> Page:
        """Answer for a service that is not there."""
        return NO_ROUTE


def list_of_pods(items: list[Any] | None) -> Page:
    """Return a PodList; its items are null if there are none."""
    return json_page({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}, "\n")


def machine_info() -> dict[str, Any]:
    """Return the machine as cAdvisor names its parts."""
    return {
        "num_cores": os.cpu_count(),
        "memory_capacity": memory_bytes(),
        "machine_id": machine_id(),
        "system_uuid": machine_id(),
        "boot_id": boot_id(),
    }


def metrics_page() -> Page:
    """Return the few metrics of a kubelet that runs nothing."""
    text = (
        "# TYPE kubelet_running_container_count gauge\nkubelet_running_container_count 0\n"
        "# TYPE kubelet_running_pod_count gauge\nkubelet_running_pod_count 0\n"
        "# TYPE kubernetes_build_info gauge\n"
        f'kubernetes_build_info{{gitVersion="{version()}",platform="linux/{architecture()}"}} 1\n'
    )
    return Page(200, text.encode(), "text/plain; version=0.0.4")


def cadvisor_port(request: Request) -> Page:
    """Answer on --cadvisor-port, in short."""
    if request.path == "/healthz":
        return text_page("ok")
    if request.path == "/metrics":
        return metrics_page()
    if request.path == "/api/v1.0/machine":
        return json_page(machine_info())
    if request.path == "/containers/":
        return Page(200, b"<html><title>cAdvisor - /</title></html>\n", "text/html; charset=utf-8")
    return moved(307, "/containers/", "Temporary Redirect")


def keep_trying(
    seconds: int, report: Callable[[Failure], None], host: str, port: int,
    answer: Callable[[Request], Page],
) -> None:  # fmt: skip
    """Open a port in the background, however long it is taken by somebody else."""

    def attempt() -> bool:
        try:
            Server(host, port, answer)
        except Failure as error:
            report(error)
            return False
        return True

    def retry() -> None:
        time.sleep(seconds)
        while not attempt():
            time.sleep(seconds)

    if not attempt():
        in_background(retry)


# ------------------------------------------------------------------------------------------ main

STANDALONE = "standalone mode, no API client"
TERMINATING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)


class Kubelet:
    """The kubelet with its flags: run() in cmd/kubelet/app/server.go and what that calls."""

    def __init__(self, flags: FlagSet, configuration: Configuration) -> None:
        self.flags = flags
        self.configuration = configuration
        self.node = Node(flags)
        self.standalone = not (
            flags["require-kubeconfig"]
            or (flags["kubeconfig"] and flags.changed("kubeconfig") and since(8))
            or (flags["api-servers"] and not since(8))
        )
        self.broken_client = False
        self.files = ("", "")
        self.client_ca: bytes | None = None

    def secure(self) -> None:
        """Have certificate, key and client CA at hand: InitializeTLS."""
        flags = self.flags
        self.files = serving_files(flags, self.node.name)
        if since(10):
            for field, path in zip(("tlsCertFile", "tlsPrivateKeyFile"), self.files):  # noqa: B905
                self.configuration.values[field] = path
        if flags["client-ca-file"] and not since(36):
            self.client_ca = load_client_ca(flags["client-ca-file"])

    def run(self) -> NoReturn:
        """Start everything in the real one's order, and stay."""
        flags = self.flags
        self.check()
        shown = self.configuration.shown()
        if since(8) and not since(10):
            self.secure()
        api = self.api_server()
        if not since(8):
            self.secure()
        if flags["client-ca-file"] and since(36):
            self.client_ca = load_client_ca(flags["client-ca-file"])
        gate = Gate(flags, self.node.name, api)
        self.serve_cadvisor()
        if self.broken_client:
            raise Panic("runtime error: invalid memory address or nil pointer dereference")
        if not api:
            problem = "No api server defined - no events will be sent to API server."
            log("W", "server.go:356", problem)
        if since(18):
            check_runtime(flags)
        check_runtime_endpoint(flags)
        check_resources(flags)
        check_swap(flags)
        check_sources(flags)
        pods = self.static_pods()
        try:
            check_kubelet(flags)
            self.make_folders()
        except Failure as error:
            raise Failure(f"failed to create kubelet: {error}") from None
        self.handle_signals()
        if flags["runonce"]:
            raise Failure("runonce failed: the hollow kubelet runs no pods")
        log("I", "server.go:943", f"Started kubelet {version()}")
        if api:
            in_background(self.node.follow, api)
        else:
            problem = "No api server defined - no node status update will be sent."
            log("W", "kubelet.go:1313", problem)
        in_background(self.node.initial)  # looking up an address may take its time
        pages = KubeletPages(self.node, pods, shown, self.standalone)
        self.serve(pages, gate)
        if since(10):
            notify_systemd("READY=1")
        while True:
            signal.pause()

    def check(self) -> None:
        """Take the lock and check the configuration; 1.7 takes the lock first of all."""
        flags = self.flags
        if not since(8):
            take_lock(flags["lock-file"], flags["exit-on-lock-contention"])
        set_feature_gates(flags["feature-gates"])
        check_configuration(flags)
        if since(10):
            check_flags(flags)
        if since(8):
            take_lock(flags["lock-file"], flags["exit-on-lock-contention"])
        check_cloud(flags)
        if not since(11):
            self.bootstrap()

    def handle_signals(self) -> None:
        """End as asked to: until 1.10 as dockershim does (pkg/util/interrupt), if it is there."""
        if since(11):
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: os._exit(0))
        elif self.flags["container-runtime"] == "docker":
            for number in TERMINATING:
                signal.signal(number, lambda *_: os._exit(1))

    def bootstrap(self) -> None:
        """Refuse to make a kubeconfig: bootstrapClientCert in cmd/kubelet/app/bootstrap.go."""
        path = self.flags["bootstrap-kubeconfig"] or self.flags["experimental-bootstrap-kubeconfig"]
        if path and not os.path.exists(self.flags["kubeconfig"]):
            try:
                client_config(path)
            except Failure as error:
                raise Failure(f"unable to load bootstrap kubeconfig: {error}") from None
            problem = "the hollow kubelet makes none"
            raise Failure(f"cannot create certificate signing request: {problem}")

    def api_server(self) -> ApiServer | None:
        """Return the connection to the API server that the flags ask for.

        In 1.7 --kubeconfig counts only with --require-kubeconfig or --api-servers; until 1.9 a
        wrong one is no error without --require-kubeconfig, and one that is right but whose
        credentials cannot be used leaves a nil client behind.
        """
        if since(11):
            return self.new_api_server()
        flags = self.flags
        if flags["require-kubeconfig"] and since(8):
            advice = "Set --kubeconfig without using --require-kubeconfig."
            log("W", "server.go:285", f"--require-kubeconfig is deprecated. {advice}")
        try:
            config = self.client_config()
        except Failure as error:
            if flags["require-kubeconfig"] or (since(10) and not self.standalone):
                raise Failure(f"invalid kubeconfig: {error}") from None
            if self.standalone:
                text = STANDALONE if since(8) else f"No API client: {error}"
                log("W", "server.go:496", text)
            else:
                log("W", "server.go:493", f"{'i' if since(8) else 'I'}nvalid kubeconfig: {error}")
            return None
        try:
            return ApiServer(config)
        except Failure as error:
            for line in (471, 479):
                where = f"server.go:{line}"
                log("W", where, f"New kubeClient from clientConfig error: {error}")
            log("W", "server.go:487", f"Failed to create API Server client: {error}")
            self.broken_client = True
            return None

    def new_api_server(self) -> ApiServer | None:
        """Return the connection to the API server as from 1.11 on: all that is wrong is fatal."""
        if self.standalone:
            text = structured("Standalone mode, no API client") if since(21) else STANDALONE
            log("I" if since(21) else "W", "server.go:556", text)
            return None
        self.bootstrap()
        try:
            config = client_config(self.flags["kubeconfig"])
        except Failure as error:
            raise Failure(f"invalid kubeconfig: {error}") from None
        try:
            return ApiServer(config)
        except Failure as error:
            raise Failure(f"failed to initialize kubelet client: {error}") from None

    def client_config(self) -> ClientConfig:
        """Return how to reach the API server: createClientConfig, until 1.10."""
        flags = self.flags
        path = flags["kubeconfig"]
        if flags["require-kubeconfig"] or (since(8) and not self.standalone):
            return client_config(path)
        if self.standalone:
            raise Failure(STANDALONE if since(8) else "no api servers specified")
        server = flags["api-servers"][0]
        try:
            return client_config(path, server)
        except Failure as error:
            if flags.changed("kubeconfig"):
                raise
            problem = f"Could not load kubeconfig file {path}: {error}."
            log("W", "server.go:825", f"{problem} Using default client config instead.")
            return ClientConfig(server)

    def static_pods(self) -> StaticPods:
        """Return the static pods, followed if there is a path to follow."""
        path = self.flags["pod-manifest-path"]
        pods = StaticPods(path, self.flags["file-check-frequency"], self.node.name)
        if path:
            log("I", "kubelet.go:263", f"Adding manifest file: {path}")
            in_background(pods.follow)
        return pods

    def make_folders(self) -> None:
        """Make the folders below --root-dir (setupDataDirs in pkg/kubelet/kubelet.go)."""
        for name in ("", "pods", "plugins"):
            path = os.path.join(self.flags["root-dir"], name)
            try:
                os.makedirs(path, 0o750, exist_ok=True)
            except OSError as error:
                raise Failure(f"mkdir {path}: {errno_text(error)}") from None

    def serve_cadvisor(self) -> None:
        """Open --cadvisor-port, if not now then later."""
        port = self.flags["cadvisor-port"]

        def report(error: Failure) -> None:
            problem = f"Failed to register cAdvisor on port {port}, retrying. Error: {error}"
            log("I", "cadvisor_linux.go:149", problem)

        if port > 0:
            keep_trying(60, report, "", port, cadvisor_port)

    def serve(self, pages: KubeletPages, gate: Gate) -> None:
        """Open the kubelet's ports."""
        flags = self.flags
        address, port = flags["address"], flags["port"]
        if flags["enable-server"]:
            log("I", "server.go:132", f"Starting to listen on {address}:{port}")
            try:
                certificate, key = map(read_file, self.files)
                tls = ServingTls(certificate, key, self.client_ca, flags["client-ca-file"])
                answer = pages.protected(gate, flags["enable-debugging-handlers"])
                Server(address, port, answer, tls)
            except Failure as error:
                raise Fatal("server.go:144", str(error)) from None
        if flags["read-only-port"] > 0:
            try:
                Server(address, flags["read-only-port"], pages.read_only)
            except Failure as error:
                raise Fatal("server.go:160", str(error)) from None
        if flags["healthz-port"] > 0:

            def report(error: Failure) -> None:
                log("E", "server.go:612", f"Starting health server failed: {error}")

            host = flags["healthz-bind-address"]
            keep_trying(5, report, host, flags["healthz-port"], healthz_port)


def check_runtime_endpoint(flags: FlagSet) -> None:
    """Insist on a runtime's endpoint, all that 1.24 and 1.25 look at."""
    if since(24) and not since(26) and not flags["container-runtime-endpoint"]:
        raise Failure(
            "unable to determine runtime API version: rpc error: code = Unavailable desc = "
            'connection error: desc = "transport: Error while dialing dial unix: missing address"'
        )


def notify_systemd(state: str) -> None:
    """Tell systemd how it stands, if it wants to know: sd_notify(3)."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        address = "\0" + path[1:] if path.startswith("@") else path
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service, suppress(OSError):
            service.sendto(state.encode(), address)


HYPERKUBE_USAGE = """\
This is a hollow hyperkube. Of its servers there is but one, and that runs no containers.

Usage

  hyperkube <server> [flags]

Servers

  kubelet
    Stands in for the kubelet of {version}.

Call 'hyperkube <server> --help' for help on a specific server.
"""


KUBELET_HELP = """\
The kubelet is the primary "node agent" that runs on each
node. This one is hollow: it runs no containers.
"""


def version() -> str:
    """Return the version this kubelet gives."""
    return f"{FACTS['git_version']}+hollow"


def print_version(value: str) -> None:
    """Print the version as --version or --version=raw ask for it."""
    if value != "raw":
        print(f"Kubernetes {version()}")
        return
    major, minor, _ = FACTS["git_version"].lstrip("v").split(".", 2)
    fields = {
        "Major": major,
        "Minor": minor + "+" * ("+" in FACTS["git_version"]),
        "GitVersion": version(),
        "GitCommit": "",
        "GitTreeState": "",
        "BuildDate": "",
        "GoVersion": "",
        "Compiler": "",
        "Platform": f"linux/{architecture()}",
    }
    print("version.Info{" + ", ".join(f'{name}:"{text}"' for name, text in fields.items()) + "}")


STEPS = {
    "parse": ("Failed to parse kubelet flag", "failed to parse kubelet flag: {}"),
    "gates": (
        "Failed to set feature gates from initial flags-based config",
        "failed to set feature gates from initial flags-based config: {}",
    ),
    "flags": ("Failed to validate kubelet flags", "failed to validate kubelet flags: {}"),
    "folder": ("", "{}"),
    "file": ("Failed to load kubelet config file", "failed to load kubelet config file, {}"),
    "configuration": (
        "Failed to validate kubelet configuration",
        "failed to validate kubelet configuration, error: {}, path: "
        "&TypeMeta{{Kind:,APIVersion:,}}",
    ),
    "dependencies": (
        "Failed to construct kubelet dependencies",
        "failed to construct kubelet dependencies: {}",
    ),
    "run": ("Failed to run kubelet", "{}"),
}
"""What is said of each step's failure: from 1.21 on, and from 1.24 on with the failure in it."""


def main(argv: list[str]) -> int:
    """Run as hyperkube or, called by that name, as kubelet: cmd/hyperkube."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    name, words = os.path.basename(argv[0]), argv[1:]
    if since(17):
        return command("kubelet", words)
    if not since(10):
        return server(name, words)
    if name in ("hyperkube", "hyperkube.py"):
        return cobra(words)
    return command("kubelet", words) if name == "kubelet" else cobra([name, *words])


def server(name: str, words: list[str]) -> int:
    """Run as hyperkube until 1.9: cmd/hyperkube/hyperkube.go."""
    called = name
    if name in ("hyperkube", "hyperkube.py"):
        base = FlagSet("library", "hyperkube")
        try:
            words = base.parse(words, interspersed=False)
        except Failure as error:
            return refuse(str(error), "", hyperkube_usage())
        if base["help"]:
            complain(hyperkube_usage())
            return 0
        if base["version"] != "false":
            print_version(base["version"])
            return 0
        if not words or not words[0]:
            return refuse("no server specified", "\n", hyperkube_usage())
        name, words = words[0], words[1:]
    if name != "kubelet":
        return refuse(f"Server not found: {name}", "\n", hyperkube_usage())
    flags = FlagSet()
    usage = "Usage:\n  kubelet [flags]\n\nAvailable Flags:\n" + flags.usage()
    try:
        flags.parse(words)
    except Failure as error:
        return refuse(str(error), "\n", usage)
    if flags["help"]:
        complain(usage)
        return 0
    if flags["version"] != "false":
        print_version(flags["version"])
        return 0
    configuration = Configuration()
    configuration.take_flags(flags)
    try:
        start(Kubelet(flags, configuration), called)
    except Failure as error:
        # Its main prints again what hyperkube's server returned, until 1.7.
        return refuse(f"failed to run Kubelet: {error}", "", "")


def cobra(words: list[str]) -> int:
    """Run as hyperkube from 1.10 to 1.16: cmd/hyperkube/main.go."""
    base = FlagSet("library", "hyperkube")
    try:
        rest = base.parse(words, interspersed=False)
    except Failure as error:
        complain(f"Error: {error}\n{hyperkube_usage()}\n{error}")
        return 1
    if not rest:
        print(hyperkube_usage())
        return 0 if base["help"] else 1
    if rest[0] != "kubelet":
        problem = f'unknown command {quote(rest[0])} for "hyperkube"'
        complain(f"Error: {problem}\nRun 'hyperkube --help' for usage.\n{problem}")
        return 1
    return command("hyperkube kubelet", rest[1:])


def command(name: str, words: list[str]) -> int:
    """Run as the kubelet from 1.10 on: NewKubeletCommand in cmd/kubelet/app/server.go."""
    flags = FlagSet()
    usage = f"Usage:\n  {name} [flags]\n\nFlags:\n{flags.usage()}"
    try:
        try:
            others = flags.parse(words)
        except Failure as error:
            raise Refusal("parse", str(error)) from None
        if others and since(11):
            raise Refusal("words", others[0])
        if flags["help"]:
            print(f"{KUBELET_HELP}\n{usage}")
            return 0
        if flags["version"] != "false":
            print_version(flags["version"])
            return 0
        kubelet = Kubelet(flags, prepare(flags, words))
        try:
            kubelet.secure()
        except Failure as error:
            raise Refusal("dependencies", str(error)) from None
        try:
            start(kubelet, name.split()[0])
        except Failure as error:
            raise Refusal("run", f"failed to run Kubelet: {error}") from None
    except Refusal as refusal:
        return give_up(refusal, usage, flags["config"])


def prepare(flags: FlagSet, words: list[str]) -> Configuration:
    """Return the configuration that flags and file make, checked as the command does."""
    configuration = Configuration()
    try:
        set_feature_gates(flags["feature-gates"])
    except Failure as error:
        raise Refusal("gates", str(error)) from None
    check_flags(flags)
    if flags["config"] or flags["config-dir"]:
        if flags["config"]:
            configuration.load(flags["config"])
        else:
            configuration.take_flags(FlagSet())
        if flags["config-dir"]:
            configuration.load_folder(flags["config-dir"])
        if not since(27):
            warn_again(words)
        configuration.take_flags(flags, only_changed=True)
        configuration.give_flags(flags)
        try:
            set_feature_gates(flags["feature-gates"])
        except Failure as error:
            raise Refusal("gates", str(error)) from None
    else:
        configuration.take_flags(flags)
    if since(11):
        try:
            check_configuration(flags)
        except Failure as error:
            raise Refusal("configuration", str(error)) from None
    return configuration


def warn_again(words: list[str]) -> None:
    """Read the flags once more as all do until 1.26, which prints their warnings once more."""
    flags = FlagSet()
    for flag in flags.flags.values():
        if flag.origin == "library":
            flag.deprecated = None
    flags.parse(words)


def start(kubelet: Kubelet, called: str) -> NoReturn:
    """Be the kubelet, under the name it was called by."""
    log.verbosity = kubelet.flags["v"]
    libc.prctl(PR_SET_NAME, called.partition(".")[0].encode())
    kubelet.run()


def give_up(refusal: Refusal, usage: str, path: str) -> int:
    """End as the version does: with a fatal log line, with one and the usage, or with an error."""
    text, step = str(refusal), refusal.step
    if not since(21):
        if step in ("parse", "words"):
            complain(usage)
        raise Fatal("server.go:145", f"unknown command: {text}" if step == "words" else text)
    if not since(24):
        if step == "words":
            log("E", "server.go:165", structured("Unknown command", command=text))
        else:
            where = {"path": path} if step == "file" else {}
            log("E", "server.go:158", structured(STEPS[step][0], err=text, **where))
        if step in ("parse", "words"):
            complain(usage)
        return 1
    if step == "words":
        text = f"unknown command {text}"
    elif step == "file":
        text = f"error: {text}, path: {path}" if not since(28) else f"path: {path}, error: {text}"
    text = text if step == "words" else STEPS[step][1].format(text)
    if since(25):
        log("E", "run.go:74", structured("command failed", err=text))
    else:
        complain(f"Error: {text}\n{usage}")
    return 1


def hyperkube_usage() -> str:
    """Return the list of servers."""
    return HYPERKUBE_USAGE.format(version=FACTS["git_version"])


def refuse(problem: str, gap: str, usage: str) -> int:
    """Print a problem as hyperkube does, in 1.7 again behind the usage; return the exit status."""
    last = "" if since(8) else f"Error: {problem}"
    complain(f"Error: {problem}\n{gap}{usage}{last}".rstrip("\n"))
    return 1


def run(argv: list[str]) -> int:
    """Run and return the exit status, whatever way the program ends."""
    try:
        return main(argv)
    except Fatal as error:
        log("F", error.where, str(error))
        return 255
    except Panic as error:
        complain(f"panic: {error}\n\ngoroutine 1 [running]:")
        return 2


if __name__ == "__main__":
    sys.exit(run(sys.argv))
