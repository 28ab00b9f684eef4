"""Makes pytest_kubecluster/spec/data/control-plane.json from sources of Kubernetes.

    python tests/make_control_plane.py FOLDER > control-plane.json

FOLDER holds clones of the repositories in ``SOURCES`` and ``LIBRARIES``, each as OWNER+NAME/repo:
Kubernetes itself up to 1.15, and from then on what others vendor of it. The flags are those that
the functions in ``WHERE`` register, those of the logging library, which kubelet.json has as
collected for the kubelet, and those in ``DOCUMENTED`` and ``LINKED``.

Names were read in one patch release of each minor; others of the minor may have some more or less.
They were compared with ``--help`` of kube-apiserver 1.7.5, 1.9.8, 1.30.14 and 1.36.3, and of
kube-controller-manager and kube-scheduler 1.7.5, 1.9.8 and 1.36.3, by giving each to the program;
and with the pages of kubernetes.io for 1.7 to 1.21.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.make_facts import marks, ranges

COREOS, K3S, MICROSHIFT = "coreos+kubernetes", "rancher+k3s", "openshift+microshift"
SOURCES = {
    "1.7": (COREOS, "v1.7.5"),
    "1.8": (COREOS, "v1.8.14"),
    "1.9": (COREOS, "v1.9.8+coreos.0"),
    "1.10": (COREOS, "v1.10.5"),
    # Kubernetes before 1.11.0, and after 1.12.1, 1.13.4, 1.14.5 and 1.15.2
    "1.11": (K3S, "c2b27efd3be2"),
    "1.12": (K3S, "842fe51339c8"),
    "1.13": (K3S, "9cb83c559fc0"),
    "1.14": (K3S, "762648277ae5"),
    "1.15": (K3S, "7823476aaac5"),
    "1.16": (K3S, "v1.16.15+k3s1"),
    "1.17": (K3S, "v1.17.17+k3s1"),
    "1.18": (K3S, "v1.18.20+k3s1"),
    "1.19": (K3S, "v1.19.12+k3s1"),
    "1.20": (K3S, "v1.20.8+k3s1"),
    "1.21": (K3S, "v1.21.2+k3s1"),
    "1.23": (MICROSHIFT, "60d519c4f99d"),
    "1.24": (MICROSHIFT, "84376e9d8e52"),
    **{f"1.{minor}": (MICROSHIFT, f"release-4.{minor - 13}") for minor in range(25, 36)},
    "1.36": (MICROSHIFT, "main"),
}
"""The repository and the revision of each minor. None has the programs of 1.22."""

NEIGHBOURS = {"1.22": ("1.21", "1.23")}
"""Minors without a source: a flag that both neighbours have is there, as is one of ``LIBRARIES``."""

LIBRARIES = {
    "1.22": {
        "kubernetes+apiserver": "v0.22.9",
        "kubernetes+component-base": "v0.22.9",
        "kubernetes+controller-manager": "v0.22.9",
        "kubernetes+cloud-provider": "v0.22.9",
    }
}

ANY = ".*"
OPTIONS = r"apiserver/pkg/server/options/\w+\.go"
SERVING = (
    r"(SecureServingOptions(WithLoopback)?|Delegating\w+|ClientCertAuthenticationOptions"
    r"|RequestHeaderAuthenticationOptions)\.AddFlags"
)
UNQUALIFIED = r"DeprecatedInsecureServingOptions(WithLoopback)?\.AddUnqualifiedFlags"
INSECURE = r"DeprecatedInsecureServingOptions(WithLoopback)?\.AddFlags"
GATES = (
    r"(component-base/(cli/flag|featuregate)/feature_gate|apiserver/pkg/util/feature/feature_gate"
    r"|component-base/(compatibility|featuregate)/registry|component-base/version/\w+"
    r"|apiserver/pkg/util/version/registry)\.go"
)
EVERY = (
    (r"component-base/metrics/options\.go", ANY),
    (GATES, r".*\.AddFlags?"),
    (r"component-base/logs/(options|config|api/v1/options)\.go", ANY),
)
ELECTION = (
    r"(component-base/config/options|pkg/client/leaderelectionconfig|pkg/client/leaderelection)"
    r"/\w+\.go",
    ANY,
)
WHERE = {
    "kube-apiserver": (
        (
            r"(cmd/kube-apiserver/app|pkg/kubeapiserver|pkg/controlplane/apiserver)/options/\w+\.go",
            ANY,
        ),
        (OPTIONS, rf"(?!Delegating|CoreAPI|{UNQUALIFIED}|{INSECURE}).*"),
        (r"plugin/pkg/admission/(defaulttolerationseconds|initialresources)/\w+\.go", ANY),
        *EVERY,
    ),
    "kube-controller-manager": (
        (r"cmd/(kube-)?controller-manager/app/options/\w+\.go", ANY),
        (r"controller-manager/(options|pkg/leadermigration/options)/\w+\.go", ANY),
        (r"cloud-provider/options/(kubecloudshared|cloudprovider|servicecontroller)\.go", ANY),
        (r"pkg/controller/replicaset/options/options\.go", ANY),
        (OPTIONS, SERVING),
        ELECTION,
        *EVERY,
    ),
    "kube-scheduler": (
        (r"(plugin/)?cmd/kube-scheduler/app/(options/\w+|server)\.go", ANY),
        (OPTIONS, SERVING),
        ELECTION,
        *EVERY,
    ),
}
"""The functions that register a program's flags, by file and by RECEIVER.NAME."""

