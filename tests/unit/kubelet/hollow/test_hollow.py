"""The hollow kubelet, run as the process it is on a node: real TLS, real inotify, free ports.

What is expected here was seen on hyperkube v1.7.5+coreos.1 with the same flags, run on a fake
Docker (``--docker-endpoint=fake://``) in namespaces of its own.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import datetime
import importlib.util
import ipaddress
import json
import os
import random
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kubecluster.kubelet.hollow import render_hollow
from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.version import KubeVersion

VERSION = KubeVersion.parse("v1.7.5+coreos.1")
SECONDS = 20
T = TypeVar("T")


def eventually(what: str, condition: Callable[[], T | None], seconds: float = SECONDS) -> T:
    """Return the condition's value as soon as it has one."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s for {what}")


def free_port() -> int:
    """A port that no outgoing connection can take before the kubelet does."""
    while True:
        port = random.randrange(15000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("opt") / "hyperkube"
    path.write_bytes(render_hollow(VERSION))
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session")
def module(program: Path) -> ModuleType:
    """The program's functions, for what is too much for processes."""
    loader = SourceFileLoader("hollow_program", str(program))
    spec = importlib.util.spec_from_loader("hollow_program", loader)
    assert spec
    loaded = importlib.util.module_from_spec(spec)
    loader.exec_module(loaded)
    return loaded


def run(program: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(program), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


# ---------------------------------------------------------------------------------- certificates


class Pair(NamedTuple):
    crt: Path
    key: Path

    def data(self) -> tuple[str, str]:
        certificate, key = (base64.b64encode(path.read_bytes()).decode() for path in self)
        return certificate, key


@dataclass
class Authority:
    """A CA that writes its certificates to a folder."""

    folder: Path
    name: str
    now: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = self._subject(self.name)
        self.pair = self._write(self.name, self.key, self.subject, ca=True)

    def issue(
        self,
        name: str,
        common_name: str = "kubelet",
        usages: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.CLIENT_AUTH,),
        ends: int = 1,
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        return self._write(name, key, self._subject(common_name), usages=usages, ends=ends)

    @staticmethod
    def _subject(common_name: str) -> x509.Name:
        organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters")
        names = [organization]
        if common_name:
            names.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
        return x509.Name(names)

    def _write(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        subject: x509.Name,
        ca: bool = False,
        usages: Sequence[x509.ObjectIdentifier] = (),
        ends: int = 1,
    ) -> Pair:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - datetime.timedelta(days=2))
            .not_valid_after(self.now + datetime.timedelta(days=ends))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
        )
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        pair = Pair(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        certificate = builder.sign(self.key, hashes.SHA256())
        pair.crt.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        return pair


@dataclass(frozen=True)
class Pki:
    folder: Path
    ca: Pair
    client: Pair
    foreign: Pair
    server_only: Pair
    expired: Pair
    nameless: Pair
    serving: Pair


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    folder = tmp_path_factory.mktemp("pki")
    ours, theirs = Authority(folder, "kube-ca"), Authority(folder, "other-ca")
    server = (ExtendedKeyUsageOID.SERVER_AUTH,)
    return Pki(
        folder=folder,
        ca=ours.pair,
        client=ours.issue("client"),
        foreign=theirs.issue("foreign"),
        server_only=ours.issue("server-only", usages=server),
        expired=ours.issue("expired", ends=-1),
        nameless=ours.issue("nameless", common_name=""),
        serving=ours.issue("serving", usages=server),
    )


def kubeconfig(pki: Pki, server: str = "https://127.0.0.1:1", **user: str) -> str:
    """The seed's kubeconfig: a single context without a name, and no current-context."""
    certificate, key = pki.client.data()
    credentials = {"client-certificate-data": certificate, "client-key-data": key, **user}
    lines = "".join(f"    {name}: {value}\n" for name, value in credentials.items() if value)
    return (
        "apiVersion: v1\nkind: Config\n"
        "clusters:\n- name: vagrant\n  cluster:\n"
        f"    server: {server}\n    certificate-authority-data: {Pair(*pki.ca).data()[0]}\n"
        f"users:\n- name: kubelet\n  user:\n{lines}"
        "contexts:\n- context:\n    cluster: vagrant\n    user: kubelet\n"
    )


# -------------------------------------------------------------------------------- running kubelet


class Kubelet:
    """A kubelet of its own: ports, folders and log."""

    def __init__(self, program: Path, folder: Path, serving: Pair, *flags: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.read_only, self.healthz = (free_port() for _ in range(3))
        self.log_file = folder / "log"
        self.command = [
            sys.executable,
            str(program),
            "kubelet",
            "--address=127.0.0.1",
            f"--port={self.port}",
            f"--read-only-port={self.read_only}",
            f"--healthz-port={self.healthz}",
            "--cadvisor-port=0",
            "--hostname-override=node1",
            f"--root-dir={folder / 'root'}",
            f"--tls-cert-file={serving.crt}",
            f"--tls-private-key-file={serving.key}",
            *flags,
        ]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def wait_logged(self, pattern: str) -> re.Match[str]:
        try:
            return eventually(
                f"{pattern!r} in the log", lambda: re.search(pattern, self.log, re.MULTILINE)
            )
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.log}") from None

    def wait_healthy(self) -> Kubelet:
        def healthy() -> bool:
            assert self.process.poll() is None, f"it ended:\n{self.log}"
            try:
                return self.plain("/healthz", self.healthz) == (200, "ok")
            except OSError:
                return False

        eventually("healthz", healthy)
        return self

    def wait_ended(self) -> int:
        try:
            return self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end:\n{self.log}") from None

    def plain(self, path: str, port: int | None = None) -> tuple[int, str]:
        return ask(HTTPConnection("127.0.0.1", port or self.read_only, timeout=SECONDS), path)

    def get(
        self, path: str, pair: Pair | None = None, method: str = "GET", **headers: str
    ) -> tuple[int, str]:
        connection = HTTPSConnection(
            "127.0.0.1", self.port, timeout=SECONDS, context=client_context(pair)
        )
        return ask(connection, path, method, headers)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def client_context(pair: Pair | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if pair:
        context.load_cert_chain(*pair)
    return context


def ask(
    connection: HTTPConnection,
    path: str,
    method: str = "GET",
    headers: dict[str, str] | None = None,
) -> tuple[int, str]:
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


Start = Callable[..., Kubelet]


@pytest.fixture
def start(program: Path, pki: Pki, tmp_path: Path) -> Iterator[Start]:
    """Starts kubelets, and ends them after the test."""
    started: list[Kubelet] = []

    def start_one(*flags: str, folder: str = "kubelet", serving: Pair | None = None) -> Kubelet:
        kubelet = Kubelet(program, tmp_path / folder, serving or pki.serving, *flags)
        started.append(kubelet)
        return kubelet

    yield start_one
    for kubelet in started:
        kubelet.stop()


SEED_FLAGS = (
    "--anonymous-auth=false",
    "--require-kubeconfig",
    "--cni-conf-dir=/nonexist/cni/net.d",
    "--network-plugin=cni",
    "--exit-on-lock-contention",
    "--allow-privileged",
    "--node-labels=node-role.kubernetes.io/master",
    "--register-with-taints=node-role.kubernetes.io/master=:NoSchedule",
    "--cluster_dns=10.3.0.10",
    "--cluster_domain=cluster.local",
)


@pytest.fixture(scope="module")
def seed(program: Path, pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubelet]:
    """A kubelet with the seed's flags that lives as long as the tests that only look at it."""
    folder = tmp_path_factory.mktemp("seed")
    (folder / "manifests").mkdir()
    (folder / "kubeconfig").write_text(kubeconfig(pki))
    kubelet = Kubelet(
        program,
        folder,
        pki.serving,
        f"--kubeconfig={folder / 'kubeconfig'}",
        f"--client-ca-file={pki.ca.crt}",
        f"--lock-file={folder / 'kubelet.lock'}",
        f"--pod-manifest-path={folder / 'manifests'}",
        *SEED_FLAGS,
    )
    try:
        yield kubelet.wait_healthy()
    finally:
        kubelet.stop()


# --------------------------------------------------------------------------------- what is shipped


def test_facts_are_rendered_into_one_line(program: Path) -> None:
    lines = [line for line in program.read_text().splitlines() if line.startswith("FACTS")]
    assert len(lines) == 1
    assert "v1.7.5+coreos.1" in lines[0]


def test_runs_on_old_pythons(program: Path) -> None:
    ast.parse(program.read_text(), feature_version=(3, 7))


def test_imports_the_standard_library_only(program: Path) -> None:
    imported = {
        str(node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
        for node in ast.walk(ast.parse(program.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert imported <= sys.stdlib_module_names


# ----------------------------------------------------------------------------------- command line


@pytest.mark.parametrize(
    "words", [["--version"], ["kubelet", "--version"], ["kubelet", "word", "--version"]]
)
def test_version_says_hollow(program: Path, words: list[str]) -> None:
    done = run(program, *words)
    assert (done.returncode, done.stdout) == (0, "Kubernetes v1.7.5+coreos.1+hollow\n")


def test_raw_version(program: Path) -> None:
    done = run(program, "kubelet", "--version=raw")
    assert done.returncode == 0
    assert done.stdout.startswith(
        'version.Info{Major:"1", Minor:"7+", GitVersion:"v1.7.5+coreos.1+hollow", GitCommit:""'
    )


def test_is_a_kubelet_when_called_so(program: Path, tmp_path: Path) -> None:
    link = tmp_path / "kubelet"
    link.symlink_to(program)
    assert run(link, "--version").stdout == "Kubernetes v1.7.5+coreos.1+hollow\n"
    assert run(link, "--nope").stderr.startswith("Error: unknown flag: --nope\n")


def test_help(program: Path) -> None:
    done = run(program, "kubelet", "--help")
    assert done.returncode == 0
    assert re.search(r"^      --cadvisor-port int32 +\(default 4194\)$", done.stderr, re.MULTILINE)
    assert re.search(r"^  -v, --v Level$", done.stderr, re.MULTILINE)
    assert "--api-servers" not in done.stderr, "help hides what is deprecated"
    assert "--experimental-dockershim" not in done.stderr


def test_help_of_hyperkube(program: Path) -> None:
    done = run(program, "--help")
    assert done.returncode == 0
    assert "hyperkube <server> [flags]" in done.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "no server specified"),
        (["nope"], "Server not found: nope"),
        (["--address=1.2.3.4", "kubelet"], "unknown flag: --address"),
        (
            ["--v=x", "kubelet"],
            'invalid argument "x" for --v=x: strconv.Atoi: parsing "x": invalid syntax',
        ),
    ],
)
def test_hyperkube_refuses(program: Path, words: list[str], problem: str) -> None:
    done = run(program, *words)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {problem}\n")
    assert done.stderr.endswith(f"Error: {problem}\n")


REFUSED = [
    ("--no-such-flag", "unknown flag: --no-such-flag"),
    ("--no_such=1", "unknown flag: --no_such"),
    ("--fail-swap-on=false", "unknown flag: --fail-swap-on"),
    ("---x", "bad flag syntax: ---x"),
    ("-x", "unknown shorthand flag: 'x' in -x"),
    ("--node-ip", "flag needs an argument: --node-ip"),
    ("-v", "flag needs an argument: 'v' in -v"),
    ("-vx", 'invalid argument "x" for vx: strconv.Atoi: parsing "x": invalid syntax'),
    (
        "--allow-privileged=no",
        'invalid argument "no" for --allow-privileged=no: '
        'strconv.ParseBool: parsing "no": invalid syntax',
    ),
    ("--port=1.5", 'invalid argument "1.5" for --port=1.5: strconv.ParseInt: parsing "1.5": invalid syntax'),
    (
        "--port=5000000000",
        'invalid argument "5000000000" for --port=5000000000: '
        'strconv.ParseInt: parsing "5000000000": value out of range',
    ),
    ("--sync-frequency=5", 'invalid argument "5" for --sync-frequency=5: time: missing unit in duration 5'),
    ("--sync-frequency=5x", 'invalid argument "5x" for --sync-frequency=5x: time: unknown unit x in duration 5x'),
    ("--sync-frequency=", 'invalid argument "" for --sync-frequency=: time: invalid duration '),
    ("--chaos-chance=x", 'invalid argument "x" for --chaos-chance=x: strconv.ParseFloat: parsing "x": invalid syntax'),
    ("--address=1.2.3", 'invalid argument "1.2.3" for --address=1.2.3: "1.2.3" is not a valid IP address'),
    ('--cluster-dns=a"b', 'invalid argument "a\\"b" for --cluster-dns=a"b: line 1, column 1: bare " in non-quoted-field'),
    ("--register-with-taints=bad", 'invalid argument "bad" for --register-with-taints=bad: invalid taint spec: bad'),
    (
        "--register-with-taints=a:NoSchedule",
        'invalid argument "a:NoSchedule" for --register-with-taints=a:NoSchedule: '
        "invalid taint spec: a:NoSchedule",
    ),
    (
        "--register-with-taints=a=:Foo",
        'invalid argument "a=:Foo" for --register-with-taints=a=:Foo: '
        "invalid taint spec: a=:Foo, unsupported taint effect",
    ),
    ("--version=x", 'invalid argument "x" for --version=x: strconv.ParseBool: parsing "x": invalid syntax'),
    ("--stderrthreshold=X", 'invalid argument "X" for --stderrthreshold=X: strconv.Atoi: parsing "X": invalid syntax'),
    ("--vmodule=a", 'invalid argument "a" for --vmodule=a: syntax error: expect comma-separated list of filename=N'),
    ("--log-backtrace-at=a", 'invalid argument "a" for --log-backtrace-at=a: syntax error: expect file.go:234'),
    (
        "--cloud-provider-gce-lb-src-cidrs=1.2.3.4/40",
        'invalid argument "1.2.3.4/40" for --cloud-provider-gce-lb-src-cidrs=1.2.3.4/40: '
        "invalid CIDR address: 1.2.3.4/40",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("word", "problem"), REFUSED, ids=[word for word, _ in REFUSED])
def test_kubelet_refuses(module: ModuleType, word: str, problem: str) -> None:
    with pytest.raises(module.Failure) as refusal:
        module.FlagSet().parse(["--v=2", word])
    assert str(refusal.value) == problem


def test_a_refusal_is_printed_twice_with_the_usage_between(program: Path) -> None:
    done = run(program, "kubelet", "--no-such-flag")
    assert (done.returncode, done.stdout) == (1, "")
    first, usage, last = done.stderr.partition("\n\n")[0], done.stderr, done.stderr.splitlines()[-1]
    assert first == last == "Error: unknown flag: --no-such-flag"
    assert "\nAvailable Flags:\n" in usage


def test_a_taint_without_effect_is_a_mistake_in_the_real_kubelet_too(program: Path) -> None:
    done = run(program, "kubelet", "--register-with-taints=a=b")
    assert done.returncode == 2
    assert done.stderr.startswith("panic: runtime error: index out of range")


def test_every_flag_of_the_facts_is_accepted(module: ModuleType) -> None:
    values = {
        "bool": "true", "version": "raw", "ip": "::1", "duration": "1h2m3.5s", "float64": "1e3",
        "[]api.Taint": "a/b=c:NoExecute", "cidrs": "1.2.3.0/24", "moduleSpec": "a=1",
        "traceLocation": "a.go:1", "mapStringString": "a=b,c", "stringSlice": 'a,"b,c"',
    }  # fmt: skip
    words = [
        f"--{name}={values.get(flag.type, '010')}" for name, flag in catalog.flags("1.7").items()
    ]
    flags = module.FlagSet()
    assert flags.parse(words) == []
    assert flags["streaming-connection-idle-timeout"] == 3_723_500_000_000
    assert flags["port"] == 8, "as Go, in base 8"
    assert flags["node-labels"] == {"a": "b", "c": ""}
    assert flags["cluster-dns"] == ["a", "b,c"]
    assert flags["register-with-taints"] == [
        {"key": "a/b", "value": "c", "effect": "NoExecute", "timeAdded": None}
    ]


def test_pflags_rules(module: ModuleType) -> None:
    flags = module.FlagSet()
    rest = flags.parse(
        ["x", "--node_ip", "1.1.1.1", "--allow-privileged", "false", "--node-ip=2.2.2.2",
         "--cluster-dns=a,b", "--cluster-dns", "c", "--node-labels=a=1", "--node-labels=b=2,a=3",
         "--register-with-taints=a=:NoSchedule", "--register-with-taints=b=:NoExecute",
         "--host-pid-sources=file", "-v", "3", "-", "--", "--nope"]
    )  # fmt: skip
    assert rest == ["x", "false", "-", "--nope"]
    assert flags["node-ip"] == "2.2.2.2"
    assert flags["allow-privileged"] is True
    assert flags["cluster-dns"] == ["a", "b", "c"]
    assert flags["node-labels"] == {"a": "3", "b": "2"}
    assert [taint["key"] for taint in flags["register-with-taints"]] == ["b"]
    assert flags["host-pid-sources"] == ["file"], "the first one given replaces the default"
    assert flags["v"] == 3


def test_deprecated_flags_warn_and_go_on(program: Path) -> None:
    done = run(program, "kubelet", "--register-schedulable=true", "--version")
    assert done.returncode == 0
    assert done.stderr == (
        "Flag --register-schedulable has been deprecated, will be removed in a future version\n"
    )


@given(st.integers(-(2**62), 2**62))
def test_durations_survive(module: ModuleType, nanoseconds: int) -> None:
    text = module.format_duration(nanoseconds // 1000 * 1000)
    assert abs(module.parse_duration(text) - nanoseconds) <= 1000


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (60 * 10**9, "1m0s"),
        (14400 * 10**9, "4h0m0s"),
        (1_500_000, "1.5ms"),
        (-2_030_000_000, "-2.03s"),
    ],
)
def test_durations_are_written_as_go_writes_them(
    module: ModuleType, nanoseconds: int, text: str
) -> None:
    assert module.format_duration(nanoseconds) == text


# ------------------------------------------------------------------------------------------ YAML

# go-yaml has y and n for booleans and 1e1 for a number, PyYAML has not.
PLAIN = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=12
).filter(lambda text: not re.match(r"[-+.0-9]|[yYnN]$", text))
DOCUMENTS = st.recursive(
    PLAIN | st.booleans() | st.none() | st.integers(-999, 999),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(PLAIN, DOCUMENTS, max_size=4), st.booleans())
@settings(max_examples=100)
def test_yaml_is_read_as_it_was_written(module: ModuleType, document: Any, flow: bool) -> None:
    text = yaml.safe_dump(document, default_flow_style=flow, width=10**6, allow_unicode=True)
    if "? " in text or "!!" in text:
        return  # complex keys are beyond what this program reads
    assert module.load_yaml(text.encode()) == document


@given(DOCUMENTS)
@settings(max_examples=50)
def test_json_is_yaml(module: ModuleType, document: Any) -> None:
    text = json.dumps({"a": document}, indent=2, ensure_ascii=False)
    assert module.Yaml(text).document() == {"a": document}


def test_yaml_as_people_write_it(module: ModuleType) -> None:
    text = """\
---
# a comment
"kind": 'Config'   # another
url: https://example.org:443/#fragment
nested:
- name: a # comment
  list: [a, "b # c", {d: 'it''s'}]
-   - deep
    - 0x10
  # less indented
empty:
multi: [
  1, 2.5,
  true ]
text: |
  one
    two # no comment

  three
folded: >-
  one
  two
last: ~
---
ignored: true
"""
    expected = yaml.safe_load(text.partition("---\nignored")[0])
    assert module.load_yaml(text.encode()) == expected
    assert expected["nested"][0]["list"][2] == {"d": "it's"}


@pytest.mark.parametrize(
    "text",
    ["a: &x 1", "a: *x", "a: !!str 1", "{{{", "a: b: c", "a:\n\tb: c", "a: 'x", "a: [1", "a: b\n  c: d",
     "- a\nb: c", "a: 1\n b: 2", "<<: {a: 1}", "%YAML 1.1\n---\na: 1", "a: |x\n  b", "a: {b: 1"],
)  # fmt: skip
def test_yaml_that_it_does_not_know_is_refused(module: ModuleType, text: str) -> None:
    with pytest.raises(module.YamlError, match=r"^yaml: line \d: "):
        module.load_yaml(text.encode())


# -------------------------------------------------------------------------------------- kubeconfig


def start_error(program: Path, *flags: str) -> tuple[int, list[str]]:
    """Exit status and log of a kubelet that does not come up, without times and places."""
    done = run(program, "kubelet", "--healthz-port=0", "--cadvisor-port=0", *flags)
    return done.returncode, [
        re.sub(r"^[IWEF]\d{4} \S+ +\d+ \S+ ", "", line) for line in done.stderr.splitlines()
    ]


NO_CONFIGURATION = "invalid configuration: no configuration has been provided"
KUBECONFIGS = {
    "": NO_CONFIGURATION,
    "kind: Config\napiVersion: v1": NO_CONFIGURATION,
    "hello": 'Error loading config file "PATH": couldn\'t get version/kind; json parse error: json: cannot unmarshal string into Go value of type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }',
    "kind: Pod\napiVersion: v1": 'Error loading config file "PATH": no kind "Pod" is registered for version "v1"',
    "kind: Config\napiVersion: v2": 'Error loading config file "PATH": no kind "Config" is registered for version "v2"',
    "contexts: [{name: foo, context: {cluster: a}}]\nclusters: [{name: a, cluster: {server: 'https://x'}}]": NO_CONFIGURATION,
    "current-context: bar": "invalid configuration: [context was not found for specified context: bar, cluster has no server defined]",
    "clusters: [{name: a, cluster: {}}]\ncontexts: [{context: {cluster: a}}]": 'invalid configuration: no server found for cluster "a"',
    "clusters: [{cluster: {insecure-skip-tls-verify: true}}]": "invalid configuration: default cluster has no server defined",
    "clusters: [{cluster: {server: 'https://x', certificate-authority: /nonexist/ca}}]": "invalid configuration: unable to read certificate-authority /nonexist/ca for  due to open /nonexist/ca: no such file or directory",
    "clusters: [{cluster: {server: 'https://x'}}]\nusers: [{name: '', user: {client-certificate: c.crt}}]": "invalid configuration: [client-key-data or client-key must be specified for  to use the clientCert authentication method., unable to read client-cert FOLDER/c.crt for  due to open FOLDER/c.crt: no such file or directory]",
    "clusters: [{cluster: {server: 'https://x'}}]\nusers: [{name: '', user: {token: a, username: b}}]": "invalid configuration: more than one authentication method found for ; found [token basicAuth], only one is allowed",
}  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), KUBECONFIGS.items(), ids=range(len(KUBECONFIGS)))
def test_kubeconfigs_that_are_refused(
    module: ModuleType, tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(module.Failure) as refusal:
        module.client_config(str(path))
    assert str(refusal.value) == problem.replace("PATH", str(path)).replace("FOLDER", str(tmp_path))


def test_kubeconfig_of_the_seed(module: ModuleType, pki: Pki, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig(pki, "https://master03:443"))
    config = module.client_config(str(path))
    assert config.server == "https://master03:443"
    assert (config.ca, config.certificate) == (pki.ca.crt.read_bytes(), pki.client.crt.read_bytes())


def test_credentials_are_not_sent_in_the_clear(
    module: ModuleType, pki: Pki, tmp_path: Path
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig(pki, "http://master03:8080", token="secret"))
    assert module.client_config(str(path)) == module.ClientConfig("http://master03:8080")


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--require-kubeconfig", "--kubeconfig=/nonexist"], "invalid kubeconfig: stat /nonexist: no such file or directory"),
        (["--require-kubeconfig", "--kubeconfig="], f"invalid kubeconfig: {NO_CONFIGURATION}"),
        (["--client-ca-file=/nonexist"], "unable to load client CA file /nonexist: open /nonexist: no such file or directory"),
        (["--client-ca-file=/dev/null"], "unable to load client CA file /dev/null: error reading /dev/null: could not read any certificates"),
        (["--anonymous-auth=false"], "No authentication method configured"),
        (["--authorization-mode=Webhook"], "no client provided, cannot use webhook authorization"),
        (["--authentication-token-webhook"], "no client provided, cannot use webhook authentication"),
        (["--authorization-mode=Foo"], "Unknown authorization mode Foo"),
        (["--exit-on-lock-contention"], "cannot exit on lock file contention: no lock file specified"),
        (["--feature-gates=Foo=true"], "unrecognized key: Foo"),
        (["--feature-gates=AppArmor"], "missing bool value for AppArmor"),
        (["--cgroups-per-qos=false"], "Node Allocatable enforcement is not supported unless Cgroups Per QOS feature is turned on"),
        (["--cloud-provider=foo"], 'unknown cloud provider "foo"'),
        (["--kube-reserved=cpu=x"], "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
        (["--kube-reserved=foo=1"], 'cannot reserve "foo" resource'),
        (["--eviction-hard=foo"], "invalid eviction threshold syntax foo, expected <signal><operator><value>"),
        (["--eviction-hard=memory.available<0"], "eviction threshold memory.available must be positive: 0"),
        (["--eviction-soft=memory.available<1Gi"], "failed to create kubelet: grace period must be specified for the soft eviction threshold memory.available"),
        (["--root-dir="], 'failed to create kubelet: invalid root directory ""'),
        (["--network-plugin=foo"], 'failed to create kubelet: Network plugin "foo" not found.'),
        (["--iptables-drop-bit=14"], "failed to create kubelet: iptables-masquerade-bit and iptables-drop-bit must be different"),
        (["--image-gc-high-threshold=70"], "failed to create kubelet: failed to initialize image manager: LowThresholdPercent 80 can not be higher than HighThresholdPercent 70"),
        (["--bootstrap-kubeconfig=/nonexist", "--kubeconfig=/nonexist"], "unable to load bootstrap kubeconfig: stat /nonexist: no such file or directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_kubelet_does_not_come_up(
    module: ModuleType, pki: Pki, tmp_path: Path, flags: list[str], problem: str
) -> None:
    parsed = module.FlagSet()
    certificates = [
        f"--tls-cert-file={pki.serving.crt}",
        f"--tls-private-key-file={pki.serving.key}",
    ]
    parsed.parse(["--cadvisor-port=0", f"--root-dir={tmp_path}", *certificates, *flags])
    with pytest.raises(module.Failure) as refusal:
        module.Kubelet(parsed, module.Configuration()).run()
    assert str(refusal.value) == problem


def test_an_error_at_the_start_is_printed_twice(program: Path) -> None:
    status, lines = start_error(program, "--require-kubeconfig", "--kubeconfig=/nonexist")
    problem = "invalid kubeconfig: stat /nonexist: no such file or directory"
    assert status == 1
    assert lines[-2:] == [f"Error: failed to run Kubelet: {problem}"] * 2


@pytest.mark.parametrize(
    ("user", "problem"),
    [
        ("foreign", "tls: private key does not match public key"),
        ("rubbish", "tls: failed to find any PEM data in key input"),
    ],
)
def test_unusable_credentials_make_it_crash_as_the_real_one(
    program: Path, pki: Pki, tmp_path: Path, user: str, problem: str
) -> None:
    key = pki.foreign.data()[1] if user == "foreign" else base64.b64encode(b"rubbish").decode()
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig(pki, **{"client-key-data": key}))
    status, lines = start_error(
        program,
        "--require-kubeconfig",
        f"--kubeconfig={path}",
        f"--tls-cert-file={pki.serving.crt}",
        f"--tls-private-key-file={pki.serving.key}",
    )
    assert status == 2
    assert lines.count(f"New kubeClient from clientConfig error: {problem}") == 2
    assert "panic: runtime error: invalid memory address or nil pointer dereference" in lines
    assert not any(secret in "".join(lines) for secret in (key, pki.client.data()[1]))


@pytest.mark.parametrize(
    ("certificate", "problem"),
    [
        ("/nonexist", "open /nonexist: no such file or directory"),
        ("foreign.crt", "tls: private key does not match public key"),
        ("/dev/null", "tls: failed to find any PEM data in certificate input"),
        ("foreign.key", "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched"),
    ],
)  # fmt: skip
def test_a_bad_serving_certificate_is_fatal(
    start: Start, pki: Pki, certificate: str, problem: str
) -> None:
    kubelet = start(serving=Pair(pki.folder / certificate, pki.serving.key))
    assert kubelet.wait_ended() == 255
    assert re.search(rf"^F\d{{4}} .* server\.go:144\] {re.escape(problem)}$", kubelet.log, re.M)


def test_standalone_ignores_the_kubeconfig(start: Start) -> None:
    kubelet = start("--kubeconfig=/nonexist").wait_healthy()
    assert "No API client: no api servers specified" in kubelet.log


# -------------------------------------------------------------------------------------------- lock


def contended(start: Start, lock: Path, folder: str) -> Kubelet:
    return start(f"--lock-file={lock}", "--exit-on-lock-contention", folder=folder)


def test_a_second_kubelet_takes_the_lock_over(start: Start, tmp_path: Path) -> None:
    lock = tmp_path / "kubelet.lock"
    first = contended(start, lock, "first").wait_healthy()
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    second = contended(start, lock, "second")
    assert first.wait_ended() == 0
    first.wait_logged(
        rf"^I\d{{4}} \d\d:\d\d:\d\d\.\d{{6}} +\d+ server_linux\.go:37\] "
        rf'inotify event: "{lock}": 0x20 == IN_OPEN$'
    )
    second.wait_healthy()


def test_reading_the_lock_file_ends_the_kubelet(start: Start, tmp_path: Path) -> None:
    lock = tmp_path / "kubelet.lock"
    kubelet = contended(start, lock, "kubelet").wait_healthy()
    lock.read_bytes()
    assert kubelet.wait_ended() == 0


def test_looking_at_the_lock_file_does_not(seed: Kubelet) -> None:
    lock = Path(next(word for word in seed.command if "lock-file" in word).partition("=")[2])
    inode = lock.stat().st_ino
    assert re.search(rf"FLOCK .* \d+ \S+:{inode} ", Path("/proc/locks").read_text())
    assert seed.plain("/healthz", seed.healthz) == (200, "ok")


def test_without_exit_on_contention_the_second_waits(start: Start, tmp_path: Path) -> None:
    lock = tmp_path / "kubelet.lock"
    first = start(f"--lock-file={lock}", folder="first").wait_healthy()
    second = start(f"--lock-file={lock}", folder="second")
    second.wait_logged(r"acquiring file lock on ")
    wchan = Path(f"/proc/{second.process.pid}/stack")
    eventually(
        "the second to wait",
        lambda: second.process.pid in waiting_for_locks() or not wchan.exists(),
    )
    assert first.process.poll() is None
    assert "watching for inotify" not in first.log
    first.stop()
    second.wait_healthy()


def waiting_for_locks() -> set[int]:
    return {
        int(pid)
        for pid in re.findall(r"-> FLOCK +\S+ +\S+ (\d+) ", Path("/proc/locks").read_text())
    }


def test_the_lock_comes_before_everything_else(program: Path) -> None:
    status, lines = start_error(program, "--lock-file=/nonexist/lock", "--feature-gates=Foo=true")
    problem = 'unable to acquire file lock on "/nonexist/lock": no such file or directory'
    assert (status, lines) == (
        1,
        [
            'acquiring file lock on "/nonexist/lock"',
            *[f"Error: failed to run Kubelet: {problem}"] * 2,
        ],
    )


# ------------------------------------------------------------------------------------------- ports


def test_who_may_use_the_port(seed: Kubelet, pki: Pki) -> None:
    assert seed.get("/healthz", pki.client) == (200, "ok")
    for pair in (None, pki.foreign, pki.server_only, pki.expired, pki.nameless):
        assert seed.get("/healthz", pair) == (401, "Unauthorized"), pair
    reasons = re.findall(r"server\.go:236\] .*error: x509: (.*)", seed.log)
    assert reasons[:3] == [
        "certificate signed by unknown authority",
        "certificate specifies an incompatible key usage",
        "certificate has expired or is not yet valid",
    ]


def test_a_resumed_session_is_checked_again(seed: Kubelet, pki: Pki) -> None:
    context = client_context(pki.foreign)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session = None
    for _ in range(2):
        plain = socket.create_connection(("127.0.0.1", seed.port), SECONDS)
        with context.wrap_socket(plain, session=session) as encrypted:
            encrypted.sendall(b"GET /pods HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert encrypted.recv(12) == b"HTTP/1.1 401"
            assert not encrypted.session_reused
            session = encrypted.session


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/healthz", 200, "ok"),
        ("/healthz?verbose", 200, "[+]ping ok\n[+]syncloop ok\nhealthz check passed\n"),
        ("/healthz/syncloop", 200, "ok"),
        ("/healthz/nope", 404, "404 page not found\n"),
        ("/pods", 200, '{"kind":"PodList","apiVersion":"v1","metadata":{},"items":null}\n'),
        ("/pods/x", 404, "404: Page Not Found"),
        ("/runningpods/", 200, '{"kind":"PodList","apiVersion":"v1","metadata":{},"items":null}\n'),
        ("/runningpods", 301, '<a href="/runningpods/">Moved Permanently</a>.\n\n'),
        ("/containerLogs/a/b/c", 404, 'pod "b" does not exist\n'),
        ("/stats/summary", 500, "Internal Error: failed GetNode: node 'node1' not found"),
        ("/logs/nosuch", 404, "404 page not found\n"),
        ("/logs/..%2f..%2fetc/passwd", 404, "404 page not found\n"),
        ("/", 404, "404 page not found\n"),
    ],
)
def test_pages(seed: Kubelet, pki: Pki, path: str, status: int, body: str) -> None:
    assert seed.get(path, pki.client) == (status, body)


