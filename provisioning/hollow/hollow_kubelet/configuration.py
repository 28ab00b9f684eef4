"""The KubeletConfiguration: defaults, file, drop-ins and flags in one value."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from hollow_common.errors import Failure, Panic, Refusal
from hollow_common.facts import FACTS, since
from hollow_common.flags import Flag
from hollow_common.go import (
    GO_TYPES,
    SECOND,
    format_duration,
    go_json,
    parse_duration,
    quote,
    read_file,
)
from hollow_common.log import log, structured
from hollow_common.quantity import NO_QUANTITY
from hollow_common.values import parse_amount
from hollow_common.yaml_reader import YamlError, load_yaml_or_json

from hollow_kubelet.feature_gates import is_enabled
from hollow_kubelet.flags import FlagSet

if TYPE_CHECKING:
    from collections.abc import Iterator


class Configuration:
    """The KubeletConfiguration made of defaults, files and flags.

    ``values`` are kept by path, durations in nanoseconds. Without a file the defaults are those of
    the flags, which allow anonymous access; the defaults of a file differ from them.
    """

    KIND = ("kubelet.config.k8s.io/v1beta1", "KubeletConfiguration")

    def __init__(self) -> None:
        self.values: dict[str, Any] = {path: default_of(path) for path in FACTS["fields"]}
        self.given: set[str] = set()
        self.as_numbers: set[str] = set()

    def take_flags(self, flags: FlagSet, only_changed: bool = False) -> None:
        """Take the values of the flags."""
        for path, flag in self.bound(flags):
            nothing = not flag.changed and not flag.value and self.values[path] is None
            if not nothing and (flag.changed or not only_changed):
                merged = path == "featureGates" and only_changed and self.values[path]
                self.values[path] = {**self.values[path], **flag.value} if merged else flag.value

    def give_flags(self, flags: FlagSet) -> None:
        """Give the flags the values that result."""
        for path, flag in self.bound(flags):
            flag.value = self.values[path] if self.values[path] is not None else flag.value

    @staticmethod
    def bound(flags: FlagSet) -> Iterator[tuple[str, Flag]]:
        """Yield the paths that a flag sets, each with its flag."""
        for path, (_, _, _, name, *_) in FACTS["fields"].items():
            if name in flags.flags and not path.startswith(APART):
                yield path, flags.flags[name]

    def load(self, path: str) -> None:
        """Read a file: pkg/kubelet/kubeletconfig/configfiles/configfiles.go."""
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
        """Read the files of --config-dir, one after the other (1.28 and newer)."""
        switch = "KUBELET_CONFIG_DROPIN_DIR_ALPHA"
        if not since(30) and switch not in os.environ:
            problem = f"flag config-dir specified but environment variable {switch} not set"
            raise Refusal("folder", f"{problem}, cannot start kubelet")
        try:
            if not os.path.lexists(folder):
                raise Failure(f"lstat {folder}: no such file or directory")
            for place, folders, names in os.walk(folder):
                folders.sort()
                for name in sorted(name for name in names if name.endswith(".conf")):
                    path = os.path.join(place, name)
                    try:
                        data = read_file(path)
                        if not data:
                            raise Failure(f"kubelet config file {quote(path)} was empty")
                        self.read(data, place, merged=True)
                    except Failure as error:
                        problem = f"failed to load kubelet dropin file, path: {path}"
                        raise Failure(f"{problem}, error: {error}") from None
        except Failure as error:
            problem = f"failed to walk through kubelet dropin directory {quote(folder)}: {error}"
            raise Refusal("folder", f"failed to merge kubelet configs: {problem}") from None

    def read(self, data: bytes, folder: str, merged: bool = False) -> None:
        """Decode a file's content; unknown fields are ignored, with a warning from 1.17 on."""
        decode = "failed to decode:" if since(17) else "failed to decode, error:"
        try:
            content, duplicates = load_yaml_or_json(data)
        except YamlError as error:
            raise Failure(f"{decode} {error}") from None
        problem = self.wrong_kind(content, data.decode(errors="replace"))
        if problem:
            raise Failure(f"{decode} {problem}")
        unknown: list[str] = []
        try:
            self.merge(content, "", unknown, merged)
        except ValueError as error:
            raise Failure(f"{decode} {error}") from None
        for name in sorted(map(str, content.get("featureGates") or ())) if since(32) else ():
            if name not in FACTS["gates"]:
                problem = "failed to merge global and in-flight KubeletConfiguration while setting"
                raise Panic(f"{problem} defaults, error: unrecognized feature gate: {name}")
        if (unknown or duplicates) and since(17):
            warn_of_leniency(unknown, duplicates, content)
        for name in PATHS:
            if self.values.get(name):
                self.values[name] = os.path.join(folder, self.values[name])

    def wrong_kind(self, content: Any, text: str) -> str:
        """Return why a document is not a KubeletConfiguration; ``text`` is its source."""
        if content is None:
            content = {}
        if not isinstance(content, dict):
            found = GO_TYPES.get(type(content), "number")
            return (
                f"couldn't get version/kind; json parse error: json: cannot unmarshal {found} into "
                "Go value of type struct { APIVersion string "
                r'"json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
            )
        version, kind = content.get("apiVersion"), content.get("kind")
        for name, value in (("kind", kind), ("apiVersion", version)):
            if value is not None and not isinstance(value, str):
                found = GO_TYPES.get(type(value), "number")
                return (
                    f"couldn't get version/kind; json parse error: json: cannot unmarshal {found} "
                    f"into Go struct field .{name} of type string"
                )
        if not kind or not version:
            missing = "apiVersion" if kind else "Kind"
            return f"Object '{missing}' is missing in '{text}'"
        if (version, kind) != self.KIND:
            line = 111 if since(35) else 110 if since(33) else 100 if since(20) else 101
            where = f' in scheme "pkg/runtime/scheme.go:{line}"' if since(12) else ""
            return f"no kind {quote(kind)} is registered for version {quote(version)}{where}"
        return ""

    def merge(self, content: dict[str, Any], prefix: str, unknown: list[str], merged: bool) -> None:
        """Set the fields of a mapping; with ``merged``, maps keep their other entries."""
        for name, value in content.items():
            path = f"{prefix}{name}"
            if path in FACTS["fields"]:
                self.take(path, value, unknown, merged)
            elif any(known.startswith(f"{path}.") for known in FACTS["fields"]):
                if value is not None and not isinstance(value, dict):
                    raise ValueError(unfit(value, path, "v1beta1 struct"))
                self.merge(value or {}, f"{path}.", unknown, merged)
            elif path not in ("kind", "apiVersion"):
                unknown.append(path)

    def take(self, path: str, value: Any, unknown: list[str], merged: bool) -> None:
        """Set a field's value; an explicit zero means the default where the facts have it so."""
        kind, _, _, _, zero_is_default, shape = FACTS["fields"][path]
        if value is None:
            if kind == "duration" and path not in POINTERS and since(23):
                parse_duration("")  # metav1.Duration reads null as an empty text
            return
        self.as_numbers.discard(path)
        if kind == "duration" and isinstance(value, int) and value:
            self.as_numbers.add(path)
        value = read_value(path, shape or kind, value, unknown)
        self.given.add(path)
        if zero_is_default and value in ZEROS:
            self.given.discard(path)
            value = default_of(path)
        elif merged and kind.startswith("map") and self.values[path]:
            value = {**self.values[path], **value}
        self.values[path] = value

    def derive(self) -> None:
        """Set the defaults that follow from other fields: SetDefaults_KubeletConfiguration."""
        values, given = self.values, self.given
        report, update = "nodeStatusReportFrequency", "nodeStatusUpdateFrequency"
        if report in values and report not in given and update in given:
            values[report] = values[update]
        if "serializeImagePulls" not in given and (values.get("maxParallelImagePulls") or 0) > 1:
            values["serializeImagePulls"] = False
        if (values.get("podPidsLimit") or 0) < 0:
            values["podPidsLimit"] = -1
        if values.get("mergeDefaultEvictionSettings") and "evictionHard" in given:
            values["evictionHard"] = {**default_of("evictionHard"), **values["evictionHard"]}
        for path, (gate, default) in GATED.items():
            if path in values and path not in given:
                enabled = is_enabled(gate, values.get("featureGates") or {})
                values[path] = default if enabled else None

    def shown(self) -> dict[str, Any]:
        """Return the answer on /configz."""
        answer: dict[str, Any] = {}
        if since(36):
            answer["apiVersion"], answer["kind"] = self.KIND
        for path, (kind, always, *_) in FACTS["fields"].items():
            *parents, name = path.split(".")
            place = answer
            for parent in parents:
                place = place.setdefault(parent, {})
            value = self.values[path]
            if value or (always and not (value is None and path in GATED)):
                place[name] = self.shown_value(path, kind, value)
        return {"kubeletconfig" if since(8) else "componentconfig": answer}

    def shown_value(self, path: str, kind: str, value: Any) -> Any:
        """Return a field's value as /configz has it."""
        if value is None:
            # Until 1.7, the conversion makes a list where there is none.
            is_list = kind.startswith("[]") or path == "registerWithTaints"
            return [] if is_list and not since(8) else None
        if kind == "duration" and path not in self.as_numbers:
            return format_duration(value)
        return value


