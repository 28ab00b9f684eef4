"""What the tests of the hollow kubelet share: certificates, running kubelets and an API server."""

from __future__ import annotations

import base64
import contextlib
import datetime
import ipaddress
import json
import os
import random
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pytest_kubecluster.spec.version import KubeVersion

VERSION = KubeVersion.parse("v1.7.5+coreos.1")
"""The version that most tests are about: the article's."""
NUMBERS = range(7, 37)
WITH_FILES = range(10, 37)
SECONDS = 20
T = TypeVar("T")


def version_of(number: int) -> KubeVersion:
    return KubeVersion.parse(f"v1.{number}.0")


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
    """Return a port that no outgoing connection can take before the kubelet does.

    hypothesis seeds the module random, in all workers of pytest-xdist alike.
    """
    while True:
        port = random.SystemRandom().randrange(15000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def run_program(program: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(program), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


def start_error(program: Path, *flags: str) -> tuple[int, list[str]]:
    """Exit status and log of a kubelet that does not come up, without times and places."""
    done = run_program(program, "kubelet", "--healthz-port=0", "--cadvisor-port=0", *flags)
    return done.returncode, [
        re.sub(r"^[IWEF]\d{4} \S+ +\d+ \S+ ", "", line) for line in done.stderr.splitlines()
    ]


class Ended(NamedTuple):
    """What a kubelet that did not come up left."""

    status: int
    out: str
    err: str

    @property
    def problem(self) -> str:
        """The line that gives the reason, without klog's head."""
        text = re.sub(r"=<\n\t(.*?)\n >", self.in_one_line, self.err, flags=re.DOTALL)
        lines = [line for line in text.splitlines() if re.match(r"[EF]\d{4} |Error: ", line)]
        return re.sub(r"^[EF]\d{4} \S+ +\d+ \S+ ", "", lines[0]) if lines else ""

    @staticmethod
    def in_one_line(value: re.Match[str]) -> str:
        """A value of several lines as klog wrote it before it had a separate form for them."""
        return '="' + value[1].replace('"', '\\"').replace("\n\t", "\\n") + '"'


Run = Callable[..., Ended]
Play = Callable[[int], None]

FAILS = "--lock-file=/nonexist/lock"
"""A flag with which no kubelet starts, regardless of the rest of its command line."""
LOCKED = 'unable to acquire file lock on "/nonexist/lock": no such file or directory'
CERTIFICATES = ("--tls-cert-file=/nonexist/crt", "--tls-private-key-file=/nonexist/key")


def needed(number: int) -> list[str]:
    """Flags without which a kubelet of the minor does not get as far as its lock file here."""
    words = [*CERTIFICATES] if number >= 10 else []
    words += ["--container-runtime-endpoint=unix:///run/x.sock"] if 24 <= number < 27 else []
    return words + ["--fail-cgroupv1=false"] * (number >= 35)


HEAD = "kind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\n"


class Loaded(NamedTuple):
    """A command line with a configuration file, read as the kubelet reads it."""

    flags: Any
    shown: dict[str, Any]


# ---------------------------------------------------------------------------------- certificates


class Pair(NamedTuple):
    crt: Path
    key: Path

    def data(self) -> tuple[str, str]:
        certificate, key = (base64.b64encode(path.read_bytes()).decode() for path in self)
        return certificate, key


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


def make_pki(folder: Path) -> Pki:
    """Write certificates of two authorities, as files."""
    ours, theirs = trustme.CA(), trustme.CA()
    yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    client: dict[str, Any] = {"common_name": "kubelet", "organization_name": "system:masters"}
    nameless: dict[str, Any] = {"organization_name": "system:masters"}
    return Pki(
        folder=folder,
        ca=write_authority(folder, "kube-ca", ours),
        client=write_pair(folder, "client", ours.issue_cert("127.0.0.1", **client)),
        foreign=write_pair(folder, "foreign", theirs.issue_cert("127.0.0.1", **client)),
        server_only=issue_server_only(folder, ours),
        expired=write_pair(
            folder, "expired", ours.issue_cert("127.0.0.1", not_after=yesterday, **client)
        ),
        nameless=write_pair(folder, "nameless", ours.issue_cert("127.0.0.1", **nameless)),
        serving=write_pair(folder, "serving", ours.issue_cert("127.0.0.1")),
    )


def write_authority(folder: Path, name: str, authority: trustme.CA) -> Pair:
    pair = Pair(folder / f"{name}.crt", folder / f"{name}.key")
    authority.cert_pem.write_to_path(str(pair.crt))
    authority.private_key_pem.write_to_path(str(pair.key))
    return pair


def write_pair(folder: Path, name: str, issued: trustme.LeafCert) -> Pair:
    pair = Pair(folder / f"{name}.crt", folder / f"{name}.key")
    issued.cert_chain_pems[0].write_to_path(str(pair.crt))
    issued.private_key_pem.write_to_path(str(pair.key))
    return pair


def issue_server_only(folder: Path, authority: trustme.CA) -> Pair:
    """Write a certificate that is not for clients; trustme issues none for one use only."""
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    signer = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubelet")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )
    pair = Pair(folder / "server-only.crt", folder / "server-only.key")
    pair.crt.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return pair


def kubeconfig(pki: Pki, server: str = "https://127.0.0.1:1", **user: str) -> str:
    """The article's kubeconfig: a single context without a name, and no current-context."""
    certificate, key = pki.client.data()
    credentials = {"client-certificate-data": certificate, "client-key-data": key, **user}
    lines = "".join(f"    {name}: {value}\n" for name, value in credentials.items() if value)
    return (
        "apiVersion: v1\nkind: Config\n"
        "clusters:\n- name: vagrant\n  cluster:\n"
        f"    server: {server}\n    certificate-authority-data: {pki.ca.data()[0]}\n"
        f"users:\n- name: kubelet\n  user:\n{lines}"
        "contexts:\n- context:\n    cluster: vagrant\n    user: kubelet\n"
    )


# -------------------------------------------------------------------------------- running kubelets


class Kubelet:
    """A kubelet of the article's version with its own ports, folders and log."""

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


class Started(NamedTuple):
    """A running kubelet of any minor, and its ports."""

    process: subprocess.Popen[bytes]
    port: int
    read_only: int
    healthz: int
    log: Path

    def ask(self, path: str, port: int = 0) -> tuple[int, str]:
        if port:
            return ask(HTTPConnection("127.0.0.1", port, timeout=SECONDS), path)
        context = client_context(None)
        return ask(HTTPSConnection("127.0.0.1", self.port, timeout=SECONDS, context=context), path)


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
StartMinor = Callable[..., Started]

KUBEADM = """\
apiVersion: kubelet.config.k8s.io/v1beta1
authentication:
  anonymous:
    enabled: false
  webhook:
    cacheTTL: 0s
    enabled: true
  x509:
    clientCAFile: /etc/kubernetes/pki/ca.crt
authorization:
  mode: Webhook
  webhook:
    cacheAuthorizedTTL: 0s
    cacheUnauthorizedTTL: 0s
cgroupDriver: systemd
clusterDNS:
- 10.96.0.10
clusterDomain: cluster.local
containerRuntimeEndpoint: ""
cpuManagerReconcilePeriod: 0s
crashLoopBackOff: {}
evictionPressureTransitionPeriod: 0s
fileCheckFrequency: 0s
healthzBindAddress: 127.0.0.1
healthzPort: 10248
httpCheckFrequency: 0s
imageMaximumGCAge: 0s
imageMinimumGCAge: 0s
kind: KubeletConfiguration
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
    text:
      infoBufferSize: "0"
  verbosity: 0
memorySwap: {}
nodeStatusReportFrequency: 0s
nodeStatusUpdateFrequency: 0s
rotateCertificates: true
runtimeRequestTimeout: 0s
shutdownGracePeriod: 0s
shutdownGracePeriodCriticalPods: 0s
staticPodPath: /etc/kubernetes/manifests
streamingConnectionIdleTimeout: 0s
syncFrequency: 0s
volumeStatsAggPeriod: 0s
"""
"""What kubeadm 1.36 writes."""
ARTICLE_FLAGS = (
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


# ----------------------------------------------------- what the hollow and the real 1.7.5 refuse

REFUSED_FLAGS = [
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

NO_CONFIGURATION = "invalid configuration: no configuration has been provided"
BAD_KUBECONFIGS = {
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

FLAG_VALUES = {
    "Level": "3", "bool": "true", "cidrs": "1.2.3.0/24", "duration": "1h2m3.5s", "float64": "1e3",
    "int": "8", "int32": "8", "int64": "8", "ip": "::1", "moduleSpec": "a=1",
    "pattern=N,...": "a=1", "quantity": "1Ki", "reserved-memory": "0:memory=1Gi", "reservedMemory": "0:memory=1Gi", "severity": "2",
    "string": "x", "stringSlice": 'a,"b,c"', "traceLocation": "a.go:1", "uint": "8", "uint64": "8",
    "version": "raw", "[]api.Taint": "a/b=c:NoExecute", "[]v1.Taint": "a/b=c:NoExecute",
    "mapStringString": "a=b,c", "mapStringString=": "a=b,c=d", "mapStringString!": "a=b,c",
    "mapStringString<": "memory.available<1Gi", "mapStringBool": "AllAlpha=true",
    "colonSeparatedMultimapStringString": "a:b,a:c",
}  # fmt: skip
"""A value that each type of flag takes."""

REAL_KUBELETS = os.environ.get("KUBE_REAL_KUBELETS", "")
"""A folder with real kubelets, where there is one."""