def test_what_is_no_page_is_not_found_before_anybody_is_refused(seed: Kubelet) -> None:
    assert seed.get("/nosuch")[0] == 404
    assert seed.get("/configz")[0] == 401


def test_methods(seed: Kubelet, pki: Pki) -> None:
    assert seed.get("/pods", pki.client, "POST") == (405, "405: Method Not Allowed")
    assert seed.get("/healthz", pki.client, "PUT") == (200, "ok")
    assert seed.get("/healthz", pki.client, "HEAD") == (200, "")


def test_connections_are_kept_alive(seed: Kubelet) -> None:
    connection = HTTPConnection("127.0.0.1", seed.read_only, timeout=SECONDS)
    connection.connect()
    first = connection.sock
    for _ in range(3):
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok"
    assert connection.sock is first
    connection.close()


def test_read_only_port(seed: Kubelet) -> None:
    assert seed.plain("/healthz") == (200, "ok")
    assert json.loads(seed.plain("/pods")[1])["items"] is None
    assert json.loads(seed.plain("/spec/")[1])["num_cores"] == os.cpu_count()
    assert 'gitVersion="v1.7.5+coreos.1+hollow"' in seed.plain("/metrics")[1]
    for path in ("/configz", "/logs/", "/runningpods/", "/run/a/b/c"):
        assert seed.plain(path)[0] == 404, path