LOGGING = [
    "add-dir-header", "alsologtostderr", "log-backtrace-at", "log-dir", "log-file",
    "log-file-max-size", "log-flush-frequency", "logtostderr", "one-output", "skip-headers",
    "skip-log-headers", "stderrthreshold", "v", "vmodule", "version", "help",
]  # fmt: skip
"""Flags of the logging library, and those of every program, which the kubelet has, too."""


NOT_CALLED = {
    "kube-controller-manager": {
        **dict.fromkeys(range(7, 10), ANY),
        # The options are there, and nil.
        **dict.fromkeys(range(10, 12), r"Delegating.*|ClientCert.*|RequestHeader.*"),
    },
    "kube-scheduler": dict.fromkeys(range(7, 13), ANY),
}
"""Types in ``OPTIONS`` whose flags a program of a minor does not register."""

CARRIED = {
    "advertise-port",
    "insecure-experimental-approve-all-kubelet-csrs-for-group",
    "openshift-config",
    "unsupported-kube-api-over-localhost",
}
"""Flags that K3S and MICROSHIFT add. The third is in Kubernetes until 1.10, and read there."""

DOCUMENTED = {
    "azure-container-registry-config": range(7, 22),
    "google-json-key": range(7, 10),
    "skip-headers": range(13, 15),
}
"""Flags of libraries, in kubernetes.io's pages of all three programs."""

LINKED = {
    "cloud-provider-gce-lb-src-cidrs": "cidrs",
    "default-not-ready-toleration-seconds": "int64",
    "default-unreachable-toleration-seconds": "int64",
}
"""Flags that kube-apiserver has until 1.12 as it links the packages that define them."""

METHOD = re.compile(
    r"\.((?:String|Bool|Int|Int32|Int64|Uint|Uint32|Uint64|Float32|Float64|Duration|StringSlice"
    r"|StringArray|Int32Slice|IPNet|IPSlice|IP|IntSlice|StringToString)(?:Var)?P?|VarP?F?"
    r"|MarkDeprecated)\("
)
FUNCTION = re.compile(
    r"^func (?:\((?:\w+ )?\*?(?P<receiver>\w+)(?:\[\w+\])?\) )?(?P<name>\w+)\(.*?^\}", re.M | re.S
)
TEXT = re.compile(r'"(?P<quoted>(?:[^"\\]|\\.)*)"|`(?P<raw>[^`]*)`|(?P<name>[\w.]+(?:\([^)]*\))?)')
CONSTANT = re.compile(r'^\s*(?:const\s+|var\s+)?(\w+)\s*(?:string\s*)?=\s*"([^"\n]*)"', re.M)
WORDS = re.compile(r"^var (\w+) = \[\]string\{([^}]*)\}", re.M)
LOOP = re.compile(r"for _, name := range (?:\[\]string\{([^}]*)\}|(\w+))")
REGISTERED = re.compile(
    r'\b[Rr]egister\w*\((?:fs|local|global, local|pflag\.CommandLine, fs), "([\w-]+)"'
)
VALUES = {
    "feature-gates": "mapStringBool",
    "log-json-info-buffer-size": "quantity",
    "log-text-info-buffer-size": "quantity",
    "runtime-config": "mapStringString",
}
TYPES = {"IPNet": "ipNet", "IP": "ip", "Float32": "float32", "": "string"}

Scan = tuple[dict[str, str], dict[str, str]]
"""The type of each flag, and the warning of each deprecated one."""


