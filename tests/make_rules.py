"""Makes pytest_kubecluster/spec/data/rules.json from Kubernetes source trees.

    python tests/make_rules.py 1.8=TREE 1.9=TREE ... > rules.json

Each tree holds what belongs to the kubelet of one minor. Its validation of a KubeletConfiguration
gives the rules: when a value, or a combination of values, is refused, and with which words. Its
defaulting gives the fields whose zero value means the default, and the eviction manager's helpers
give the signals. Conditions become nested lists, an operator with its operands:

    ["<", ["field", "maxPods"], 0]
    ["&&", ["field", "serializeImagePulls"], [">", ["field", "maxParallelImagePulls"], 1]]

A loop or a function that validates a whole part of the configuration becomes the name of that part.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_kubecluster.spec import catalog
from tests.make_configuration import folded

TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*"|`[^`]*`|//[^\n]*|\[\]\w+|[A-Za-z_][\w.]*|\d+(?:\.\d+)?'
    r"|:=|&&|\|\||[=!<>]=|\.\.\.|[^\s\w]|\n"
)
BINARY = ({"||"}, {"&&"}, {"==", "!=", "<", "<=", ">", ">="}, {"+", "-"}, {"*", "/", "%"})
UNITS = {
    "Nanosecond": 1,
    "Microsecond": 10**3,
    "Millisecond": 10**6,
    "Second": 10**9,
    "Minute": 60 * 10**9,
}
PARTS = {
    "validateReservedMemoryConfiguration": "reservedMemory",
    "validateKubeletOSConfiguration": "operating system",
    "ValidateTracingConfiguration": "tracing",
    "ValidateShowHiddenMetricsVersion": "showHiddenMetricsForVersion",
    "logsapi.Validate": "logging",
    "ValidateLoggingConfiguration": "logging",
    "cpuset.Parse": "reservedSystemCPUs",
    "RegisterWithTaints": "registerWithTaints",
    "EnforceNodeAllocatable": "enforceNodeAllocatable",
}
CONSTANTS: dict[str, Any] = {
    "true": True,
    "false": False,
    "nil": None,
    "kubetypes.NodeAllocatableEnforcementKey": "pods",
    "kubetypes.SystemReservedEnforcementKey": "system-reserved",
    "kubetypes.SystemReservedCompressibleEnforcementKey": "system-reserved-compressible",
    "kubetypes.KubeReservedEnforcementKey": "kube-reserved",
    "kubetypes.KubeReservedCompressibleEnforcementKey": "kube-reserved-compressible",
    "kubetypes.NodeAllocatableNoneKey": "none",
    "kubetypes.LimitedSwap": "LimitedSwap",
    "kubetypes.UnlimitedSwap": "UnlimitedSwap",
    "kubetypes.NoSwap": "NoSwap",
    "defaultCFSQuota": 100 * 10**6,
}
SHAPES = {
    "logging.vmodule": [{"filePattern": "string", "verbosity": "uint32"}],
    "registerWithTaints": [
        {"key": "string", "value": "string", "effect": "string", "timeAdded": "string"}
    ],
    "reservedMemory": [{"numaNode": "int32", "limits": "map[string]quantity"}],
    "shutdownGracePeriodByPodPriority": [
        {"priority": "int32", "shutdownGracePeriodSeconds": "int64"}
    ],
    "tracing": {"endpoint": "string", "samplingRatePerMillion": "int32"},
    "userNamespaces": {"idsPerPod": "int64"},
}
"""The fields that hold objects, or lists of them, and what these hold: types.go, all minors."""

FORKED = (22, 23, 24)
"""Minors that were read from a fork which leaves out some of the defaulting."""

GATES = {"CPUCFSQuotaPeriod": "CustomCPUCFSQuotaPeriod"}
"""Feature gates whose constant is not named as they are."""


def main(*trees: str) -> None:
    """Print the data file."""
    rules: dict[int, list[Any]] = {}
    zeros: dict[str, dict[int, Any]] = {}
    signals: dict[int, list[str]] = {}
    for text in trees:
        minor, path = text.split("=", 1)
        number = int(minor.partition(".")[2])
        fields = catalog.fields(minor)
        rules[number] = list(read_rules(Path(path), fields))
        for field in read_zeros(Path(path), fields):
            zeros.setdefault(field, {})[number] = True
        signals[number] = read_signals(Path(path))
    for marks in zeros.values():
        if FORKED[0] - 1 in marks and FORKED[-1] + 1 in marks:
            marks.update(dict.fromkeys(FORKED, True))
    known = list({json.dumps(rule): rule for found in rules.values() for rule in found}.values())
    order = {json.dumps(rule): place for place, rule in enumerate(known)}
    numbered = {
        number: [order[json.dumps(rule)] for rule in found] for number, found in rules.items()
    }
    lines = ",\n".join(f"  {json.dumps(rule)}" for rule in known)
    print(f'{{"rules": [\n{lines}\n ],\n "in": {json.dumps(folded(numbered))},')
    spans = {name: [mark[:2] for mark in folded(marks)] for name, marks in sorted(zeros.items())}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(span)}" for name, span in spans.items())
    print(f' "zeros": {{\n{lines}\n }},\n "signals": {json.dumps(folded(signals))},')
    print(f' "shapes": {json.dumps(SHAPES)}}}')


def first(tree: Path, *patterns: str) -> str:
    """Return the text of the first file in the tree that one of the patterns matches."""
    return next(path.read_text() for one in patterns for path in sorted(tree.glob(one)))


def read_signals(tree: Path) -> list[str]:
    """Return the eviction signals that a configuration may name."""
    text = first(tree, "pkg/kubelet/eviction/helpers.go")
    names = set(re.findall(r"signalToResource\[evictionapi\.(\w+)\] =", text))
    types = first(tree, "pkg/kubelet/eviction/api/types.go")
    return sorted(
        signal for name, signal in re.findall(r'(\w+) Signal = "(.*)"', types) if name in names
    )


def read_zeros(tree: Path, fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield the fields whose zero value means the default."""
    texts = [
        path.read_text()
        for pattern in ("pkg/kubelet/apis/*/v1*/defaults.go", "vendor/**/logs/api/v1/options.go")
        for path in sorted(tree.glob(pattern))
    ]
    lower = {path.lower(): path for path in fields}
    # The logging library gives these; where its sources are is not the same in all minors.
    yield from (path for path in ("logging.format", "logging.flushFrequency") if path in fields)
    for text in texts:
        for name in re.findall(r'if (?:obj|c)\.([\w.]+?) == (?:zeroDuration|""|0) \{', text):
            for path in (name.lower(), f"logging.{name.lower()}".replace(".duration", "")):
                if path in lower:
                    yield lower[path]