def test_healthz_port_has_nothing_else(seed: Kubelet) -> None:
    assert seed.plain("/healthz/ping", seed.healthz) == (200, "ok")
    assert seed.plain("/pods", seed.healthz)[0] == 404


def test_configz_says_what_was_parsed(seed: Kubelet, pki: Pki) -> None:
    status, body = seed.get("/configz", pki.client)
    assert status == 200
    assert list(json.loads(body)) == ["componentconfig"]
    found = json.loads(body)["componentconfig"]
    expected = {
        "anonymous": {"enabled": False},
        "webhook": {"enabled": False, "cacheTTL": "2m0s"},
        "x509": {"clientCAFile": str(pki.ca.crt)},
    }
    assert found.pop("authentication") == expected
    assert found["authorization"]["webhook"]["cacheUnauthorizedTTL"] == "30s"
    assert {
        "allowPrivileged": True,
        "cgroupsPerQOS": True,
        "clusterDNS": ["10.3.0.10"],
        "clusterDomain": "cluster.local",
        "eventRecordQPS": 5,
        "exitOnLockContention": True,
        "hostPIDSources": ["*"],
        "maxOpenFiles": 1000000,
        "nodeLabels": {"node-role.kubernetes.io/master": ""},
        "port": seed.port,
        "registerWithTaints": [
            {"key": "node-role.kubernetes.io/master", "effect": "NoSchedule", "timeAdded": None}
        ],
        "streamingConnectionIdleTimeout": "4h0m0s",
        "kubeReserved": {},
    }.items() <= found.items()
    assert "featureGates" not in found, "left out while empty"
    assert "memory.available\\u003c100Mi" in body, "as Go escapes it"