class Tree:
    """The Go files of a revision, by the path that they have in Kubernetes or its libraries."""

    def __init__(self, folder: Path, repository: str, revision: str) -> None:
        self.git = ["git", "-C", str(folder / repository / "repo")]
        self.revision = revision
        library = repository.removeprefix("kubernetes+")
        self.paths: dict[str, str] = {}
        for path in self._run("ls-tree", "-r", "--name-only", revision).splitlines():
            if not path.endswith(".go") or path.endswith("_test.go") or path.startswith("deps/"):
                continue
            name = path.removeprefix("vendor/k8s.io/kubernetes/")
            name = re.sub(r"^(vendor|staging/src)/k8s\.io/", "", name)
            self.paths.setdefault(name if library == repository else f"{library}/{name}", path)
        self.read = cache(self._read)
        self.constants = cache(self._constants)

    def matching(self, pattern: str) -> list[str]:
        """Return the files whose path is of the pattern."""
        return [name for name in self.paths if re.fullmatch(pattern, name)]

    def _read(self, name: str) -> str:
        text = self._run("show", f"{self.revision}:{self.paths[name]}")
        return re.sub(r"^\s*//.*$", "", text, flags=re.M)

    def _constants(self, folder: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.paths:
            if name.rpartition("/")[0] == folder:
                text = self.read(name)
                found |= {key: [value] for key, value in CONSTANT.findall(text)}
                found |= {
                    key: re.findall(r'"([^"]+)"', words) for key, words in WORDS.findall(text)
                }
        return found

    def _run(self, *words: str) -> str:
        return subprocess.run(
            [*self.git, *words], check=True, capture_output=True, text=True
        ).stdout


def main(folder: Path) -> None:
    """Print the data file."""
    kubelet = json.loads(
        (Path(__file__).parents[1] / "pytest_kubecluster/spec/data/kubelet.json").read_text()
    )["flags"]
    programs: dict[str, dict[str, Scan]] = {program: {} for program in WHERE}
    for minor, source in SOURCES.items():
        tree = Tree(folder, *source)
        for program, found in programs.items():
            found[minor] = scan(tree, program, number(minor))
    unsure: dict[str, dict[str, list[str]]] = {}
    for minor, (before, after) in NEIGHBOURS.items():
        libraries = [Tree(folder, *source) for source in LIBRARIES[minor].items()]
        for program, found in programs.items():
            (first, warned), (second, _) = found[before], found[after]
            types: dict[str, str] = {}
            for tree in libraries:
                types |= scan(tree, program, number(minor))[0]
            types |= {name: kind for name, kind in second.items() if name in first}
            differ = (set(first) ^ set(second)) - set(types) - set(LOGGING)
            unsure.setdefault(minor, {})[program] = sorted(differ)
            found[minor] = types, {name: text for name, text in warned.items() if name in types}
    minors = [f"1.{minor}" for minor in range(7, 37)]
    flags = {
        program: dict(sorted(fold(found, kubelet, minors))) for program, found in programs.items()
    }
    sources = {
        minor: " ".join(SOURCES[minor]).replace("+", "/", 1)
        if minor in SOURCES
        else " and ".join(NEIGHBOURS[minor])
        for minor in minors
    }
    parts = ",\n".join(
        f'  "{program}": {{\n'
        + ",\n".join(f"   {json.dumps(name)}: {json.dumps(flag)}" for name, flag in known.items())
        + "\n  }"
        for program, known in flags.items()
    )
    print(
        f'{{"sources": {json.dumps(sources)},\n "unsure": {json.dumps(unsure)},\n'
        f' "flags": {{\n{parts}\n }}}}'
    )


def scan(tree: Tree, program: str, minor: int) -> Scan:
    """Return the flags that a program's functions register."""
    where = list(WHERE[program])
    options = f"cmd/{program}/app/options/options.go"
    called = tree.read(options) if options in tree.paths else ""
    for call, functions in ((".AddFlags(", INSECURE), (".AddUnqualifiedFlags(", UNQUALIFIED)):
        if f".InsecureServing{call}" in called:
            where.append((OPTIONS, functions))
    receivers = NOT_CALLED.get(program, {}).get(minor)
    types = dict(LINKED) if program == "kube-apiserver" and minor < 13 else {}
    warnings: dict[str, str] = {}
    for files, functions in where:
        if files == OPTIONS and receivers:
            functions = rf"(?!{receivers})({functions})"
        for name in tree.matching(files):
            constants = tree.constants(name.rpartition("/")[0])
            for function in FUNCTION.finditer(tree.read(name)):
                label = f"{function['receiver'] or ''}.{function['name']}"
                if re.fullmatch(functions, label):
                    some_types, some_warnings = registered(function[0], constants)
                    types |= some_types
                    warnings |= some_warnings
    if minor > 10 or tree.revision.startswith("v1.10"):
        types = {name: kind for name, kind in types.items() if name not in CARRIED}
    return types, {name: text for name, text in warnings.items() if name in types}


def registered(body: str, constants: Mapping[str, list[str]]) -> Scan:
    """Return the flags that a function registers."""
    types: dict[str, str] = {name.replace("_", "-"): "string" for name in REGISTERED.findall(body)}
    warnings: dict[str, str] = {}
    for call in METHOD.finditer(body):
        method, words = call[1], list(arguments(body, call.end()))
        place = 1 if "Var" in method else 0
        if len(words) < 2:
            continue
        scope = dict(constants)
        for loop in LOOP.finditer(body, 0, call.start()):
            names = re.findall(r'"([^"]+)"', loop[1] or "")
            scope["name"] = names or constants.get(loop[2], [])
        for name in values(words[place], scope):
            name = name.replace("_", "-")
            if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
                continue
            if method == "MarkDeprecated":
                warnings[name] = "".join(values(words[1], scope)) or "deprecated"
            else:
                kind = re.sub("(Var)?P?F?$", "", method)
                types[name] = TYPES.get(kind, kind[0].lower() + kind[1:] if kind else "string")
    return types, warnings


def values(expression: str, constants: Mapping[str, list[str]]) -> list[str]:
    """Return the texts that an expression may be: none if it cannot be told."""
    if template := re.match(r'fmt\.Sprintf\("([^"]+)"', expression):
        # The two backends of the audit log
        return [
            template[1].removeprefix("audit-").replace("%s", f"audit-{name}")
            for name in ("log", "webhook")
        ]
    texts = [""]
    for part in TEXT.finditer(expression):
        if part["name"]:
            found = constants.get(part["name"].rpartition(".")[2], [])
        else:
            found = [(part["quoted"] or part["raw"] or "").replace('\\"', '"')]
        texts = [text + one for text in texts for one in found]
    return texts


def arguments(text: str, start: int) -> Iterator[str]:
    """Yield the arguments of a call whose first begins at ``start``."""
    depth, begin, place = 0, start, start
    while True:
        char = text[place]
        if char in "\"`'":
            end = place + 1
            while text[end] != char:
                end += 2 if text[end] == "\\" and char != "`" else 1
            place = end
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            if not depth:
                yield text[begin:place].strip()
                return
            depth -= 1
        elif char == "," and not depth:
            yield text[begin:place].strip()
            begin = place + 1
        place += 1


def fold(
    found: Mapping[str, Scan], kubelet: Mapping[str, Any], minors: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each flag of a program with its type, minors and warnings."""
    types: dict[str, str] = {}
    facts: dict[str, Any]
    having: dict[str, list[str]] = {}
    warnings: dict[str, dict[str, str]] = {}
    hyperkube: set[str] = set()
    for minor in minors:
        one, warned = found[minor]
        one = dict(one)
        for name, known in DOCUMENTED.items():
            if number(minor) in known:
                one.setdefault(name, "string")
        for name, flag in kubelet.items():
            if any(first <= number(minor) <= last for first, last in flag["in"]):
                if name in LOGGING:
                    one[name] = flag["type"]
                    if text := at(number(minor), flag.get("deprecated", ())):
                        warned = {**warned, name: text}
                elif number(minor) < 10 and flag.get("origin") in ("library", "hyperkube"):
                    hyperkube |= {name} - one.keys()
                    one.setdefault(name, flag["type"])
        types |= one
        for name in one:
            having.setdefault(name, []).append(minor)
        for name, text in warned.items():
            warnings.setdefault(name, {})[minor] = text
    for name, kind in types.items():
        facts = {"type": VALUES.get(name, kind), "in": ranges(having[name])}
        if name in warnings:
            facts["deprecated"] = marks(warnings[name])
        if name in hyperkube:
            facts["origin"] = "hyperkube"
        yield name, facts


def at(minor: int, spans: Iterable[tuple[int, int, str]]) -> str | None:
    """Return what holds for a minor."""
    return next((value for first, last, value in spans if first <= minor <= last), None)


def number(minor: str) -> int:
    """Return 7 for 1.7."""
    return int(minor.partition(".")[2])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
