"""Makes pytest_kubecluster/spec/data/configuration.json from Kubernetes source trees.

    python tests/make_configuration.py 1.7=TREE 1.8=TREE ... > configuration.json

Each tree holds the sources of one minor's kubelet, with its libraries in vendor/k8s.io. The types
give the fields of a KubeletConfiguration and how they are written, the defaulting their values, the
options the flag that sets a field, and the feature lists the known gates.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TYPES = (
    "vendor/k8s.io/kubelet/config/v1beta1",
    "pkg/kubelet/apis/kubeletconfig/v1beta1",
    "pkg/kubelet/apis/kubeletconfig/v1alpha1",
    "pkg/apis/componentconfig/v1alpha1",
)
DEFAULTS = ("pkg/kubelet/apis/config/v1beta1", *TYPES)
INTERNAL = ("pkg/kubelet/apis/config", "pkg/kubelet/apis/kubeletconfig", "pkg/apis/componentconfig")
ELSEWHERE = (
    "vendor/k8s.io/component-base/logs/api/v1/types.go",
    "vendor/k8s.io/component-base/config/v1alpha1/types.go",
)
"""Types of fields that are defined in other packages."""

STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r'^\t(?:(\w+) +)?(\S+) +`json:"(\w*),?([\w,]*)"', re.MULTILINE)
ALIAS = re.compile(r"^type (\w+) (string|u?int\d*|\[\]\w+)$", re.MULTILINE)
ASSIGNED = re.compile(r"^\t+obj\.([\w.]+) = (.*?)(?: //.*)?$", re.MULTILINE)
GUARDED = re.compile(
    r"^\tif \w*[fF]eature\w*(?:\.\w+)*\.Enabled\((?:features\.)?(?P<gate>\w+)\) \{\n(?P<body>.*?)^\t\}",
    re.MULTILINE | re.DOTALL,
)
BINDING = re.compile(
    r"fs\.(?P<method>\w+?)P?\((?P<how>.*?)&(?:s|c|f)\.(?P<field>[\w.]+?)(?:\.Duration)?[)}, ]"
    r'.*?"(?P<flag>[a-z0-9-]+)"'
)
KINDS = {
    "NewMapStringBool": "mapStringBool",
    "NewLangleSeparatedMapStringString": "mapStringString<",
    "NewColonSeparatedMultimapStringString": "colonSeparatedMultimapStringString",
    "NewMapStringStringNoSplit": "mapStringString!",
    "NewMapStringString": "mapStringString=",
    "IPVar": "ip",
    "ReservedMemoryVar": "reservedMemory",
    "aint": "[]api.Taint",
}
NAMES = {
    "metav1.Duration": "duration",
    "TimeOrMetaDuration": "duration",
    "time.Duration": "nanoseconds",
    "resource.QuantityValue": "quantity",
}
SCALARS = ("bool", "string", "int32", "int64", "float64")
PLAIN = {*SCALARS, "uint32", "[]string", "[]int32", "map[string]string", "map[string]bool"}
PLAIN |= {"map[string][]string"}
INDIRECT_FLAGS = {
    "nodeLabels": "node-labels",
    "logging.format": "logging-format",
    "logging.flushFrequency": "log-flush-frequency",
    "logging.verbosity": "v",
    "logging.vmodule": "vmodule",
    "logging.sanitization": "experimental-logging-sanitization",
    **{
        f"logging.options.{form}.{field}": f"log-{form}-{flag}"
        for form in ("text", "json")
        for field, flag in (
            ("splitStream", "split-stream"), ("infoBufferSize", "info-buffer-size"),
        )
    },
}  # fmt: skip
"""Flags that are bound indirectly, or by the logging library."""

CONSTANTS = {
    "ports.KubeletPort": 10250,
    "ports.KubeletReadOnlyPort": 10255,
    "ports.KubeletHealthzPort": 10248,
    "qos.KubeletOOMScoreAdj": -999,
    "kubetypes.ResolvConfDefault": "/etc/resolv.conf",
    "[]string{kubetypes.AllSource}": ["*"],
    "config.DefaultKubeletPodsDirName": "pods",
    "KubeletAuthorizationModeWebhook": "Webhook",
    "KubeletAuthorizationModeAlwaysAllow": "AlwaysAllow",
    "PromiscuousBridge": "promiscuous-bridge",
    "WatchChangeDetectionStrategy": "Watch",
    "NoneTopologyManagerPolicy": "none",
    "ContainerTopologyManagerScope": "container",
    "NoneMemoryManagerPolicy": "None",
    "NeverVerifyPreloadedImages": "NeverVerifyPreloadedImages",
    "NoneMemoryReservationPolicy": "None",
    "DefaultNodeAllocatableEnforcement": ["pods"],
    "DefaultIPTablesMasqueradeBit": 14,
    "DefaultIPTablesDropBit": 15,
    "DefaultVolumePluginDir": "/usr/libexec/kubernetes/kubelet-plugins/volume/exec/",
    "DefaultPodLogsDir": "/var/log/pods",
    "DefaultMemoryThrottlingFactor": 0.8,
    "DefaultMemoryReservationPolicy": "None",
    "MaxContainerBackOff": "5m0s",
    # 1.7 and 1.8 only
    "AutoDetectCloudProvider": "auto-detect",
    "DockerContainerRuntime": "docker",
    "NamespaceDefault": "default",
    "defaultIPTablesDropBit": 15,
    "defaultIPTablesMasqueradeBit": 14,
    "defaultNodeAllocatableEnforcement": ["pods"],
    "defaultRootDir": "/var/lib/kubelet",
    'filepath.Join(defaultRootDir, "seccomp")': "/var/lib/kubelet/seccomp",
    'filepath.Join(DefaultRootDir, "seccomp")': "/var/lib/kubelet/seccomp",
    "DefaultRootDir": "/var/lib/kubelet",
    "DefaultEvictionHard": None,
    "make(map[string]string)": {},
}
HARD_EVICTION = {
    "imagefs.available": "15%",
    "memory.available": "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
}
SECONDS = {"Millisecond": 0.001, "Second": 1, "Minute": 60, "Hour": 3600}

GATE = re.compile(
    r'^\s+(\w+) +(?:(?:\w+\.)?Feature +)?= +(?:(?:\w+\.)?Feature\()?"(\w+)"', re.MULTILINE
)
SPEC = re.compile(
    r"^\s+(?:\w+\.)?(\w+):\s*(\{(?:[^{}]|\{[^{}]*\})*\}),?(?:\s*//.*)?$", re.MULTILINE
)
STAGE = re.compile(
    r"(?:MustParse\(\"1\.(?P<since>\d+)\"\), *)?Default: +(?P<on>true|false), *"
    r"PreRelease: +(?:\w+\.)?(?P<stage>\w*)(?P<locked>, *LockToDefault: +true)?"
)
NOT_THE_KUBELETS = re.compile("controller-manager|cloud-provider|kms")
LINKED_BY_HYPERKUBE = "apiextensions"
NOT_UPSTREAM = re.compile("ADC_|csiMigrationRBD|rootless")


def main(*trees: str) -> None:
    """Print the data file; ``trees`` are written MINOR=PATH."""
    fields: dict[str, dict[int, Any]] = {}
    gates: dict[str, dict[int, str]] = {}
    kinds: dict[str, dict[int, str]] = {}
    for tree in trees:
        minor, _, path = tree.partition("=")
        number = int(minor.partition(".")[2])
        for name, field in read_fields(Path(path), number).items():
            fields.setdefault(name, {})[number] = field
        for name, gate in read_gates(Path(path), number).items():
            gates.setdefault(name, {})[number] = gate
        for flag, kind in read_bindings(Path(path)).values():
            if kind in KINDS.values():
                kinds.setdefault(flag, {})[number] = kind
    print('{"fields": {')
    print(",\n".join(f" {json.dumps(name)}: {json.dumps(folded(fields[name]))}" for name in fields))
    print('},\n"kinds": {')
    print(",\n".join(f" {json.dumps(name)}: {json.dumps(folded(kinds[name]))}" for name in kinds))
    print('},\n"gates": {')
    names = sorted(gates)
    print(",\n".join(f" {json.dumps(name)}: {json.dumps(folded(gates[name]))}" for name in names))
    print("}}")


def folded(values: Mapping[int, Any]) -> list[list[Any]]:
    """Fold values by minor into [first, last, value]."""
    marks: list[list[Any]] = []
    for number, value in sorted(values.items()):
        if marks and marks[-1][1] == number - 1 and marks[-1][2] == value:
            marks[-1][1] = number
        else:
            marks.append([number, number, value])
    return marks


# ---------------------------------------------------------------------------------------- fields


def read_fields(tree: Path, number: int) -> dict[str, Any]:
    """Return each field's type, shown while empty or not, default and flag."""
    own = first_folder(tree, TYPES)
    sources = [(own / "types.go").read_text()]
    sources += [(tree / path).read_text() for path in ELSEWHERE if (tree / path).exists()]
    structs, aliases = read_structs(sources)
    internal, _ = read_structs([(first_folder(tree, INTERNAL) / "types.go").read_text()])
    pointers = {
        (struct, name)
        for struct, body in internal.items()
        for name, kind in re.findall(r"^\t(\w+) +(\S+)", body, re.MULTILINE)
        if kind.startswith("*")
    }
    defaults = read_defaults(first_folder(tree, DEFAULTS) / "defaults.go", read_gates(tree, number))
    flags = read_bindings(tree)
    found: dict[str, Any] = {}
    for path, go_path, struct, kind, options in walk(structs, "KubeletConfiguration", aliases):
        pointer = kind.startswith("*")
        plain = kind.lstrip("*")
        plain = NAMES.get(plain, plain)
        plain = aliases.get(plain, plain)
        plain = plain if plain in {*PLAIN, *NAMES.values()} else "any"
        default = defaults.get(go_path)
        optional = pointer and (struct, go_path.rpartition(".")[2]) in pointers
        if default is None and plain != "any" and not optional:
            default = zero(plain)
        shown = "omitempty" not in options or plain in ("duration", "quantity") or pointer
        flag, _ = flags.get(go_path, (INDIRECT_FLAGS.get(path), ""))
        if NOT_UPSTREAM.match(path):
            continue
        if path == "failSwapOn":
            default = True  # in 1.8 and 1.9 it is the default of the flag
        if path == "nodeLabels":
            default = {}  # made with the options
        found[path] = [
            plain,
            shown and not (optional and default is None),
            default,
            flag,
        ]
    hard = next((path for path in found if path == "evictionHard"), None)
    if hard and found[hard][0] == "map[string]string":
        found[hard][2] = {**({"imagefs.inodesFree": "5%"} if number >= 30 else {}), **HARD_EVICTION}
    return found