def test_anonymous_clients(start: Start, pki: Pki) -> None:
    kubelet = start(f"--client-ca-file={pki.ca.crt}").wait_healthy()
    for pair in (None, pki.client, pki.nameless):
        assert kubelet.get("/pods", pair)[0] == 200, pair
    assert kubelet.get("/pods", pki.foreign) == (401, "Unauthorized")
    assert json.loads(kubelet.get("/stats/summary")[1])["node"]["nodeName"] == "node1"


def test_without_client_ca_no_certificate_is_asked_for(start: Start, pki: Pki) -> None:
    kubelet = start("--enable-debugging-handlers=false").wait_healthy()
    assert kubelet.get("/pods", pki.foreign)[0] == 200
    assert kubelet.get("/configz")[0] == kubelet.get("/logs/")[0] == 404


def test_ports_can_be_turned_off(start: Start) -> None:
    kubelet = start("--read-only-port=0", "--enable-server=false").wait_healthy()
    for port in (kubelet.port, kubelet.read_only):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), SECONDS)


def test_listens_on_all_addresses_as_go_does(start: Start) -> None:
    port = free_port()
    kubelet = start("--address=0.0.0.0", f"--cadvisor-port={port}").wait_healthy()
    for address in ["127.0.0.1", "::1"] if socket.has_ipv6 else ["127.0.0.1"]:
        for one in (kubelet.port, kubelet.read_only, port):
            socket.create_connection((address, one), SECONDS).close()
    assert kubelet.plain("/healthz", port) == (200, "ok")
    assert kubelet.plain("/", port)[0] == 307