def read_constants(tree: Path) -> dict[str, Any]:
    """Return the text constants that the configuration's own package defines."""
    found = dict(CONSTANTS)
    for path in tree.glob("pkg/kubelet/apis/*/types.go"):
        for name, value in re.findall(r'^\s*(\w+) *(?:\w+ *)?= "(.*?)"', path.read_text(), re.M):
            found[f"kubeletconfig.{name}"] = value
    return found


def read_rules(tree: Path, fields: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the rules of a tree: a condition, a message and its values, or a part's name."""
    text = first(tree, "pkg/kubelet/apis/*/validation/validation.go")
    body = re.search(r"^func ValidateKubeletConfiguration\(.*?^\}", text, re.M | re.S)
    assert body
    start = body[0].index("allErrors := []error{}")
    tokens = [token for token in TOKEN.findall(body[0][start:]) if not token.startswith("//")]
    yield from Go(tokens, read_constants(tree), fields).block([])


class Unreadable(Exception):
    """An expression of an unknown kind."""


class Go:
    """Reads the statements of a validating function."""

    def __init__(
        self, tokens: list[str], constants: Mapping[str, Any], fields: Mapping[str, Any]
    ) -> None:
        self.tokens = tokens
        self.constants = constants
        self.paths = {path.lower(): path for path in fields}
        self.at = 0

    def peek(self) -> str:
        """Return the next token that is not the end of a line."""
        while self.at < len(self.tokens) and self.tokens[self.at] == "\n":
            self.at += 1
        return self.tokens[self.at] if self.at < len(self.tokens) else "}"

    def take(self, expected: str = "") -> str:
        """Return the next token and go on."""
        token = self.peek()
        if expected and token != expected:
            raise Unreadable(f"{expected} expected, {token} found")
        self.at += 1
        return token

    def until(self, *ends: str) -> list[str]:
        """Return the tokens up to one of the ends, outside all brackets."""
        depth, taken = 0, []
        while depth or self.tokens[self.at] not in ends:
            token = self.tokens[self.at]
            depth += (token in "([{") - (token in ")]}") if len(token) == 1 else 0
            taken.append(token)
            self.at += 1
        return taken

    def skip_block(self) -> list[str]:
        """Return the tokens of a block in braces."""
        self.take("{")
        taken = self.until("}")
        self.take("}")
        return taken

    def block(self, conditions: list[Any]) -> Iterator[Any]:
        """Yield the rules of the statements up to the closing brace."""
        while self.peek() != "}":
            token = self.peek()
            if token in ("case", "default"):
                return
            if token == "if":
                yield from self.branch(conditions)
            elif token == "switch":
                yield from self.choice(conditions)
            elif token == "for":
                words = self.until("{")
                block = self.skip_block()
                if "allErrors" in block:
                    yield from self.part(words)
            else:
                yield from self.statement(conditions)

    def statement(self, conditions: list[Any]) -> Iterator[Any]:
        """Yield the rule of a statement that appends an error."""
        words = self.until("\n", "}")
        if words[:3] == ["allErrors", "=", "append"]:
            if "fmt.Errorf" in words:
                inner = words[words.index("fmt.Errorf") + 2 : -2]
                yield from self.rule(conditions, inner)
            else:
                yield from self.part(words)

    def part(self, words: list[str]) -> Iterator[str]:
        """Yield the name of the part of the configuration that the words are about."""
        for name, part in PARTS.items():
            if any(word.endswith(name) for word in words):
                yield part
                return

    def rule(self, conditions: list[Any], words: list[str]) -> Iterator[Any]:
        """Yield a rule, unless its condition cannot be read."""
        if None in conditions:
            print(f"left out: {' '.join(words)[:120]}", file=sys.stderr)
            return
        condition = conditions[0] if len(conditions) == 1 else ["&&", *conditions]
        reader = Go([*words, "\n"], self.constants, {})
        reader.paths = self.paths
        try:
            message, *values = reader.arguments()
        except Unreadable as error:
            print(f"left out: {' '.join(words)[:90]} ({error})", file=sys.stderr)
            return
        yield [condition, message, *values]

    def branch(self, conditions: list[Any]) -> Iterator[Any]:
        """Yield the rules of an if and its else."""
        self.take("if")
        words = self.until("{")
        condition = None
        if ":=" not in words:
            reader = Go([*words, "\n"], self.constants, {})
            reader.paths = self.paths
            try:
                condition = reader.expression()
            except Unreadable as error:
                print(f"condition: {' '.join(words)} ({error})", file=sys.stderr)
        part = list(self.part(words)) if ":=" in words else []
        self.take("{")
        if part:
            yield from part
            self.until("}")
        else:
            yield from self.block([*conditions, condition])
        self.take("}")
        if self.peek() == "else":
            self.take()
            others = [*conditions, ["!", condition] if condition is not None else None]
            if self.peek() == "if":
                yield from self.branch(others)
            else:
                self.take("{")
                yield from self.block(others)
                self.take("}")

    def choice(self, conditions: list[Any]) -> Iterator[Any]:
        """Yield the rules of a switch's cases."""
        self.take("switch")
        subject = self.expression()
        self.take("{")
        known: list[Any] = []
        while self.peek() != "}":
            if self.take() == "default":
                condition: Any = ["!", ["one of", subject, *known]]
            else:
                values = [self.expression()]
                while self.peek() == ",":
                    self.take()
                    values.append(self.expression())
                known += values
                condition = ["one of", subject, *values]
            self.take(":")
            yield from self.block([*conditions, condition])
        self.take("}")

    def arguments(self) -> list[Any]:
        """Return the expressions between commas."""
        found = [self.expression()]
        while self.peek() == ",":
            self.take()
            if self.peek() in (")", "}"):
                break
            found.append(self.expression())
        return found

    def expression(self, level: int = 0) -> Any:
        """Return an expression, in nested lists."""
        if level == len(BINARY):
            return self.operand()
        left = self.expression(level + 1)
        while self.peek() in BINARY[level]:
            operator = self.take()
            right = self.expression(level + 1)
            numbers = isinstance(left, int) and isinstance(right, int)
            left = left * right if operator == "*" and numbers else [operator, left, right]
        return left

    def operand(self) -> Any:
        """Return an operand: a value, a field or a call."""
        token = self.take()
        if token == "!":
            return ["!", self.operand()]
        if token in ("*", "&"):
            return self.operand()
        if token == "-":
            return -self.operand()
        if token == "(":
            inner = self.expression()
            self.take(")")
            return inner
        if token.startswith("[]"):
            self.take("{")
            values = self.arguments()
            self.take("}")
            return ["list", *values]
        if token[0] in '"`':
            return token[1:-1] if token[0] == "`" else json.loads(token)
        if token[0].isdigit():
            return float(token) if "." in token else int(token)
        if self.peek() == "(":
            return self.call(token)
        if self.peek() == "{" and token.startswith("kubeletconfig."):
            self.skip_block()
            return ""
        return self.named(token)

    def call(self, name: str) -> Any:
        """Return what a call stands for."""
        method = name.rpartition(".")[2]
        self.take("(")
        values = [] if self.peek() == ")" else self.arguments() if method != "Enabled" else []
        gate = self.take().rpartition(".")[2] if method == "Enabled" else ""
        self.take(")")
        if gate:
            return ["gate", GATES.get(gate, gate)]
        if method in ("Seconds", "Milliseconds"):
            return [
                "/",
                self.named(name.rpartition(".")[0]),
                10**9 if method == "Seconds" else 10**6,
            ]
        if method in ("int", "int64", "string", "Duration"):
            return values[0]
        if method == "len":
            return ["len", values[0]]
        if method == "IsValidPortNum":
            return self.no_error(["in range", values[0], 1, 65535])
        if method == "IsInRange":
            return self.no_error(["in range", *values])
        if method in ("IsAbs", "IsPathClean"):
            return [method, values[0]]
        raise Unreadable(f"call of {name}")

    def no_error(self, check: Any) -> Any:
        """Return a check whose result is compared with nil."""
        negated = self.take() == "!="
        self.take("nil")
        return ["!", check] if negated else check

    def named(self, name: str) -> Any:
        """Return a field or a constant."""
        if name in self.constants:
            return self.constants[name]
        if name.startswith("time."):
            return UNITS[name.partition(".")[2]]
        if name.startswith("kc."):
            path = name[3:].removesuffix(".Duration").lower()
            if path in self.paths:
                return ["field", self.paths[path]]
            inner = [known for low, known in self.paths.items() if low.startswith(f"{path}.")]
            if len(inner) == 1:
                return ["field", inner[0]]
        raise Unreadable(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
