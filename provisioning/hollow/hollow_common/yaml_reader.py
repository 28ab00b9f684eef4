"""YAML and JSON as a kubelet reads them.

PyYAML's pure-Python scanner and parser do the reading. What plain scalars stand for, merge keys,
keys that are not strings and duplicate keys follow go-yaml v2 and the conversion to JSON of
sigs.k8s.io/yaml, which every kubelet uses.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from typing import Any, NamedTuple, NoReturn

from yaml.error import MarkedYAMLError
from yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.scanner import Scanner

from hollow_common.go import quote

CONSTANTS = {
    **dict.fromkeys(["", "~", "null", "Null", "NULL"]),
    **dict.fromkeys(
        ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"], True
    ),
    **dict.fromkeys(
        ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"], False
    ),
}
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NOT_IN_JSON = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
INTEGER = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|0[0-7]*|[1-9][0-9]*)")
LONGEST_INTEGER = 70  # 64 bits in base 2, with sign and prefix
TAGS = "tag:yaml.org,2002:"
LINE_ENDS = "\r\n\x85\u2028\u2029"
MANY_NODES, MANY_ALIASES, ALIAS_SHARE = 1000, 100, 0.99


class YamlError(ValueError):
    """A text that is neither YAML nor JSON, or that JSON cannot hold."""


class Document(NamedTuple):
    """What a text holds, and which keys it gives twice; the last one counts."""

    value: Any
    duplicates: list[str]


def load_yaml(data: bytes) -> Any:
    """Return what the first document of a text in YAML holds; JSON is YAML."""
    return read_yaml(data).value


def load_yaml_or_json(data: bytes) -> Document:
    """Return what a text holds: whatever starts with a brace has to be JSON."""
    return read_json(data) if data.lstrip().startswith(b"{") else read_yaml(data)


def read_json(data: bytes) -> Document:
    """Return what a text in JSON holds."""
    duplicates: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for name, value in pairs:
            if name in seen:
                duplicates.append(f"duplicate field {quote(name)}")
            seen[name] = value
        return seen

    def refuse(constant: str) -> NoReturn:
        raise YamlError(f"invalid character '{constant[0]}' looking for beginning of value")

    try:
        value = json.loads(data.decode(), object_pairs_hook=collect, parse_constant=refuse)
    except UnicodeDecodeError:
        raise YamlError("invalid UTF-8 in a string") from None
    except json.JSONDecodeError as error:
        found = error.doc[error.pos : error.pos + 1]
        if not found:
            raise YamlError("unexpected end of JSON input") from None
        where = "after top-level value" if error.msg == "Extra data" else "in JSON"
        raise YamlError(f"invalid character {found!r} {where}") from None
    except RecursionError:
        raise YamlError("exceeded max depth") from None
    except YamlError:
        raise
    except ValueError:  # an integer of thousands of digits
        raise YamlError("number out of range") from None
    return Document(value, duplicates)


def read_yaml(data: bytes) -> Document:
    """Return what the first document of a text in YAML holds."""
    try:
        reader = YamlReader(data)
        return Document(reader.document(), reader.duplicates)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise YamlError(f"yaml: {line}{error.problem}") from None
    except ReaderError as error:
        unreadable = error.encoding != "unicode"
        problem = "invalid UTF-8" if unreadable else "control characters are not allowed"
        raise YamlError(f"yaml: {problem}") from None
    except RecursionError:
        raise YamlError("yaml: exceeded max depth") from None


class GoScanner(Reader, Scanner):
    """PyYAML's scanner, with tabs where libyaml and go-yaml allow them."""

    def __init__(self, data: bytes) -> None:
        Reader.__init__(self, data)
        Scanner.__init__(self)

    def scan_to_next_token(self) -> None:
        """Skip space, comments and line ends."""
        if self.index == 0 and self.peek() == "\ufeff":
            self.forward()
        while True:
            while self.peek() == " " or (
                self.peek() == "\t" and (self.flow_level or not self.allow_simple_key)
            ):
                self.forward()
            if self.peek() == "#":
                while self.peek() not in "\0" + LINE_ENDS:
                    self.forward()
            if not self.scan_line_break():
                return
            if not self.flow_level:
                self.allow_simple_key = True

    def scan_plain_spaces(self, indent: int, start_mark: Any) -> Any:
        """Return the space inside a plain scalar, line ends folded; nothing at its end."""
        length = 0
        while self.peek(length) in " \t":
            length += 1
        spaces = self.prefix(length)
        self.forward(length)
        if self.peek() not in LINE_ENDS:
            return [spaces] if spaces else []
        first, others = self.scan_line_break(), []
        self.allow_simple_key = True
        while not self.at_marker() and self.peek() in " \t" + LINE_ENDS:
            if self.peek() == "\t" and self.column < indent:
                break
            if self.peek() in " \t":
                self.forward()
            else:
                others.append(self.scan_line_break())
        if self.at_marker():
            return None
        return [first] * (first != "\n") + others or [" "]

    def at_marker(self) -> bool:
        """Whether a line starts that begins or ends a document."""
        marker = self.column == 0 and self.prefix(3) in ("---", "...")
        return bool(marker and self.peek(3) in "\0 \t" + LINE_ENDS)