def test_a_taken_port_is_fatal(start: Start, seed: Kubelet) -> None:
    kubelet = start(f"--port={seed.port}")
    assert kubelet.wait_ended() == 255
    problem = f"listen tcp 127.0.0.1:{seed.port}: bind: address already in use"
    assert re.search(rf"^F\d{{4}} .*server\.go:144\] {problem}$", kubelet.log, re.MULTILINE)


def test_a_taken_healthz_port_is_not(start: Start, seed: Kubelet) -> None:
    kubelet = start(f"--healthz-port={seed.healthz}")
    kubelet.wait_logged(
        rf"^E.*server\.go:612\] Starting health server failed: "
        rf"listen tcp 127\.0\.0\.1:{seed.healthz}: bind: address already in use$"
    )
    assert kubelet.process.poll() is None


def test_signs_its_own_certificate_and_uses_it_again(start: Start, tmp_path: Path) -> None:
    certs = tmp_path / "run" / "kubernetes"
    flags = ("--tls-cert-file=", "--tls-private-key-file=", f"--cert-dir={certs}")
    kubelet = start(*flags).wait_healthy()
    assert kubelet.get("/healthz") == (200, "ok")
    pem = (certs / "kubelet.crt").read_bytes()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in certs.iterdir()}
    assert modes == {"kubelet.crt": 0o644, "kubelet.key": 0o600}
    certificate = x509.load_pem_x509_certificate(pem)
    common_name = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    assert re.fullmatch(r"node1@\d+", str(common_name))
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["node1"]
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert (certificate.serial_number, certificate.version) == (1, x509.Version.v3)
    kubelet.stop()
    start(*flags, folder="again").wait_healthy()
    assert (certs / "kubelet.crt").read_bytes() == pem