def first_folder(tree: Path, paths: tuple[str, ...]) -> Path:
    """Return the first of the folders that the tree has with types in it."""
    return next(
        tree / path
        for path in paths
        if (tree / path / "types.go").exists() or (tree / path / "defaults.go").exists()
    )


def read_structs(sources: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the bodies of structs by name, and the types that others are another name for."""
    structs: dict[str, str] = {}
    aliases: dict[str, str] = {}
    for source in sources:
        for name, body in STRUCT.findall(source):
            structs.setdefault(name, re.sub(r"(?m)^\s*//.*\n", "", body))
        aliases.update(ALIAS.findall(source))
    return structs, aliases


def walk(
    structs: Mapping[str, str], name: str, aliases: Mapping[str, str], at: str = "", go_at: str = ""
) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield every field below a struct: path, path in Go, struct, type and tag options."""
    for go_name, kind, tag, options in FIELD.findall(structs[name]):
        plain = kind.lstrip("*").rpartition(".")[2]
        if not tag:
            if plain in structs:
                yield from walk(structs, plain, aliases, at, go_at)
            continue
        path, go_path = f"{at}{tag}", f"{go_at}{go_name}"
        if plain in structs and plain != "TimeOrMetaDuration" and not kind.startswith("*"):
            yield from walk(structs, plain, aliases, f"{path}.", f"{go_path}.")
        else:
            yield (
                path,
                go_path,
                name,
                kind if "." not in kind else kind.replace("logsapi.", ""),
                options,
            )


def zero(kind: str) -> Any:
    """Return a type's zero value as JSON has it."""
    if kind == "bool":
        return False
    if kind in ("duration", "quantity"):
        return "0s" if kind == "duration" else "0"
    if kind == "string":
        return ""
    return 0 if kind.startswith(("int", "uint", "float")) else None


def read_defaults(path: Path, gates: Mapping[str, str]) -> dict[str, Any]:
    """Return the values that the defaulting gives, by path in Go."""
    text = GUARDED.sub(
        lambda block: block["body"] if " true" in gates.get(block["gate"], "") else "",
        path.read_text(),
    )
    body = re.search(r"^func SetDefaults_KubeletConfiguration\(.*?^\}", text, re.M | re.S)
    assert body
    constants = {**CONSTANTS}
    factor = re.search(r"DefaultMemoryThrottlingFactor += ([\d.]+)", text)
    if factor:
        constants["DefaultMemoryThrottlingFactor"] = float(factor[1])
    found: dict[str, Any] = {}
    temporary = re.sub(r"temp := (.*)\n(.*) = &temp", r"\2 = \1", body[0])
    for go_path, value in ASSIGNED.findall(temporary):
        if value.startswith("obj."):
            found.setdefault(go_path, found.get(value[4:]))
        elif not value.startswith("map["):
            found.setdefault(go_path, evaluate(value, constants))
    found["Logging.Format"] = "text"
    found["Logging.FlushFrequency"] = "5s"
    return found


def evaluate(expression: str, constants: Mapping[str, Any]) -> Any:
    """Return the value of a Go expression as defaulting uses them."""
    if expression in constants:
        return constants[expression]
    if expression.endswith("Duration{Duration: 0}"):
        return "0s"
    duration = re.search(r"Duration\{Duration: (?:(\d+) \* )?(?:time\.(\w+)|(\w+))\}", expression)
    if duration:
        if duration[3]:
            return constants[duration[3]]
        return go_duration(int(duration[1] or 1) * SECONDS[duration[2]])
    inner = re.fullmatch(r"&?[\w.]+(?:\[\w+\])?\((.*)\)", expression)
    if inner:
        return evaluate(inner[1], constants)
    if re.fullmatch(r"-?\d+|true|false|\".*\"", expression):
        return json.loads(expression)
    return constants[expression.lstrip("&").rpartition(".")[2]]


def go_duration(seconds: float) -> str:
    """Write a duration as Go does."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{rest}s"


def read_bindings(tree: Path) -> dict[str, tuple[str, str]]:
    """Return the flag that sets each field and that flag's type, by path in Go."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted((tree / "cmd/kubelet/app/options").glob("*.go")):
        for match in BINDING.finditer(path.read_text()):
            kind = next((kind for name, kind in KINDS.items() if name in match["how"]), "")
            method = match["method"].removesuffix("Var")
            kind = kind or method[:1].lower() + method[1:] or "mapStringString"
            found.setdefault(match["field"], (match["flag"], kind))
    return found


# ----------------------------------------------------------------------------------------- gates


def read_gates(tree: Path, number: int) -> dict[str, str]:
    """Return the feature gates by name: stage, default, and "locked" if it cannot be changed."""
    texts = {
        path: path.read_text()
        for folder in ("pkg/features", "vendor/k8s.io")
        for path in sorted((tree / folder).rglob("*.go"))
        if "feature" in str(path.relative_to(tree)) and "openshift" not in str(path)
    }
    named = (name for text in texts.values() for name in GATE.findall(text))
    names = {constant: name for constant, name in named if not NOT_UPSTREAM.match(name)}
    specs: dict[str, str] = {}
    for path, text in texts.items():
        linked = number < 17 or LINKED_BY_HYPERKUBE not in str(path)
        if NOT_THE_KUBELETS.search(str(path)) or not linked:
            continue  # those that a kubelet knows are listed in pkg/features, too
        for constant, body in SPEC.findall(text):
            if constant in names:
                stages = [
                    stage for stage in STAGE.finditer(body) if int(stage["since"] or 0) <= number
                ]
                if stages:
                    last = stages[-1]
                    words = [last["stage"].lower() or "ga", last["on"]]
                    specs[names[constant]] = " ".join(words + ["locked"] * bool(last["locked"]))
    specs.update({name: "alpha false" for name in ("AllAlpha", "AllBeta") if name in names})
    return specs


if __name__ == "__main__":
    main(*sys.argv[1:])
