"""Readers for the values of each type of flag."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any

from hollow_common.errors import Failure
from hollow_common.facts import since
from hollow_common.go import (
    atoi,
    is_ip,
    parse_bool,
    parse_duration,
    parse_float,
    parse_int,
    parse_unsigned,
    quote,
)
from hollow_common.quantity import NO_QUANTITY, parse_quantity
from hollow_common.taints import parse_taints

if TYPE_CHECKING:
    from collections.abc import Callable


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
    """Read a map of which every item is a pair: map_string_string.go and similar files."""
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
"""The reader of each type of flag; durations are kept in nanoseconds."""
MAPS = {kind for kind in PARSERS if "map" in kind}
LISTS = {"[]api.Taint", "[]v1.Taint", "reserved-memory", "reservedMemory"}
READ = ("bool", "duration", "float64", "int", "int32", "int64", "uint", "uint64", "Level")