def test_half_a_pair_in_the_cert_dir(start: Start, tmp_path: Path) -> None:
    (tmp_path / "kubelet.crt").write_text("")
    kubelet = start("--tls-cert-file=", "--tls-private-key-file=", f"--cert-dir={tmp_path}")
    assert kubelet.wait_ended() == 1
    problem = (
        f"error reading {tmp_path}/kubelet.key, certificate and key must be supplied as a pair"
    )
    assert problem in kubelet.log


# ------------------------------------------------------------------------------------- static pods

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: web   # a comment
  labels: {app: web}
spec:
  containers:
  - name: nginx
    image: "nginx:1.7"
"""


def pod_names(kubelet: Kubelet) -> list[str]:
    items = json.loads(kubelet.plain("/pods")[1])["items"] or []
    return [item["metadata"]["name"] for item in items]


def test_static_pods_are_followed(start: Start, tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "web.yaml").write_text(POD)
    (manifests / ".hidden").write_text(POD)
    kubelet = start(f"--pod-manifest-path={manifests}").wait_healthy()
    eventually("the pod", lambda: pod_names(kubelet) == ["web-node1"])
    pod = json.loads(kubelet.plain("/pods")[1])["items"][0]
    assert pod["metadata"]["namespace"] == "default"
    assert pod["metadata"]["selfLink"] == "/api/v1/namespaces/default/pods/web-node1"
    assert pod["metadata"]["labels"] == {"app": "web"}
    assert pod["metadata"]["annotations"]["kubernetes.io/config.source"] == "file"
    assert len(pod["metadata"]["uid"]) == 32
    assert pod["spec"]["nodeName"] == "node1"
    assert pod["spec"]["restartPolicy"] == "Always"
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    assert pod["status"]["phase"] == "Pending"

    (manifests / "other.json").write_text(json.dumps(yaml.safe_load(POD.replace("web", "db"))))
    eventually("the second pod", lambda: pod_names(kubelet) == ["db-node1", "web-node1"])
    (manifests / "bad.yaml").write_text("kind: Pod\napiVersion: v1\nmetadata: {name: x}\n")
    kubelet.wait_logged(
        r"^E.*file_linux\.go:114\] can't process config file .*invalid pod: "
        r"\[spec\.containers: Required value\]$"
    )
    (manifests / "web.yaml").unlink()
    eventually("the pod to go", lambda: pod_names(kubelet) == ["db-node1"])
    assert json.loads(kubelet.get("/runningpods/")[1])["items"] is None, "hollow"


def test_a_manifest_path_may_come_later(start: Start, tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    kubelet = start(f"--pod-manifest-path={manifests}", "--file-check-frequency=50ms")
    kubelet.wait_logged(rf'unable to read config path "{manifests}": path does not exist, ignoring')
    kubelet.wait_healthy()
    manifests.mkdir()
    (manifests / "web.yaml").write_text(POD)
    eventually("the pod", lambda: pod_names(kubelet) == ["web-node1"])


# -------------------------------------------------------------------------------------- API server


@dataclass
class Asked:
    method: str
    path: str
    user: str
    token: str
    body: Any


class FakeApi:
    """An API server that insists on a client certificate and remembers what it is asked."""

    def __init__(self, pki: Pki) -> None:
        self.asked: list[Asked] = []
        self.node: dict[str, Any] = {}
        self.allowed = True
        api = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                certificate: Any = self.connection.getpeercert()
                user = dict(part for ((part),) in certificate["subject"])["commonName"]
                token = self.headers.get("Authorization", "")
                api.asked.append(Asked(self.command, self.path, user, token, body))
                status, answer = api.answer(self.command, self.path, body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = answer

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pki.serving)
        context.load_verify_locations(pki.ca.crt)
        context.verify_mode = ssl.CERT_REQUIRED
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if path == "/api/v1/nodes":
            if self.node:
                return 409, {"message": 'nodes "node1" already exists', "reason": "AlreadyExists"}
            self.node = body
            return 201, body
        if "subjectaccessreviews" in path:
            return 201, {"status": {"allowed": self.allowed}}
        if "tokenreviews" in path:
            known = body["spec"]["token"] == "good"
            return 201, {"status": {"authenticated": known, "user": {"username": "jane"}}}
        return (200, self.node) if self.node else (404, {"message": 'nodes "node1" not found'})

    def find(self, method: str, path: str) -> Asked | None:
        return next((one for one in self.asked if (one.method, one.path) == (method, path)), None)

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def api(pki: Pki) -> Iterator[FakeApi]:
    server = FakeApi(pki)
    yield server
    server.stop()


@pytest.fixture
def start_with_api(start: Start, pki: Pki, tmp_path: Path) -> Callable[..., Kubelet]:
    def start_one(server: str, *flags: str, **user: str) -> Kubelet:
        (tmp_path / "kubeconfig").write_text(kubeconfig(pki, server, **user))
        return start("--require-kubeconfig", f"--kubeconfig={tmp_path / 'kubeconfig'}", *flags)

    return start_one


def test_registers_its_node(
    start_with_api: Callable[..., Kubelet], api: FakeApi, module: ModuleType
) -> None:
    addresses = (one for one in module.local_addresses() if not one.startswith("127."))
    node_ip = next(addresses, None)
    if node_ip is None:
        pytest.skip("this machine has no address but its loopback's")
    kubelet = start_with_api(
        api.url,
        f"--node-ip={node_ip}",
        "--node-labels=node-role.kubernetes.io/master,zone=a",
        "--register-with-taints=node-role.kubernetes.io/master=:NoSchedule,a=b:NoExecute",
        "--max-pods=50",
        "--kube-reserved=cpu=100m",
        "--node-status-update-frequency=100ms",
    )
    posted = eventually("the Node", lambda: api.find("POST", "/api/v1/nodes"))
    assert posted.user == "kubelet"
    node = posted.body
    assert node["metadata"]["name"] == "node1"
    assert node["metadata"]["labels"] == {
        "beta.kubernetes.io/arch": module.architecture(),
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/hostname": "node1",
        "node-role.kubernetes.io/master": "",
        "zone": "a",
    }
    assert node["metadata"]["annotations"]["alpha.kubernetes.io/provided-node-ip"] == node_ip
    assert [(taint["key"], taint["effect"]) for taint in node["spec"]["taints"]] == [
        ("node-role.kubernetes.io/master", "NoSchedule"),
        ("a", "NoExecute"),
    ]
    assert "unschedulable" not in node["spec"]
    status = node["status"]
    assert {"type": "InternalIP", "address": node_ip} in status["addresses"]
    assert status["nodeInfo"]["kubeletVersion"] == "v1.7.5+coreos.1+hollow"
    assert status["capacity"]["pods"] == "50"
    assert status["allocatable"]["cpu"] == f"{(os.cpu_count() or 1) * 1000 - 100}m"
    assert status["conditions"][-1]["type"] == "Ready"
    assert status["conditions"][-1]["status"] == "True"
    patched = eventually("a status", lambda: api.find("PATCH", "/api/v1/nodes/node1/status"))
    assert patched.body["status"]["conditions"][-1]["status"] == "True"
    eventually("more of them", lambda: sum(one.method == "PATCH" for one in api.asked) > 2)
    assert kubelet.log.count("Successfully registered node node1") == 1


def test_a_node_that_is_there_already_is_taken_over(
    start_with_api: Callable[..., Kubelet], api: FakeApi
) -> None:
    api.node = {"spec": {"externalID": "node1"}, "status": {}}
    kubelet = start_with_api(api.url, "--network-plugin=cni", "--cni-conf-dir=/nonexist")
    kubelet.wait_logged(r"Node node1 was previously registered$")
    patched = eventually("a status", lambda: api.find("PATCH", "/api/v1/nodes/node1/status"))
    ready = patched.body["status"]["conditions"][-1]
    assert ready["status"] == "False"
    assert ready["message"].endswith("network plugin is not ready: cni config uninitialized")


def test_an_api_server_that_is_away(start_with_api: Callable[..., Kubelet]) -> None:
    port = free_port()
    kubelet = start_with_api(f"https://127.0.0.1:{port}").wait_healthy()
    problem = (
        rf'Unable to register node "node1" with API server: Post https://127\.0\.0\.1:{port}'
        rf"/api/v1/nodes: dial tcp 127\.0\.0\.1:{port}: getsockopt: connection refused$"
    )
    eventually("a second attempt", lambda: len(re.findall(problem, kubelet.log, re.M)) > 1)
    assert kubelet.process.poll() is None


def test_an_api_server_of_somebody_else(
    start_with_api: Callable[..., Kubelet], api: FakeApi, pki: Pki
) -> None:
    foreign = {
        "client-certificate-data": pki.foreign.data()[0],
        "client-key-data": pki.foreign.data()[1],
    }
    kubelet = start_with_api(api.url, **foreign)
    kubelet.wait_logged(
        r"Unable to register node .*(unknown certificate authority|unknown ca|EOF)$"
    )
    assert api.asked == []


def test_webhooks(start_with_api: Callable[..., Kubelet], api: FakeApi, pki: Pki) -> None:
    kubelet = start_with_api(
        api.url,
        "--authorization-mode=Webhook",
        "--authentication-token-webhook",
        "--anonymous-auth=false",
        f"--client-ca-file={pki.ca.crt}",
    ).wait_healthy()
    assert kubelet.get("/pods", pki.client)[0] == 200
    assert kubelet.get("/pods", Authorization="Bearer good")[0] == 200
    assert kubelet.get("/pods", Authorization="Bearer bad") == (401, "Unauthorized")
    assert kubelet.get("/pods") == (401, "Unauthorized")
    api.allowed = False
    words = "verb=create, resource=nodes, subresource=log"
    assert kubelet.get("/logs/", Authorization="Bearer good", method="POST") == (
        403,
        f"Forbidden (user=jane, {words})",
    )
    reviews = [one.body["spec"] for one in api.asked if "subjectaccess" in one.path]
    assert reviews[0]["user"] == "kubelet"
    assert reviews[0]["group"] == ["system:masters"]
    assert reviews[0]["resourceAttributes"] == {
        "verb": "get", "resource": "nodes", "subresource": "proxy", "version": "v1", "name": "node1",
    }  # fmt: skip
    assert "Bearer" not in kubelet.log
    assert "good" not in kubelet.log


def test_a_webhook_that_cannot_be_asked(start_with_api: Callable[..., Kubelet]) -> None:
    kubelet = start_with_api(f"https://127.0.0.1:{free_port()}", "--authorization-mode=Webhook")
    kubelet.wait_healthy()
    words = "user=system:anonymous, verb=get, resource=nodes, subresource=proxy"
    assert kubelet.get("/pods") == (500, f"Authorization error ({words})")


@pytest.mark.parametrize(
    ("node_ip", "problem"),
    [
        ("192.0.2.4", 'Node IP: "192.0.2.4" not found in the host\'s network interfaces'),
        ("127.0.0.1", "nodeIP can't be loopback address"),
        ("2001:db8::1", "nodeIP must be IPv4 address"),
    ],
)
def test_a_node_ip_that_is_not_here(start: Start, node_ip: str, problem: str) -> None:
    kubelet = start(f"--node-ip={node_ip}").wait_healthy()
    kubelet.wait_logged(
        rf"^W.*kubelet_node_status\.go:951\] Failed to set some node status fields: "
        rf"failed to validate nodeIP: {re.escape(problem)}$"
    )


# ----------------------------------------------------------------------------------------- process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_ends_with_status_1(start: Start, number: signal.Signals) -> None:
    kubelet = start().wait_healthy()
    kubelet.process.send_signal(number)
    assert kubelet.wait_ended() == 1, "dockershim's signal handler in the real kubelet does so"


def test_looks_like_hyperkube(seed: Kubelet) -> None:
    proc = Path(f"/proc/{seed.process.pid}")
    assert (proc / "comm").read_text() == "hyperkube\n"
    words = (proc / "cmdline").read_text().rstrip("\0").split("\0")
    assert words[1:] == seed.command[1:]


def test_is_small_and_alone(seed: Kubelet) -> None:
    proc = Path(f"/proc/{seed.process.pid}")
    resident = re.search(r"^VmRSS:\s+(\d+) kB", (proc / "status").read_text(), re.MULTILINE)
    assert resident
    assert int(resident[1]) < 40 * 1024
    children = [path.read_text() for path in proc.glob("task/*/children")]
    assert "".join(children) == ""


def test_makes_its_folders(seed: Kubelet) -> None:
    root = seed.log_file.parent / "root"
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in root.iterdir()} == {
        "pods": 0o750,
        "plugins": 0o750,
    }


def test_no_secret_is_logged(seed: Kubelet, pki: Pki) -> None:
    key = pki.client.data()[1]
    for secret in (key, key[:40], "PRIVATE KEY"):
        assert secret not in seed.log


# ------------------------------------------------------------------------- beside the real kubelet

REAL = os.environ.get("KUBE_REAL_KUBELETS", "")
needs_real = pytest.mark.skipif(
    not REAL, reason="KUBE_REAL_KUBELETS names no folder with real hyperkubes"
)
CGO_ONLY = re.compile(
    "application-metrics|boot-id|container-hints|docker$|docker-(env|only|root)|enable-load|"
    "event-storage|(global-)?housekeeping|log-cadvisor|machine-id|storage-driver"
)
"""cAdvisor's flags, which a hyperkube built without cgo lacks."""


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    binary = Path(REAL).resolve() / "hyperkube-v1.7.5_coreos.1"
    if not binary.exists():
        pytest.skip(f"there is no {binary}")
    link = tmp_path_factory.mktemp("real") / "hyperkube"
    link.symlink_to(binary)
    return link