def warn_of_leniency(unknown: list[str], duplicates: list[str], content: Any) -> None:
    """Log that a file has fields that this version does not know, or has them twice."""
    problems = [f"unknown field {quote(name)}" for name in unknown]
    if duplicates and duplicates[0].startswith("line "):
        duplicates = ["yaml: unmarshal errors:" + "".join(f"\n  {one}" for one in duplicates)]
    problem = f"strict decoding error: {', '.join([*duplicates, *problems])}"
    if unknown and not since(23):
        found = f"found unknown field: {unknown[0].rpartition('.')[2]}"
        problem = f"v1beta1.KubeletConfiguration.ReadObject: {found}"
        problem = f"strict decoder error for {go_json(content)}: {problem}"
    if since(21):
        message = "Using lenient decoding as strict decoding failed"
        log("I", "codec.go:109", structured(message, err=problem))
    else:
        log("W", "codec.go:109", f"using lenient decoding as strict decoding failed: {problem}")


DURATIONS = ("duration", "nanoseconds")
APART = ("logging.v", "seccompDefault")
"""Fields whose flags set something of their own, which /configz does not show."""
PATHS = (
    "staticPodPath", "authentication.x509.clientCAFile", "tlsCertFile", "tlsPrivateKeyFile",
    "resolvConf", "volumePluginDir", "podLogsDir",
)  # fmt: skip
"""Fields whose value, if it is relative, starts at the file's folder."""
POINTERS = (
    "containerLogMonitorInterval", "cpuCFSQuotaPeriod",
    "crashLoopBackOff.maxContainerRestartPeriod",
)  # fmt: skip
"""Durations that may be null."""

