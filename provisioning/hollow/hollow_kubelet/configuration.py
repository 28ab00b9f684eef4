"""The KubeletConfiguration: defaults, file, drop-ins and flags in one value."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from hollow_kubelet.errors import Failure, Panic, Refusal
from hollow_kubelet.facts import FACTS, since
from hollow_kubelet.flags import Flag, FlagSet
from hollow_kubelet.go import GO_TYPES, format_duration, go_json, parse_duration, quote, read_file
from hollow_kubelet.log import log, structured
from hollow_kubelet.yaml_reader import YamlError, load_yaml_or_json

if TYPE_CHECKING:
    from collections.abc import Iterator


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
            content, duplicates = load_yaml_or_json(data)
        except YamlError as error:
            raise Failure(f"{decode} {error}") from None
        problem = self.wrong_kind(content, data.decode(errors="replace"))
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
        if (unknown or duplicates) and since(17):
            warn_of_leniency(unknown, duplicates, content)
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
