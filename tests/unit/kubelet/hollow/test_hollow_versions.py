"""The hollow kubelet of every minor: what each takes and refuses, and where the rules change."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from http.client import HTTPConnection, HTTPSConnection
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from pytest_kubecluster.kubelet.hollow import render_hollow
from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.version import KubeVersion
from tests.make_configuration import CONSTANTS, evaluate, folded
from tests.unit.kubelet.hollow.test_hollow import (
    SECONDS,
    Authority,
    Pair,
    client_context,
    eventually,
    free_port,
)

NUMBERS = range(7, 37)


def version(number: int) -> KubeVersion:
    return KubeVersion.parse(f"v1.{number}.0")


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Writes a minor's program under the name it is installed by."""
    folder = tmp_path_factory.mktemp("hollow")

    @cache
    def write(number: int) -> Path:
        path = folder / str(number) / ("kubelet" if number >= 17 else "hyperkube")
        path.parent.mkdir()
        path.write_bytes(render_hollow(version(number)))
        path.chmod(0o755)
        return path

    return write


@pytest.fixture(scope="session")
def modules(programs: Callable[[int], Path]) -> Callable[[int], ModuleType]:
    """Loads a minor's program, for what is too much for processes."""

    @cache
    def load(number: int) -> ModuleType:
        loader = SourceFileLoader(f"hollow_{number}", str(programs(number)))
        spec = importlib.util.spec_from_loader(loader.name, loader)
        assert spec
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
        return module

    return load


class Ended(NamedTuple):
    """What a kubelet that did not come up left."""

    status: int
    out: str
    err: str

    @property
    def problem(self) -> str:
        """The line that says why, without klog's head."""
        text = re.sub(r"=<\n\t(.*?)\n >", self.in_one_line, self.err, flags=re.DOTALL)
        lines = [line for line in text.splitlines() if re.match(r"[EF]\d{4} |Error: ", line)]
        return re.sub(r"^[EF]\d{4} \S+ +\d+ \S+ ", "", lines[0]) if lines else ""

    @staticmethod
    def in_one_line(value: re.Match[str]) -> str:
        """A value of several lines as klog wrote it before it had a form of its own for them."""
        return '="' + value[1].replace('"', '\\"').replace("\n\t", "\\n") + '"'


def forbidden(host: str) -> NoReturn:
    raise AssertionError(f"it signs a certificate for {host} in this machine's own folders")


Run = Callable[..., Ended]
really_write = os.write