class YamlReader(GoScanner, Parser):
    """Builds the value of a document from the parser's events."""

    def __init__(self, data: bytes) -> None:
        GoScanner.__init__(self, data)
        Parser.__init__(self)
        self.duplicates: list[str] = []
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.open_anchors: set[str] = set()
        self.nodes = self.from_aliases = 0

    def document(self) -> Any:
        """Return what the first document holds."""
        self.get_event()
        if self.check_event(StreamStartEvent):
            self.get_event()
        if self.check_event(StreamEndEvent):
            return None
        self.get_event()
        value = self.value()
        self.get_event()
        return value

    def refuse(self, problem: str, event: Any) -> NoReturn:
        """Raise the error for what an event starts."""
        raise YamlError(f"yaml: line {event.start_mark.line + 1}: {problem}")

    def value(self) -> Any:
        """Return the value that the next events make."""
        event = self.get_event()
        self.count(1)
        if isinstance(event, AliasEvent):
            return self.alias(event)
        anchor, before = event.anchor, self.nodes
        if anchor is not None:
            self.open_anchors.add(anchor)
        value: Any
        if isinstance(event, SequenceStartEvent):
            value = self.sequence()
        elif isinstance(event, MappingStartEvent):
            value = self.mapping()
        else:
            value = self.scalar(event)
        if anchor is not None:
            self.open_anchors.discard(anchor)
            self.anchors[anchor] = value, self.nodes - before + 1
        return value

    def alias(self, event: Any) -> Any:
        """Return the value of an anchor."""
        if event.anchor in self.open_anchors:
            self.refuse(f"anchor '{event.anchor}' value contains itself", event)
        if event.anchor not in self.anchors:
            self.refuse(f"unknown anchor '{event.anchor}' referenced", event)
        value, nodes = self.anchors[event.anchor]
        self.from_aliases += nodes
        self.count(nodes)
        return value

    def count(self, nodes: int) -> None:
        """Count nodes as go-yaml does, which refuses documents that explode."""
        self.nodes += nodes
        many = self.from_aliases > MANY_ALIASES and self.nodes > MANY_NODES
        if many and self.from_aliases / self.nodes > ALIAS_SHARE:
            raise YamlError("yaml: document contains excessive aliasing")

    def sequence(self) -> list[Any]:
        """Return the items up to the end of a sequence."""
        items = []
        while not self.check_event(SequenceEndEvent):
            items.append(self.value())
        self.get_event()
        return items

    def mapping(self) -> dict[str, Any]:
        """Return the pairs up to the end of a mapping."""
        values: dict[str, Any] = {}
        while not self.check_event(MappingEndEvent):
            key_event = self.peek_event()
            if is_merge(key_event):
                self.get_event()
                values.update(self.merged())
                continue
            try:
                key = key_text(self.value())
            except ValueError as error:
                self.refuse(str(error), key_event)
            line = self.peek_event().start_mark.line + 1
            value = self.value()
            if key in values:
                self.duplicates.append(f"line {line}: key {quote(key)} already set in map")
            values[key] = value
        self.get_event()
        return values

    def merged(self) -> dict[str, Any]:
        """Return what a merge key brings; of several mappings the first counts."""
        event = self.peek_event()
        value = self.value()
        mappings = value if isinstance(value, list) else [value]
        if not all(isinstance(one, dict) for one in mappings):
            self.refuse("map merge requires map or sequence of maps as the value", event)
        return {name: item for one in reversed(mappings) for name, item in one.items()}

    def scalar(self, event: Any) -> Any:
        """Return what a scalar stands for."""
        plain, tag = event.implicit[0], event.tag
        if tag in (None, "!"):
            return resolve(event.value) if plain else event.value
        kind = tag[len(TAGS) :] if tag.startswith(TAGS) else ""
        if kind == "binary":
            try:
                return base64.b64decode(event.value, validate=True).decode(errors="replace")
            except binascii.Error:
                self.refuse("!!binary value contains invalid base64 data", event)
        if kind not in ("int", "float", "bool", "null"):
            return event.value
        value = resolve(event.value)
        fits = {
            "int": isinstance(value, int) and not isinstance(value, bool),
            "float": isinstance(value, (int, float)) and not isinstance(value, bool),
            "bool": isinstance(value, bool),
            "null": value is None,
        }
        if not fits[kind]:
            self.refuse(f"cannot decode !!str `{event.value}` as a !!{kind}", event)
        return value


def is_merge(event: Any) -> bool:
    """Whether an event is the key ``<<``, unquoted."""
    if not isinstance(event, ScalarEvent) or event.value != "<<":
        return False
    return bool(event.implicit[0]) or event.tag == TAGS + "merge"


def key_text(key: Any) -> str:
    """Return a mapping's key as the text it is in JSON; raise ValueError if it cannot be one."""
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return str(key).lower()
    if isinstance(key, (int, float)):
        return str(key)
    raise ValueError("unsupported map key: null" if key is None else "invalid map key")


def resolve(plain: str) -> Any:
    """Return what a plain scalar stands for, by the rules of YAML 1.1 that go-yaml follows.

    A float without a fraction becomes an integer: encoding/json writes it so.
    """
    if plain in CONSTANTS:
        return CONSTANTS[plain]
    if NOT_IN_JSON.fullmatch(plain):
        raise YamlError(f"json: unsupported value: {plain}")
    if plain[:1] == "." and FLOAT.fullmatch(plain):
        return as_json(float(plain))
    if plain[:1] not in "+-0123456789":
        return plain
    digits = plain.replace("_", "")
    number = integer(digits)
    if number is not None:
        return number
    if FLOAT.fullmatch(digits):
        value = float(digits)
        return plain if math.isinf(value) else as_json(value)
    return plain


def integer(digits: str) -> int | None:
    """Return the integer of 64 bits that strconv reads in base 0, or None."""
    found = INTEGER.fullmatch(digits)
    if found is None or len(digits) > LONGEST_INTEGER:
        return None
    octal = re.fullmatch("0[0-7]+", found[2])
    value = int(found[1] + found[2], 8 if octal else 0)
    return value if -(2**63) <= value < 2**64 else None


def as_json(value: float) -> Any:
    """Return a float as it comes out of JSON."""
    return int(value) if value.is_integer() and abs(value) < 1e21 else value