def complaints(text: str) -> list[str]:
    """The lines that say what is wrong, with Go 1.8's wording where a newer Go built it."""
    lines = [line for line in text.splitlines() if line.startswith(("Error:", "Flag", "panic:"))]
    return [
        re.sub(r'((invalid|in|unit) (duration )?)"([^"]*)"', r"\1\4", line)
        .replace("parse error on line", "line")
        .replace(" [1] with length 1", "")
        for line in lines
    ]


HARMLESS = ("--tls-cert-file=/nonexist", "--client-ca-file=/nonexist")
"""Flags with which no kubelet comes up, whatever else it thinks of its command line."""


def both(program: Path, real: Path, *words: str) -> tuple[Any, Any]:
    ours = run(program, *words)
    theirs = subprocess.run(
        [str(real), *words], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return (ours.returncode, complaints(ours.stderr)), (
        theirs.returncode,
        complaints(theirs.stderr),
    )


@needs_real
@pytest.mark.parametrize(
    "word", [word for word, _ in REFUSED if not word.startswith(("--cluster-dns", "--log-b"))]
)
def test_refuses_what_the_real_one_refuses(program: Path, real: Path, word: str) -> None:
    ours, theirs = both(program, real, "kubelet", *HARMLESS, word)
    assert ours == theirs


@needs_real
@pytest.mark.parametrize(
    "words", [[], ["nope"], ["--help"], ["kubelet", "--help"], ["--nope"], ["--address=1"]]
)
def test_ends_as_the_real_one(program: Path, real: Path, words: list[str]) -> None:
    ours, theirs = both(program, real, *words)
    assert ours == theirs


@needs_real
def test_version_but_for_the_hollow(program: Path, real: Path) -> None:
    theirs = subprocess.check_output([str(real), "kubelet", "--version"], text=True, stderr=-3)
    assert run(program, "kubelet", "--version").stdout == theirs.rstrip() + "+hollow\n"


@needs_real
@pytest.mark.parametrize("text", KUBECONFIGS, ids=range(len(KUBECONFIGS)))
def test_refuses_the_kubeconfigs_the_real_one_refuses(
    program: Path, real: Path, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    words = ["--require-kubeconfig", f"--kubeconfig={path}"]
    ours, theirs = both(program, real, "kubelet", *HARMLESS, *words)
    assert ours == theirs


@needs_real
def test_flags_of_the_real_one(real: Path) -> None:
    known = catalog.flags("1.7")
    done = subprocess.run(
        [str(real), "kubelet", "--help"], capture_output=True, text=True, check=True
    )
    shown = set(re.findall(r"^  (?:-\w, |    )--([\w-]+)", done.stderr, re.MULTILINE))
    assert shown <= set(known)
    missing = {name for name in set(known) - shown if not known[name].deprecated}
    missing -= {name for name in missing if known[name].hidden or CGO_ONLY.match(name)}
    assert missing == set()