@pytest.fixture
def run(modules: Callable[[int], ModuleType], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line to its end inside this process."""

    def run_one(number: int, *words: str, name: str = "") -> Ended:
        module = modules(number)
        out, err = io.StringIO(), io.StringIO()

        def write(descriptor: int, data: bytes) -> int:
            if descriptor != 2:
                return really_write(descriptor, data)
            err.write(data.decode())
            return len(data)

        launcher = [name or "kubelet"] if name or number >= 17 else ["hyperkube", "kubelet"]
        with monkeypatch.context() as patch, contextlib.redirect_stdout(out):
            patch.setattr(module.os, "write", write)
            patch.setattr(module, "self_signed", forbidden)
            patch.setattr(module.libc, "prctl", lambda *_: 0)
            patch.setattr(module.signal, "signal", lambda *_: None)
            status = module.run([*launcher, *words])
        return Ended(status, out.getvalue(), err.getvalue())

    return run_one


FAILS = "--lock-file=/nonexist/lock"
"""A flag with which no kubelet comes up, whatever else it thinks of its command line."""
LOCKED = 'unable to acquire file lock on "/nonexist/lock": no such file or directory'


CERTIFICATES = ("--tls-cert-file=/nonexist/crt", "--tls-private-key-file=/nonexist/key")


def needed(number: int) -> list[str]:
    """Flags without which a kubelet of the minor does not get as far as its lock file here."""
    words = [*CERTIFICATES] if number >= 10 else []
    words += ["--container-runtime-endpoint=unix:///run/x.sock"] if 24 <= number < 27 else []
    return words + ["--fail-cgroupv1=false"] * (number >= 35)


# ------------------------------------------------------------------------------------------- flags

VALUES = {
    "Level": "3", "bool": "true", "cidrs": "1.2.3.0/24", "duration": "1h2m3.5s", "float64": "1e3",
    "int": "8", "int32": "8", "int64": "8", "ip": "::1", "moduleSpec": "a=1",
    "pattern=N,...": "a=1", "quantity": "1Ki", "reserved-memory": "0:memory=1Gi", "reservedMemory": "0:memory=1Gi", "severity": "2",
    "string": "x", "stringSlice": 'a,"b,c"', "traceLocation": "a.go:1", "uint": "8", "uint64": "8",
    "version": "raw", "[]api.Taint": "a/b=c:NoExecute", "[]v1.Taint": "a/b=c:NoExecute",
    "mapStringString": "a=b,c", "mapStringString=": "a=b,c=d", "mapStringString!": "a=b,c",
    "mapStringString<": "memory.available<1Gi", "mapStringBool": "AllAlpha=true",
    "colonSeparatedMultimapStringString": "a:b,a:c",
}  # fmt: skip
BAD = {
    "Level": "x", "bool": "maybe", "cidrs": "1", "duration": "5", "float64": "x", "int": "x",
    "int32": "1.5", "int64": "x", "ip": "1.2.3", "moduleSpec": "a", "pattern=N,...": "a",
    "quantity": "x", "reserved-memory": "x", "reservedMemory": "x", "severity": "x", "traceLocation": "x", "uint": "-1", "uint64": "-1",
    "version": "x", "[]api.Taint": "a=b:Nope", "[]v1.Taint": "a=b:Nope", "mapStringString=": "x",
    "mapStringString!": "x", "mapStringString<": "x", "mapStringBool": "x",
    "colonSeparatedMultimapStringString": "x",
}  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
def test_takes_every_flag_of_its_minor(
    modules: Callable[[int], ModuleType], capfd: pytest.CaptureFixture[str], number: int
) -> None:
    module = modules(number)
    known = catalog.flags(f"1.{number}")
    flags = module.FlagSet()
    assert set(flags.flags) == set(known)
    words = [f"--{name}={VALUES[flag.kind]}" for name, flag in flags.flags.items()]
    assert flags.parse(words) == []
    assert all(flag.changed for flag in flags.flags.values())
    said = capfd.readouterr().err.splitlines()
    warnings = {name: flag.deprecated for name, flag in known.items() if flag.deprecated}
    assert said == [
        f"Flag --{name} has been deprecated, {module.WARNINGS.get(text, text)}"
        for name, text in warnings.items()
    ]


@pytest.mark.parametrize("number", NUMBERS)
def test_refuses_every_flag_of_other_minors(
    modules: Callable[[int], ModuleType], number: int
) -> None:
    module = modules(number)
    others = set().union(*(catalog.flags(minor) for minor in catalog.MINORS))
    for name in others - set(catalog.flags(f"1.{number}")):
        with pytest.raises(module.Failure, match=f"^unknown flag: --{name}$"):
            module.FlagSet().parse([f"--{name}=1"])


@pytest.mark.parametrize("number", NUMBERS)
def test_refuses_bad_values(modules: Callable[[int], ModuleType], number: int) -> None:
    module = modules(number)
    flags = module.FlagSet()
    for name, flag in flags.flags.items():
        bad = BAD.get(flag.kind)
        if bad is None:
            continue
        written = f"--{name}={bad}"
        if number >= 10:
            letter = {"v": "-v, ", "help": "-h, "}.get(name, "")
            written = f'"{letter}--{name}" flag'
        with pytest.raises(module.Failure) as refusal:
            flags.parse([f"--{name}={bad}"])
        assert str(refusal.value).startswith(f'invalid argument "{bad}" for {written}: '), name


@pytest.mark.parametrize("number", NUMBERS)
def test_refuses_a_missing_value(modules: Callable[[int], ModuleType], number: int) -> None:
    module = modules(number)
    for name, flag in module.FlagSet().flags.items():
        if not flag.boolean:
            with pytest.raises(module.Failure, match=f"^flag needs an argument: --{name}$"):
                module.FlagSet().parse([f"--{name}"])


@pytest.mark.parametrize("number", NUMBERS)
def test_defaults_are_those_of_the_facts(modules: Callable[[int], ModuleType], number: int) -> None:
    flags = modules(number).FlagSet().flags
    for name, flag in catalog.flags(f"1.{number}").items():
        assert flag.default in (None, flags[name].default), name
    assert flags["root-dir"].value == "/var/lib/kubelet"
    assert flags["port"].value == 10250
    assert flags["read-only-port"].value == 10255
    assert flags["anonymous-auth"].value is True
    assert flags["authorization-mode"].value == "AlwaysAllow"
    assert flags["healthz-bind-address"].value == "127.0.0.1"
    if "cgroup-driver" in flags:
        assert flags["cgroup-driver"].value == "cgroupfs"


# ---------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("number", NUMBERS)
def test_version_and_help(run: Run, number: int) -> None:
    assert run(number, "--version") == Ended(0, f"Kubernetes v1.{number}.0+hollow\n", "")
    shown = run(number, "--help")
    assert shown.status == 0
    text, other = (shown.out, shown.err) if number >= 10 else (shown.err, shown.out)
    assert other == ""
    assert re.search(r"^      --node-ip string$", text, re.MULTILINE)
    assert ("(DEPRECATED: This parameter" in text) == (number >= 10)


@pytest.mark.parametrize("number", range(10, 36))
def test_a_client_ca_that_is_not_there(run: Run, number: int) -> None:
    ended = run(number, *needed(number), *CERTIFICATES, FAILS, "--client-ca-file=/nonexist/ca")
    problem = "unable to load client CA file /nonexist/ca: open /nonexist/ca: no such file or"
    assert problem in ended.problem
    assert "failed to run Kubelet" not in ended.problem, "it comes before the lock"


@pytest.mark.parametrize(
    ("number", "at_once", "in_a_minute"), [(16, False, False), (17, False, True), (23, True, True)]
)
def test_a_client_ca_that_is_replaced(
    number: int,
    at_once: bool,
    in_a_minute: bool,
    modules: Callable[[int], ModuleType],
    tmp_path: Path,
) -> None:
    old, new = (Authority(tmp_path, name).pair.crt.read_bytes() for name in ("old", "new"))
    pair = Authority(tmp_path, "serving").pair
    file = tmp_path / "ca.crt"
    file.write_bytes(new)
    module = modules(number)
    tls = module.ServingTls(pair.crt.read_bytes(), pair.key.read_bytes(), old, str(file))
    tls.look_at_client_ca()
    assert (tls.client_ca == new, len(tls.contexts) == 2) == (at_once, at_once)
    tls.next_look = 0
    tls.look_at_client_ca()
    assert (tls.client_ca == new) == in_a_minute
    file.write_text("no certificate")
    tls.next_look = 0
    tls.look_at_client_ca()
    assert tls.client_ca == (new if in_a_minute else old), "the last good one stays"


def test_the_client_ca_is_read_late_in_1_36(run: Run) -> None:
    words = [*needed(36), *CERTIFICATES, "--client-ca-file=/nonexist/ca"]
    assert LOCKED.replace('"', '\\"') in run(36, *words, FAILS).problem
    problem = "failed to run Kubelet: open /nonexist/ca: no such file or directory"
    assert run(36, *words).problem == f'"command failed" err="{problem}"'


@pytest.mark.parametrize("number", range(7, 24))
def test_an_unknown_runtime(run: Run, tmp_path: Path, number: int) -> None:
    words = [*needed(number), *CERTIFICATES, f"--root-dir={tmp_path}", "--container-runtime=nope"]
    words += ["--fail-swap-on=false"] * (number > 7) + ["--cadvisor-port=0"] * (number < 12)
    found = run(number, *words).problem.replace('\\"', '"')
    where = "failed to create kubelet: " if number < 18 else ""
    assert f'failed to run Kubelet: {where}unsupported CRI runtime: "nope"' in found


def said(number: int, parsed: str) -> tuple[int, str]:
    """How a minor ends, given what it says of its command line, and with which status."""
    if number < 10:
        return 1, f"Error: {parsed}"
    if number < 21:
        return 255, parsed
    if number < 24:
        return 1, f'"Failed to parse kubelet flag" err="{parsed}"'
    if number < 25:
        return 1, f"Error: failed to parse kubelet flag: {parsed}"
    return 1, f'"command failed" err="failed to parse kubelet flag: {parsed}"'


@pytest.mark.parametrize("number", NUMBERS)
def test_an_unknown_flag(run: Run, number: int) -> None:
    ended = run(number, "--nope")
    assert (ended.status, ended.problem) == said(number, "unknown flag: --nope")
    assert ended.out == ""
    assert ("Flags:\n" in ended.err) == (number < 25), "usage is shown with the error"


@pytest.mark.parametrize("number", NUMBERS)
def test_words_that_are_no_flags(run: Run, number: int) -> None:
    ended = run(number, *needed(number), FAILS, "word")
    if number < 11:
        assert LOCKED in ended.problem
    elif number < 21:
        assert (ended.status, ended.problem) == (255, "unknown command: word")
    elif number < 24:
        assert (ended.status, ended.problem) == (1, '"Unknown command" command="word"')
    else:
        assert ended.status == 1
        assert "unknown command word" in ended.problem


@pytest.mark.parametrize("number", NUMBERS)
def test_a_failure_of_the_kubelet_itself(run: Run, number: int) -> None:
    problem = f"failed to run Kubelet: {LOCKED}"
    escaped = problem.replace('"', '\\"')
    ended = run(number, *needed(number), FAILS)
    if number < 10:
        assert (ended.status, ended.problem) == (1, f"Error: {problem}")
    elif number < 21:
        assert (ended.status, ended.problem) == (255, problem)
    elif number < 24:
        assert (ended.status, ended.problem) == (1, f'"Failed to run kubelet" err="{escaped}"')
    elif number < 25:
        assert (ended.status, ended.problem) == (1, f"Error: {problem}")
    else:
        assert (ended.status, ended.problem) == (1, f'"command failed" err="{escaped}"')


@pytest.mark.parametrize("number", [9, 10, 16])
def test_launched_as_hyperkube_or_by_its_own_name(programs: Any, number: int) -> None:
    link = programs(number).with_name("kubelet")
    link.symlink_to(programs(number))
    for words in ([programs(number), "kubelet", "--version"], [link, "--version"]):
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
        assert done.stdout == f"Kubernetes v1.{number}.0+hollow\n"


def test_hyperkube_of_1_10(run: Run) -> None:
    nope = 'unknown command "nope" for "hyperkube"'
    assert run(10, "nope", name="hyperkube") == Ended(
        1, "", f"Error: {nope}\nRun 'hyperkube --help' for usage.\n{nope}\n"
    )
    assert run(10, name="hyperkube").status == 1
    assert run(10, "--help", name="hyperkube").status == 0
    assert run(10, "--v=2", "kubelet", "--version", name="hyperkube").out.startswith("Kubernetes v")
    assert run(10, "--nope", name="hyperkube").err.startswith("Error: unknown flag: --nope\n")


# ---------------------------------------------------------------------------------- changing rules

MASTER = "--node-labels=node-role.kubernetes.io/master="
UNKNOWN = "unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: "


@pytest.mark.parametrize("number", NUMBERS)
def test_labels_in_the_domain_of_kubernetes(run: Run, number: int) -> None:
    ended = run(number, *needed(number), FAILS, MASTER)
    refused = UNKNOWN + "[node-role.kubernetes.io/master]"
    assert (refused in ended.problem) == (number >= 16)
    assert (LOCKED.replace('"', "") in ended.problem.replace('\\"', "").replace('"', "")) == (
        number < 16
    )
    warned = re.findall(r"^W.*in (1\.\d+), --node-labels", ended.err, re.MULTILINE)
    assert set(warned) == {13: {"1.15"}, 14: {"1.16"}, 15: {"1.16"}}.get(number, set())


@pytest.mark.parametrize(
    ("label", "first_refusing", "last_refusing"),
    [
        ("kubernetes.io/role=x", 16, 36),
        ("foo.k8s.io/x=y", 16, 36),
        ("topology.kubernetes.io/zone=a", 16, 16),
        ("failure-domain.kubernetes.io/zone=a", 17, 36),
        ("node.kubernetes.io/x=y", 37, 36),
        ("a.kubelet.kubernetes.io/x=y", 37, 36),
        ("kubernetes.io/hostname=x", 37, 36),
        ("mykubernetes.io/x=y", 37, 36),
        ("x=-", 25, 36),
        ("a/b/c=x", 25, 36),
    ],
)
def test_labels_that_are_refused(
    modules: Callable[[int], ModuleType], label: str, first_refusing: int, last_refusing: int
) -> None:
    key, _, value = label.partition("=")
    for number in NUMBERS:
        module = modules(number)
        refused = False
        try:
            module.check_labels({key: value})
        except module.Refusal:
            refused = True
        assert refused == (first_refusing <= number <= last_refusing), number


@pytest.mark.parametrize("number", NUMBERS)
def test_taints_need_no_value_from_1_15_on(
    modules: Callable[[int], ModuleType], number: int
) -> None:
    module = modules(number)
    for spec in ("a=:NoSchedule", "a=b:NoSchedule"):
        assert module.parse_taints(spec)[0]["key"] == "a"
    if number >= 15:
        assert module.parse_taints("a:NoSchedule") == [{"key": "a", "effect": "NoSchedule"}]
    else:
        with pytest.raises(ValueError, match=r"^invalid taint spec: a:NoSchedule$"):
            module.parse_taints("a:NoSchedule")
    if 15 <= number < 23:
        assert module.parse_taints("a") == [{"key": "a", "effect": ""}]
    else:
        with pytest.raises(ValueError, match=r"^invalid taint spec: a$"):
            module.parse_taints("a")


@pytest.mark.parametrize("number", NUMBERS)
def test_feature_gates(run: Run, number: int) -> None:
    fails = [FAILS] if number > 7 else []  # 1.7 takes its lock first
    ended = run(number, *needed(number), *fails, "--feature-gates=Nope=true")
    word = "feature gate" if number >= 12 else "key"
    assert f"unrecognized {word}: Nope" in ended.problem
    for name in ("AllAlpha", "RotateKubeletServerCertificate"):
        if name in catalog.feature_gates(f"1.{number}"):
            assert LOCKED.replace('"', "") in run(
                number, *needed(number), FAILS, f"--feature-gates={name}=true"
            ).problem.replace('\\"', "").replace('"', "")


def test_an_unknown_feature_gate_in_a_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(HEAD + "featureGates: {Nope: true}\n")
    for number in range(10, 32):
        ended = run(number, *needed(number), FAILS, f"--config={path}")
        assert re.search("unrecognized (key|feature gate): Nope", ended.problem)
    for number in range(32, 37):  # a mistake in the real kubelet
        ended = run(number, *needed(number), FAILS, f"--config={path}")
        assert ended.status == 2
        assert re.search("^panic: .*unrecognized feature gate: Nope$", ended.err, re.MULTILINE)


def test_a_locked_feature_gate(run: Run) -> None:
    problem = "cannot set feature gate APIListChunking to false, feature is locked to true"
    assert problem in run(30, *needed(30), FAILS, "--feature-gates=APIListChunking=false").problem
    ended = run(30, *needed(30), FAILS, "--feature-gates=APIListChunking=true")
    assert "Setting GA feature gate APIListChunking=true." in ended.err


@pytest.mark.parametrize("number", NUMBERS)
def test_swap(
    run: Run, modules: Callable[[int], ModuleType], monkeypatch: pytest.MonkeyPatch, number: int,
) -> None:  # fmt: skip
    module = modules(number)
    monkeypatch.setattr(module, "text_of", lambda _: "Filename\tType\n/swap\tfile\n")
    flags = module.FlagSet()
    if number < 8:
        module.check_swap(flags)
        return
    with pytest.raises(module.Failure) as refusal:
        module.check_swap(flags)
    text = str(refusal.value)
    assert text.startswith("Running with swap on" if number < 16 else "running with swap on")
    assert ("/proc/swaps contained: [Filename" in text) == (number < 31)
    flags.parse(["--fail-swap-on=false"])
    module.check_swap(flags)


@pytest.mark.parametrize("number", range(30, 37))
def test_cgroup_v1(
    run: Run, modules: Callable[[int], ModuleType], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    module = modules(number)
    monkeypatch.setattr(module.os.path, "exists", lambda path: "cgroup" not in path)
    problem = "kubelet is configured to not run on a host using cgroup v1"
    assert (problem in run(number, *CERTIFICATES, FAILS).problem) == (number >= 35)
    if number >= 31:
        assert problem not in run(number, *CERTIFICATES, FAILS, "--fail-cgroupv1=false").problem
        assert problem in run(number, *CERTIFICATES, FAILS, "--fail-cgroupv1").problem


@pytest.mark.parametrize("number", range(23, 28))
def test_the_runtimes_endpoint(run: Run, number: int) -> None:
    ended = run(number, *CERTIFICATES, FAILS)
    missing = "failed to validate kubelet flags: the container runtime endpoint address was not"
    assert (missing in ended.problem) == (number == 26)
    if 24 <= number < 27:
        problem = run(number, *needed(number), FAILS, "--container-runtime=docker").problem
        assert "unsupported CRI runtime:" in problem
        assert "is currently supported" in problem


@pytest.mark.parametrize("number", range(8, 37))
def test_a_kubeconfig_without_server(run: Run, tmp_path: Path, number: int) -> None:
    (tmp_path / "kubeconfig").write_text("kind: Config\napiVersion: v1\n")
    ended = run(
        number,
        *needed(number),
        *CERTIFICATES,
        "--authorization-mode=Nope",
        f"--kubeconfig={tmp_path / 'kubeconfig'}",
    )
    problem = "invalid kubeconfig: invalid configuration: no configuration has been provided"
    hint = ", try setting KUBERNETES_MASTER environment variable"
    assert (problem in ended.problem) == (number >= 10)
    assert (problem + hint in ended.problem) == (number >= 18)
    assert ("nknown authorization mode Nope" in ended.problem) == (number < 10)


@pytest.mark.parametrize("number", NUMBERS)
def test_webhooks_need_an_api_server(run: Run, number: int) -> None:
    ended = run(number, *needed(number), *CERTIFICATES, "--authorization-mode=Webhook")
    assert "no client provided, cannot use webhook authorization" in ended.problem


# ---------------------------------------------------------------------------- configuration files

HEAD = "kind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\n"
WITH_FILES = range(10, 37)


class Loaded(NamedTuple):
    """A command line with a configuration file, read as the kubelet reads it."""

    flags: Any
    shown: dict[str, Any]


@pytest.fixture
def load(modules: Callable[[int], ModuleType], tmp_path: Path) -> Callable[..., Loaded]:
    def load_one(number: int, text: str, *words: str) -> Loaded:
        module = modules(number)
        path = tmp_path / "config.yaml"
        path.write_text(text)
        flags = module.FlagSet()
        line = [f"--config={path}", *needed(number), *words]
        flags.parse(line)
        configuration = module.prepare(flags, line)
        return Loaded(flags, configuration.shown()["kubeletconfig"])

    return load_one


@pytest.mark.parametrize("number", WITH_FILES)
def test_a_file_starts_from_other_defaults(load: Callable[..., Loaded], number: int) -> None:
    flags, shown = load(number, HEAD)
    assert flags["anonymous-auth"] is False
    assert flags["authentication-token-webhook"] is True
    assert flags["authorization-mode"] == "Webhook"
    assert flags["read-only-port"] == 0
    assert shown["authentication"]["anonymous"] == {"enabled": False}
    assert shown["authentication"]["webhook"] == {"enabled": True, "cacheTTL": "2m0s"}
    assert shown["authorization"]["mode"] == "Webhook"
    assert "readOnlyPort" not in shown
    assert shown["port"] == 10250


@pytest.mark.parametrize("number", WITH_FILES)
def test_flags_go_before_the_file(load: Callable[..., Loaded], number: int) -> None:
    text = (
        HEAD + "port: 1\nmaxPods: 50\nclusterDNS: [10.3.0.10]\nsyncFrequency: 5s\n"
        "authentication:\n  anonymous: {enabled: true}\n  x509: {clientCAFile: ca.crt}\n"
        "evictionHard: {memory.available: 1Gi}\nfeatureGates: {AllAlpha: false}\n"
        "kubeReserved: {cpu: 100m}\nfailSwapOn: false\n"
    )
    gate = "RotateKubeletServerCertificate"
    flags, shown = load(
        number, text, "--port=2", "--cluster-dns=1.1.1.1", f"--feature-gates={gate}=true"
    )
    assert shown["port"] == flags["port"] == 2
    assert shown["maxPods"] == flags["max-pods"] == 50
    assert shown["clusterDNS"] == flags["cluster-dns"] == ["1.1.1.1"]
    assert (shown["syncFrequency"], flags["sync-frequency"]) == ("5s", 5 * 10**9)
    assert shown["authentication"]["anonymous"]["enabled"] is flags["anonymous-auth"] is True
    assert flags["client-ca-file"] == str(Path(flags["config"]).parent / "ca.crt")
    assert shown["evictionHard"] == flags["eviction-hard"] == {"memory.available": "1Gi"}
    assert shown["featureGates"] == {"AllAlpha": False, gate: True}
    assert flags["kube-reserved"] == {"cpu": "100m"}
    assert flags["fail-swap-on"] is False


@pytest.mark.parametrize("number", WITH_FILES)
def test_a_file_in_json(load: Callable[..., Loaded], number: int) -> None:
    text = json.dumps(
        {
            "kind": "KubeletConfiguration",
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "maxPods": 7,
        }
    )
    assert load(number, text).shown["maxPods"] == 7


@pytest.mark.parametrize("number", WITH_FILES)
def test_unknown_fields_are_passed_over(
    load: Callable[..., Loaded], capfd: pytest.CaptureFixture[str], number: int
) -> None:
    assert load(number, HEAD + "nope: 1\nmaxPods: 7\n").shown["maxPods"] == 7
    warned = "sing lenient decoding as strict decoding failed" in capfd.readouterr().err
    assert warned == (number >= 17)


BAD_FILES = {
    "": 'kubelet config file "PATH" was empty',
    "maxPods: 7\n": "Object 'Kind' is missing in 'maxPods: 7",
    "kind: KubeletConfiguration\n": "Object 'apiVersion' is missing in 'kind: KubeletConfiguration",
    HEAD.replace("v1beta1", "v2"): 'no kind "KubeletConfiguration" is registered for version "kubelet.config.k8s.io/v2"',
    HEAD.replace("KubeletC", "C"): 'no kind "Configuration" is registered for version "kubelet.config.k8s.io/v1beta1"',
    HEAD + "a: b: c\n": "mapping values are not allowed in this context",
}  # fmt: skip
BAD_FIELDS = {
    "port: x": ("string", "port", "int32"),
    "failSwapOn: 1": ("number", "failSwapOn", "bool"),
    "clusterDNS: x": ("string", "clusterDNS", "[]string"),
    "clusterDomain: 1": ("number", "clusterDomain", "string"),
    "syncFrequency: 5": ("number", "syncFrequency", "string"),
    "authentication: x": ("string", "authentication", ""),
    "authentication: {anonymous: {enabled: 1}}": ("number", "authentication.anonymous.enabled", "bool"),
    "evictionHard: {a: 1}": ("number", "evictionHard", "string"),
}  # fmt: skip


@pytest.mark.parametrize("number", [10, 16, 20, 22, 23, 24, 28, 36])
def test_files_that_are_refused(run: Run, tmp_path: Path, number: int) -> None:
    path = tmp_path / "config.yaml"

    def refused(text: str) -> str:
        path.write_text(text)
        ended = run(number, *needed(number), FAILS, f"--config={path}")
        assert ended.status == (255 if number < 21 else 1)
        found = ended.problem.replace('\\"', '"').replace("\\\\", "\\")
        assert f"failed to load Kubelet config file {path}, error " in found
        return found

    for text, problem in BAD_FILES.items():
        assert problem.replace("PATH", str(path)) in refused(text)
    for text, (kind, field, wanted) in BAD_FIELDS.items():
        found = refused(f"{HEAD}{text}\n")
        if number >= 23:
            place = f"Go struct field KubeletConfiguration.{field} of type {wanted}"
            assert f"failed to decode: json: cannot unmarshal {kind} into {place}" in found
        else:
            name = ".".join(part[0].upper() + part[1:] for part in field.split("."))
            assert f"v1beta1.KubeletConfiguration.{name}: " in found


@pytest.mark.parametrize("number", WITH_FILES)
def test_a_file_that_is_not_there(run: Run, number: int) -> None:
    ended = run(number, *needed(number), "--config=/nonexist")
    found = ended.problem.replace('\\"', '"')
    problem = (
        "failed to load Kubelet config file /nonexist, error failed to read kubelet config file "
        '"/nonexist", error: open /nonexist: no such file or directory'
    )
    assert problem in found
    if number < 21:
        assert found == problem
    elif number < 24:
        assert found == f'"Failed to load kubelet config file" err="{problem}" path="/nonexist"'
    elif number < 28:
        assert f"failed to load kubelet config file, error: {problem}, path: /nonexist" in found
    else:
        assert f"failed to load kubelet config file, path: /nonexist, error: {problem}" in found


@pytest.mark.parametrize("number", range(8, 37))
def test_numbers_out_of_range(modules: Callable[[int], ModuleType], number: int) -> None:
    module = modules(number)
    flags = module.FlagSet()
    flags.parse(["--max-pods=-1", "--oom-score-adj=2000"])
    problems = module.configuration_problems(flags)
    name = "maxPods" if number >= 20 else "MaxPods"
    invalid = "invalid" if number >= 10 else "Invalid"
    rule = "must not be a negative number"
    assert f"{invalid} configuration: {name} (--max-pods) -1 {rule}" in problems
    assert sum("must be between -1000 and 1000" in problem for problem in problems) == 1


@pytest.mark.parametrize("number", [28, 29, 30, 36])
def test_drop_in_files(
    load: Callable[..., Loaded], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    folder = tmp_path / "kubelet.conf.d"
    folder.mkdir()
    (folder / "20.conf").write_text(HEAD + "maxPods: 20\nevictionHard: {memory.available: 1Gi}\n")
    (folder / "10.conf").write_text(HEAD + "maxPods: 10\npodsPerCore: 3\n")
    (folder / "30.yaml").write_text(HEAD + "maxPods: 30\n")
    text = HEAD + "maxPods: 7\nevictionHard: {nodefs.available: 5%}\n"
    if number < 30:
        with pytest.raises(Exception, match="KUBELET_CONFIG_DROPIN_DIR_ALPHA not set"):
            load(number, text, f"--config-dir={folder}")
        monkeypatch.setenv("KUBELET_CONFIG_DROPIN_DIR_ALPHA", "1")
    shown = load(number, text, f"--config-dir={folder}").shown
    assert (shown["maxPods"], shown["podsPerCore"]) == (20, 3)
    assert shown["evictionHard"] == {"nodefs.available": "5%", "memory.available": "1Gi"}
    with pytest.raises(Exception, match="failed to walk through kubelet dropin directory"):
        load(number, text, "--config-dir=/nonexist")


# ------------------------------------------------------------------------------------------ running


class Started(NamedTuple):
    """A kubelet that runs, and its ports."""

    process: subprocess.Popen[bytes]
    port: int
    read_only: int
    healthz: int
    log: Path

    def ask(self, path: str, port: int = 0) -> tuple[int, str]:
        connection: HTTPConnection = (
            HTTPConnection("127.0.0.1", port, timeout=SECONDS)
            if port
            else HTTPSConnection(
                "127.0.0.1", self.port, timeout=SECONDS, context=client_context(None)
            )
        )
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    authority = Authority(tmp_path_factory.mktemp("pki"), "ca")
    return authority.issue("serving", usages=(ExtendedKeyUsageOID.SERVER_AUTH,))


@pytest.fixture
def start(
    programs: Callable[[int], Path], serving: Pair, tmp_path: Path
) -> Iterator[Callable[..., Started]]:
    started: list[subprocess.Popen[bytes]] = []

    def start_one(number: int, *words: str, **environment: str) -> Started:
        port, read_only, healthz = (free_port() for _ in range(3))
        log = tmp_path / "log"
        line = [
            *([] if number >= 17 else ["kubelet"]), *needed(number), "--address=127.0.0.1", f"--port={port}",
            f"--read-only-port={read_only}", f"--healthz-port={healthz}",
            "--hostname-override=node1", f"--root-dir={tmp_path}", f"--tls-cert-file={serving.crt}",
            f"--tls-private-key-file={serving.key}",
            *(["--cadvisor-port=0"] if number < 12 else []), *words,
        ]  # fmt: skip
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, str(programs(number)), *line],
                stdout=file, stderr=file, env={**os.environ, **environment},
            )  # fmt: skip
        started.append(process)
        kubelet = Started(process, port, read_only, healthz, log)

        def healthy() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return kubelet.ask("/healthz", healthz) == (200, "ok")
            except OSError:
                return False

        eventually("healthz", healthy)
        return kubelet

    yield start_one
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", NUMBERS)
def test_serves(start: Callable[..., Started], tmp_path: Path, number: int) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(0.1 if number < 10 else SECONDS)
        kubelet = start(number, NOTIFY_SOCKET=str(tmp_path / "notify"))
        if number >= 10:
            assert systemd.recv(64) == b"READY=1"
        else:
            with pytest.raises(TimeoutError):
                systemd.recv(64)
    status, body = kubelet.ask("/configz")
    assert status == 200
    key = "kubeletconfig" if number >= 8 else "componentconfig"
    assert list(json.loads(body)) == [key]
    shown = json.loads(body)[key]
    assert shown["port"] == kubelet.port
    assert shown["readOnlyPort"] == kubelet.read_only
    assert shown["authentication"]["anonymous"]["enabled"] is True
    assert shown["authorization"]["mode"] == "AlwaysAllow"
    assert ("registerWithTaints" in shown) == (number < 9)
    assert bool(shown["tlsCertFile"])
    assert (shown.get("kind") == "KubeletConfiguration") == (number == 36)
    assert bool(shown.get("evictionHard")) == (number < 26)
    assert ("lockFilePath" in shown) == (number < 9)
    assert ("containerRuntimeEndpoint" in shown) == (number >= 27)
    assert kubelet.ask("/pods", kubelet.read_only)[0] == 200
    assert kubelet.ask("/configz", kubelet.read_only)[0] == 404
    assert kubelet.ask("/spec/", kubelet.read_only)[0] == (200 if number < 21 else 404)
    assert kubelet.ask("/logs/", kubelet.read_only)[0] == (404 if number < 9 else 405)
    comm = Path(f"/proc/{kubelet.process.pid}/comm").read_text()
    assert comm == ("kubelet\n" if number >= 17 else "hyperkube\n")
    kubelet.process.terminate()
    assert kubelet.process.wait(SECONDS) == (1 if number < 11 else 0)


@pytest.mark.parametrize("number", [10, 21, 36])
def test_runs_by_its_file(start: Callable[..., Started], tmp_path: Path, number: int) -> None:
    (tmp_path / "config.yaml").write_text(
        HEAD + "authentication:\n  webhook: {enabled: false}\n  anonymous: {enabled: true}\n"
        "authorization: {mode: AlwaysAllow}\n" + f"staticPodPath: {tmp_path}\n"
    )
    kubelet = start(number, f"--config={tmp_path / 'config.yaml'}")
    shown = json.loads(kubelet.ask("/configz")[1])["kubeletconfig"]
    assert shown["staticPodPath"] == str(tmp_path)
    assert "Adding manifest file" in kubelet.log.read_text()


def test_the_lock_says_what_happens_in_the_style_of_the_time(
    start: Callable[..., Started], tmp_path: Path
) -> None:
    lock = tmp_path / "kubelet.lock"
    kubelet = start(30, f"--lock-file={lock}", "--exit-on-lock-contention")
    lock.read_bytes()
    assert kubelet.process.wait(SECONDS) == 0
    log = kubelet.log.read_text()
    assert f'] "Acquiring file lock" path="{lock}"\n' in log
    assert f'] "inotify event" event="\\"{lock}\\": 0x20 == IN_OPEN"\n' in log


# ---------------------------------------------------------------------------- how its facts are made


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("metav1.Duration{Duration: 2 * time.Minute}", "2m0s"),
        ("&metav1.Duration{Duration: 100 * time.Millisecond}", "100ms"),
        ("metav1.Duration{Duration: time.Minute}", "1m0s"),
        ("utilpointer.BoolPtr(true)", True),
        ("ptr.To[int32](50)", 50),
        ("utilpointer.Int32Ptr(int32(qos.KubeletOOMScoreAdj))", -999),
        ('"127.0.0.1"', "127.0.0.1"),
        ("kubeletconfigv1beta1.PromiscuousBridge", "promiscuous-bridge"),
    ],
)
def test_defaults_are_read_as_go_writes_them(expression: str, value: object) -> None:
    assert evaluate(expression, CONSTANTS) == value


def test_what_holds_per_minor_is_folded() -> None:
    assert folded({7: "a", 8: "a", 9: "b", 11: "b"}) == [[7, 8, "a"], [9, 9, "b"], [11, 11, "b"]]


# ------------------------------------------------------------------------- beside the real kubelets

REAL = os.environ.get("KUBE_REAL_KUBELETS", "")
NAMED = re.compile(r"(?P<kind>hyperkube|kubelet)-v1\.(?P<minor>\d+)\..*")
FOUND = (
    sorted(path for path in Path(REAL).glob("*-v1.*") if NAMED.fullmatch(path.name)) if REAL else []
)
WITHOUT = pytest.param(
    None, marks=pytest.mark.skip("KUBE_REAL_KUBELETS names no folder with real kubelets")
)
beside = pytest.mark.parametrize("binary", FOUND or [WITHOUT], ids=lambda path: path and path.name)


class Beside:
    """A real kubelet, which is only ever asked for its version or help, or refuses its flags."""

    def __init__(self, binary: Path, folder: Path) -> None:
        name = NAMED.fullmatch(binary.name)
        assert name
        self.number = int(name["minor"])
        self.link = folder / name["kind"]
        self.link.symlink_to(binary.resolve())
        self.words = ["kubelet"] if name["kind"] == "hyperkube" else []

    def __call__(self, *words: str) -> Ended:
        done = subprocess.run(
            [str(self.link), *self.words, *words],
            capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        # Kubelets built from MicroShift's sources name a service before each line of their log.
        return Ended(
            done.returncode, done.stdout, re.sub(r"^\?\?\? ", "", done.stderr, flags=re.MULTILINE)
        )


def go_independent(text: str) -> str:
    """A message as any Go words it: newer ones built the real kubelets than at their time."""
    text = re.sub(r'((duration|unit) )\\?"([^"\\]*)\\?"', r"\1\3", text)
    return re.sub(r"(parse error on )?line 1, column \d+", "line", text).replace("-field", " field")


REFUSED = (
    "--nope", "--no_pe=1", "---x", "-x", "--node-ip", "-v", "-vx", "--port=1.5", "--port=5000000000",
    "--anonymous-auth=maybe", "--sync-frequency=5", "--sync-frequency=5x", "--sync-frequency=",
    "--address=1.2.3", '--cluster-dns=a"b', "--register-with-taints=bad",
    "--register-with-taints=a=:Foo", "--register-with-taints=a=b=c:NoSchedule", "--version=x",
    "--vmodule=a",
)  # fmt: skip


@beside
def test_refuses_as_the_real_one(run: Run, tmp_path: Path, binary: Path) -> None:
    real = Beside(binary, tmp_path)
    for word in REFUSED:
        theirs, ours = real(FAILS, word, "--nope"), run(real.number, FAILS, word, "--nope")
        assert ours.status == theirs.status, word
        assert go_independent(ours.problem) == go_independent(theirs.problem), word
        assert bool(ours.out) == bool(theirs.out), word


@beside
def test_has_the_flags_and_warnings_of_the_real_one(
    modules: Callable[[int], ModuleType], run: Run, tmp_path: Path, binary: Path
) -> None:
    real = Beside(binary, tmp_path)
    flags = modules(real.number).FlagSet().flags
    shown = real("--help")
    names = re.findall(r"^  (?:-\w, |    )--([\w-]+)", shown.out + shown.err, re.MULTILINE)
    assert {name.replace("_", "-") for name in names} <= {*flags, "max-housekeeping-interval"}
    words = [
        f"--{name}={VALUES[flag.kind]}"
        for name, flag in flags.items()
        if name in names and name not in ("help", "version")
    ]
    theirs, ours = real(*words, "--version"), run(real.number, *words, "--version")
    warnings = [line for line in theirs.err.splitlines() if line.startswith("Flag --")]
    assert theirs.status == 0, theirs.problem
    assert (ours.status, ours.err.splitlines()) == (0, warnings)
    assert theirs.out.startswith(f"Kubernetes v1.{real.number}.")


@beside
def test_has_the_defaults_of_the_real_one(
    modules: Callable[[int], ModuleType], tmp_path: Path, binary: Path
) -> None:
    real = Beside(binary, tmp_path)
    flags = modules(real.number).FlagSet().flags
    shown = real("--help")
    for line in re.findall(r"^  (?:-\w, |    )--(.*)$", shown.out + shown.err, re.MULTILINE):
        name = re.split(r"[ \[=]", line)[0].replace("_", "-")
        default = re.search(r" \(default (.*?)\)( \(DEPRECATED:.*)?$", line)
        if default and name in flags and flags[name].origin == "kubelet" and name not in CHANGING:
            assert default[1].strip('"') == flags[name].default.strip('"'), name


CHANGING = ("cloud-provider-gce-lb-src-cidrs", "hostname-override")
"""Flags whose default is not always the same."""


def test_only_one_versions_facts_are_shipped(programs: Callable[[int], Path]) -> None:
    for number in NUMBERS:
        assert programs(number).stat().st_size < 256 * 1024