GATED = {
    "crashLoopBackOff.maxContainerRestartPeriod": ("KubeletCrashLoopBackOffMax", 300 * SECOND),
    "imagePullCredentialsVerificationPolicy": (
        "KubeletEnsureSecretPulledImages", "NeverVerifyPreloadedImages",
    ),
}  # fmt: skip
"""Fields whose default depends on a feature gate."""

ZEROS = (0, "")
JSON_TYPES: dict[str, Any] = {
    "bool": bool, "string": str, "int32": int, "int64": int, "uint32": int, "nanoseconds": int,
    "float64": (int, float),
}  # fmt: skip
RANGES = {
    "int32": (-(2**31), 2**31), "int64": (-(2**63), 2**63), "uint32": (0, 2**32),
    "nanoseconds": (-(2**63), 2**63),
}  # fmt: skip
NOTHING = {"bool": False, "string": "", "int32": 0, "quantity": "0"}
"""What null stands for in a list or a map."""


def default_of(path: str) -> Any:
    """Return what a field has in a file that does not name it."""
    kind, _, default, *_ = FACTS["fields"][path]
    return parse_duration(default) if default and kind in DURATIONS else default


def read_value(path: str, kind: Any, value: Any, unknown: list[str]) -> Any:
    """Return a value of a type, or of the shape of an object or a list of objects.

    The ValueError is worded as encoding/json's error.
    """
    if isinstance(kind, list):
        if not isinstance(value, list):
            raise ValueError(unfit(value, path, "[]v1beta1 struct"))
        return [read_object(path, kind[0], one or {}, unknown) for one in value]
    if isinstance(kind, dict):
        return read_object(path, kind, value, unknown)
    if kind.startswith("[]"):
        if not isinstance(value, list):
            raise ValueError(unfit(value, path, kind))
        return [
            NOTHING[kind[2:]] if one is None else read_value(path, kind[2:], one, unknown)
            for one in value
        ]
    if kind.startswith("map[string]"):
        if not isinstance(value, dict):
            raise ValueError(unfit(value, path, kind))
        inner = kind[len("map[string]") :]
        return {
            name: NOTHING.get(inner) if one is None else read_value(path, inner, one, unknown)
            for name, one in value.items()
        }
    return read_scalar(path, kind, value)


def read_object(path: str, shape: dict[str, Any], value: Any, unknown: list[str]) -> Any:
    """Return an object with its known fields, each of its type."""
    if not isinstance(value, dict):
        raise ValueError(unfit(value, path, "v1beta1 struct"))
    unknown += [f"{path}.{name}" for name in value if name not in shape]
    return {
        name: read_value(f"{path}.{name}", shape[name], one, unknown)
        for name, one in value.items()
        if name in shape and one is not None
    }


def read_scalar(path: str, kind: str, value: Any) -> Any:
    """Return a value that is neither a list nor an object."""
    if kind == "any":
        return value
    if kind == "quantity":
        if not isinstance(value, (str, int)) or isinstance(value, bool):
            raise ValueError(NO_QUANTITY)
        parse_amount(str(value))
        return str(value)
    if kind == "duration":
        number = isinstance(value, int) and not isinstance(value, bool)
        if number and path == "logging.flushFrequency":
            return value
        if not isinstance(value, str):
            raise ValueError(unfit(value, path, "string"))
        return parse_duration(value)
    is_bool = isinstance(value, bool)
    if not isinstance(value, JSON_TYPES[kind]) or is_bool != (kind == "bool"):
        if isinstance(value, float):
            raise ValueError(unfit(value, path, kind, f"number {value}"))
        raise ValueError(unfit(value, path, "time.Duration" if kind == "nanoseconds" else kind))
    first, end = RANGES.get(kind, (0, 0))
    if kind in RANGES and not first <= value < end:
        raise ValueError(unfit(value, path, kind, f"number {value}"))
    return value


def unfit(value: Any, path: str, kind: str, what: str = "") -> str:
    """Return the message about a value of the wrong type; ``what`` describes the value.

    Until 1.22 json-iterator reads the file; its position in the file is left out here.
    """
    if not since(23):
        found = json.dumps(value, default=str)[0]
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
    found = what or GO_TYPES.get(type(value), "number")
    place = f"KubeletConfiguration.{path}"
    return f"json: cannot unmarshal {found} into Go struct field {place} of type {kind}"
