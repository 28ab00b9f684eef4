#!/usr/bin/env python3
"""A hollow hyperkube: behaves as the real one wherever a node's checks look, and runs no pods.

It takes the same flags and refuses the same, holds the lock file and gives it up the same way,
loads the same kubeconfig and certificates, and answers on the same ports. It needs no container
runtime, which is the one thing it deliberately does not share with the real kubelet, and it says
``+hollow`` where it says its version.

Standard library only, Python 3.9 and newer. The sources of what it imitates are the Kubernetes
tree of its version: cmd/hyperkube, cmd/kubelet/app/server.go, pkg/kubelet/server, pkg/util/flock;
and what real kubelets were seen to do.
"""

import base64
import binascii
import ctypes
import fcntl
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import Any

FACTS: dict[str, Any] = {}  # replaced by the facts of one version when the file is rendered

TRUE, FALSE = ["1", "t", "T", "TRUE", "true", "True"], ["0", "f", "F", "FALSE", "false", "False"]
JOINED = ("stringSlice", "mapStringString", "mapStringBool")
ERROR_STATUS = 1


class KubeletError(Exception):
    """What ends the kubelet at its start, in the kubelet's words."""


# ---------------------------------------------------------------------------------- command line


def main(argv: list[str]) -> int:
    """Run as hyperkube or, if called by that name, as kubelet; return the exit status."""
    name, words = os.path.basename(argv[0]), argv[1:]
    if name != "kubelet":
        server = next((word for word in words if not word.startswith("-")), None)
        if words and words[0] in ("--version", "--version=true"):
            print_version(words[0])
            return 0
        if words and words[0] in ("--help", "-h"):
            sys.stdout.write(HYPERKUBE_USAGE)
            return 0
        if server != "kubelet":
            problem = f"Server not found: {server}" if server else "no server specified"
            sys.stderr.write(f"{HYPERKUBE_USAGE}\nError: {problem}\n")
            return ERROR_STATUS
        words = words[words.index("kubelet") + 1 :]
    try:
        flags = parse_flags(words)
    except KubeletError as error:
        sys.stderr.write(f"{usage()}\nError: {error}\n")
        return ERROR_STATUS
    if "help" in flags:
        sys.stdout.write(usage())
        return 0
    if flags.get("version") in [*TRUE, "raw"]:
        print_version(flags["version"])
        return 0
    try:
        return Kubelet(flags).run()
    except KubeletError as error:
        # hyperkube prints what its server returns, and its own main prints it again.
        sys.stderr.write(2 * (f"Error: failed to run Kubelet: {error}\n"))
        return ERROR_STATUS


def parse_flags(words: list[str]) -> dict[str, str]:
    """Read a command line by pflag's rules and return the flags given; raise KubeletError."""
    known: dict[str, list[Any]] = FACTS["flags"]
    flags: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if word == "--":
            break
        if not word.startswith("-") or word == "-":
            continue  # 1.7 to 1.10 have no objection to words that belong to no flag
        value: str | None
        if word.startswith("--"):
            written, equals, text = word[2:].partition("=")
            name, value = written.replace("_", "-"), text if equals else None
            if name not in known:
                raise KubeletError("unknown flag: --" + name)
        else:
            name = {"v": "v", "h": "help"}.get(word[1], "")
            if not name:
                raise KubeletError(f"unknown shorthand flag: {word[1]!r} in {word}")
            written, text = name, word[2:]
            value = (text[1:] if text.startswith("=") else text) or None
        kind, deprecated = known[name]
        if value is None:
            value = {"bool": "true", "version": "true"}.get(kind) or next(rest, None)
        if value is None:
            raise KubeletError("flag needs an argument: --" + written)
        complaint = refuse(kind, value)
        if complaint:
            raise KubeletError(f"invalid argument {quote(value)} for --{name}={value}: {complaint}")
        if deprecated:
            sys.stderr.write(f"Flag --{name} has been deprecated, {deprecated}\n")
        flags[name] = flags[name] + "," + value if kind in JOINED and name in flags else value
    return flags


def refuse(kind: str, value: str) -> str:
    """Return what pflag has against a value of a type, or nothing."""
    if kind == "bool" and value not in TRUE + FALSE:
        return f"strconv.ParseBool: parsing {quote(value)}: invalid syntax"
    if kind in ("int", "int32", "int64", "Level", "uint"):
        bits = 31 if kind == "int32" else 63
        if not re.fullmatch(r"[+-]?\d+", value):
            return f"strconv.ParseInt: parsing {quote(value)}: invalid syntax"
        if not -(2**bits) <= int(value) < 2**bits:
            return f"strconv.ParseInt: parsing {quote(value)}: value out of range"
    if kind == "float" and not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value):
        return f"strconv.ParseFloat: parsing {quote(value)}: invalid syntax"
    if kind == "duration" and nanoseconds(value) is None:
        return "time: invalid duration " + value
    if kind == "ip" and not is_address(value):
        return "failed to parse IP: " + quote(value)
    if kind == "[]api.Taint":
        return next(
            ("invalid taint spec: " + one for one in value.split(",") if not taint(one)), ""
        )
    return ""


def taint(text: str) -> dict[str, Any] | None:
    """Read KEY=VALUE:EFFECT; before 1.15 the ``=`` has to be there."""
    match = re.fullmatch(r"([^=:]+)=([^=:]*):(NoSchedule|PreferNoSchedule|NoExecute)", text)
    if not match:
        return None
    key, value, effect = match.groups()
    found = {"key": key, "value": value, "effect": effect, "timeAdded": None}
    return {name: part for name, part in found.items() if part != ""}


def nanoseconds(text: str) -> int | None:
    """Read a duration as Go writes it (1h2m3.5s)."""
    units = {"h": 3600e9, "m": 60e9, "s": 1e9, "ms": 1e6, "us": 1e3, "µs": 1e3, "ns": 1}
    if not re.fullmatch(r"[+-]?(0|((\d+\.?\d*|\.\d+)(h|ms|m|s|us|µs|ns))+)", text):
        return None
    parts = re.findall(r"([\d.]+)(h|ms|m|s|us|µs|ns)", text)
    total = sum(round(float(number) * units[unit]) for number, unit in parts)
    return -total if text.startswith("-") else total


def go_duration(text: str) -> str:
    """Write a duration as Go's String does: 90s is 1m30s."""
    total = nanoseconds(text) or 0
    if abs(total) < 1e9:
        return text if total else "0s"
    minutes, seconds = divmod(abs(total) / 1e9, 60)
    hours, minutes = divmod(int(minutes), 60)
    written = f"{seconds:g}s"
    if hours or minutes:
        written = f"{minutes}m{written}"
    if hours:
        written = f"{hours}h{written}"
    return ("-" if total < 0 else "") + written


def quote(text: str) -> str:
    """Quote as Go's %q does."""
    return json.dumps(text)


def is_address(text: str) -> bool:
    """Say whether this is an IP address."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
            return True
        except OSError:
            pass
    return False


def version() -> str:
    """Return the version this stands in for, and that it only stands in."""
    return str(FACTS["git_version"]) + "+hollow"


def print_version(value: str) -> None:
    """Print the version as --version does, or as --version=raw does."""
    if value != "raw":
        print("Kubernetes " + version())
        return
    major, minor = FACTS["git_version"].lstrip("v").split(".")[:2]
    print(
        f'version.Info{{Major:"{major}", Minor:"{minor}", GitVersion:"{version()}", '
        'GitTreeState:"hollow", Compiler:"python", Platform:"linux"}'
    )


def usage() -> str:
    """Return the list of flags, as far as help shows them."""
    shown = sorted(name for name, (_, deprecated) in FACTS["flags"].items() if not deprecated)
    lines = ("      --{} {}".format(name, FACTS["flags"][name][0]) for name in shown)
    return "Usage:\n  kubelet [flags]\n\nAvailable Flags:\n" + "\n".join(lines) + "\n"


HYPERKUBE_USAGE = """\
This is an all-in-one binary that can run any of the various Kubernetes servers.
This one is hollow: all it can run is a kubelet that runs no pods.

Usage

  hyperkube <server> [flags]

Servers

  kubelet
"""


# ------------------------------------------------------------------------------------------- log


def log(level: str, where: str, text: str) -> None:
    """Write a line as glog does: level, date, thread, place."""
    now = time.time()
    stamp = time.strftime("%m%d %H:%M:%S", time.localtime(now))
    sys.stderr.write(f"{level}{stamp}.{int(now % 1 * 1e6):06} {os.getpid():7} {where}] {text}\n")
    sys.stderr.flush()


# --------------------------------------------------------------------------------------- kubelet


class Kubelet:
    """A kubelet with the flags it was given."""

    def __init__(self, flags: dict[str, str]) -> None:
        """Take the flags that were on the command line."""
        self.flags = flags
        self.node_name = flags.get("hostname-override") or socket.gethostname().lower()
        self.server: ApiServer | None = None

    def text(self, name: str, default: str = "") -> str:
        """Return a flag's value."""
        return self.flags.get(name, default)

    def on(self, name: str, default: bool = False) -> bool:
        """Return a boolean flag's value."""
        return self.flags[name] in TRUE if name in self.flags else default

    def run(self) -> int:
        """Start as the real one does, in its order, and serve until the end."""
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            # The real one, asked to stop, ends with status 1: systemd calls the unit failed.
            signal.signal(signal_number, lambda *_: os._exit(ERROR_STATUS))
        set_process_name("hyperkube")
        contended = self.take_lock()
        self.load_kubeconfig()
        certificate = self.serving_certificate()
        self.check_authorization()
        self.make_folders()
        self.check_node_ip()
        self.serve(certificate)
        if self.server:
            threading.Thread(target=self.register, daemon=True).start()
        contended()
        return 0

    def take_lock(self) -> Callable[[], None]:
        """Take the lock file, waiting for it, and return what blocks until it is contended."""
        path = self.text("lock-file")
        watches = self.on("exit-on-lock-contention")
        if watches and not path:
            raise KubeletError("cannot exit on lock file contention: no lock file specified")
        if not path:
            return wait_for_ever
        log("I", "server.go:370", "acquiring file lock on " + quote(path))
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise KubeletError(
                f"unable to acquire file lock on {quote(path)}: {go_error(error)}"
            ) from None
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if not watches:
            return wait_for_ever
        log("I", "server.go:375", "watching for inotify events for: " + path)
        return inotify(path)

    def load_kubeconfig(self) -> None:
        """Read the kubeconfig by the rules of 1.7: it counts only with --require-kubeconfig."""
        required = self.on("require-kubeconfig")
        if not required:
            log("W", "server.go:496", "No API client: no api servers specified")
            return
        path = self.text("kubeconfig", "/var/lib/kubelet/kubeconfig")
        try:
            os.stat(path)
            self.server = ApiServer(kubeconfig_client(path))
        except OSError as error:
            raise KubeletError(f"invalid kubeconfig: stat {path}: {go_error(error)}") from None
        except ClientError as error:
            log("W", "server.go:464", f"New kubeClient from clientConfig error: {error}")

    def serving_certificate(self) -> tuple[str, str]:
        """Return certificate and key of port 10250, signed by itself unless some were given."""
        self.client_ca = self.text("client-ca-file")
        given = self.text("tls-cert-file"), self.text("tls-private-key-file")
        if not any(given):
            folder = self.text("cert-dir", "/var/run/kubernetes")
            given = os.path.join(folder, "kubelet.crt"), os.path.join(folder, "kubelet.key")
            if not all(map(os.path.exists, given)):
                sign_oneself(self.node_name, *given)
        if self.client_ca:
            self.check_client_ca()
        return given

    def check_client_ca(self) -> None:
        """Refuse a client CA that is not there or holds no certificate."""
        problem = ""
        try:
            with open(self.client_ca) as file:
                if "-----BEGIN CERTIFICATE-----" not in file.read():
                    problem = f"error reading {self.client_ca}: could not read any certificates"
        except OSError as error:
            problem = f"open {self.client_ca}: {go_error(error)}"
        if problem:
            raise KubeletError(f"unable to load client CA file {self.client_ca}: {problem}")

    def check_authorization(self) -> None:
        """Refuse what the real one refuses: an unknown mode, and webhooks with nobody to ask."""
        if self.on("authentication-token-webhook") and not self.server:
            raise KubeletError("no client provided, cannot use webhook authentication")
        mode = self.text("authorization-mode", "AlwaysAllow")
        if mode not in ("AlwaysAllow", "Webhook"):
            raise KubeletError("Unknown authorization mode " + mode)
        if mode == "Webhook" and not self.server:
            raise KubeletError("no client provided, cannot use webhook authorization")

    def make_folders(self) -> None:
        """Make the folders under --root-dir that the real one makes."""
        root = self.text("root-dir", "/var/lib/kubelet")
        for folder in ("pods", "plugins"):
            try:
                os.makedirs(os.path.join(root, folder), 0o750, exist_ok=True)
            except OSError as error:
                raise KubeletError(f"mkdir {root}: {go_error(error)}") from None

    def check_node_ip(self) -> None:
        """Complain about a node IP that no interface has; the real one goes on too."""
        node_ip = self.text("node-ip")
        if not node_ip:
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((node_ip, 0))
            except OSError:
                log(
                    "E",
                    "kubelet.go:1234",
                    "Kubelet failed to get node info: failed to validate nodeIP: Node IP: "
                    f'"{node_ip}" not found in the host\'s network interfaces',
                )

    # ---------------------------------------------------------------------------------- servers

    def serve(self, certificate: tuple[str, str]) -> None:
        """Open the ports: the kubelet's own, the read-only one, cAdvisor's, and healthz."""
        address = self.text("address", "0.0.0.0")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*certificate)
        if self.client_ca:
            request_client_certificate(context, self.client_ca)
        pages = {
            "/healthz": lambda: ("text/plain", "ok"),
            "/pods": lambda: ("application/json", json.dumps(self.pods())),
            "/runningpods/": lambda: ("application/json", json.dumps(pod_list([]))),
            "/spec/": lambda: ("application/json", json.dumps({"num_cores": os.cpu_count()})),
            "/stats/summary": lambda: ("application/json", json.dumps(self.summary())),
            "/metrics": lambda: ("text/plain; version=0.0.4", self.metrics()),
        }
        own = {**pages, "/configz": lambda: ("application/json", json.dumps(self.configz()))}
        ports = (
            ("port", 10250, address, own, context),
            ("read-only-port", 10255, address, pages, None),
            ("cadvisor-port", 4194, address, {"/healthz": pages["/healthz"]}, None),
            ("healthz-port", 10248, self.text("healthz-bind-address", "127.0.0.1"),
             {"/healthz": pages["/healthz"]}, None),
        )  # fmt: skip
        for flag, default, host, answers, tls in ports:
            port = int(self.text(flag, str(default)))
            if port > 0:
                threading.Thread(
                    target=self.listen, args=((host, port), answers, tls), daemon=True
                ).start()
        log(
            "I",
            "server.go:132",
            "Starting to listen on {}:{}".format(address, self.text("port", "10250")),
        )

    def listen(self, address: tuple[str, int], pages: "Pages", tls: ssl.SSLContext | None) -> None:
        """Serve on one port for ever, trying again every five seconds where it is taken."""
        while True:
            try:
                server = Server(address, self, pages, tls)
            except OSError as error:
                log(
                    "E",
                    "server.go:170",
                    f"Failed to listen on {address[0]}:{address[1]}: {go_error(error)}",
                )
                time.sleep(5)
            else:
                server.serve_forever(poll_interval=3600)

    def authenticates(self, connection: socket.socket) -> bool:
        """Say whether whoever connected may ask: with a certificate of the CA, or as anonymous."""
        if isinstance(connection, ssl.SSLSocket) and connection.getpeercert(binary_form=True):
            if PEER.trusted:
                return True
            log("E", "auth.go:69", "x509: certificate signed by unknown authority")
            return False
        return self.on("anonymous-auth", True)

    def pods(self) -> dict[str, Any]:
        """Return the static pods that the manifest folder asks for."""
        folder = self.text("pod-manifest-path")
        found = []
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            path = os.path.join(folder, name)
            if name.startswith(".") or not os.path.isfile(path):
                continue
            try:
                with open(path) as file:
                    pod = parse_yaml(file.read())
                metadata = dict(pod.get("metadata") or {})
                metadata["name"] = "{}-{}".format(metadata["name"], self.node_name)
                metadata.setdefault("namespace", "default")
                found.append(
                    {"metadata": metadata, "spec": pod.get("spec"), "status": {"phase": "Pending"}}
                )
            except (ValueError, KeyError, AttributeError, OSError) as error:
                log("E", "file.go:150", f"Can't process manifest file {quote(path)}: {error}")
        return pod_list(found)

    def summary(self) -> dict[str, Any]:
        """Return statistics of a node that has none."""
        return {"node": {"nodeName": self.node_name}, "pods": []}

    def metrics(self) -> str:
        """Return the one metric that is true of a hollow kubelet."""
        return (
            "# TYPE kubernetes_build_info gauge\n"
            f'kubernetes_build_info{{gitVersion="{version()}"}} 1\n'
        )

    def configz(self) -> dict[str, Any]:
        """Return what this version says of its configuration, with the flags in it."""
        answer = json.loads(json.dumps(FACTS["configz"]))
        for name, value in self.flags.items():
            kind = FACTS["flags"][name][0]
            set_field(answer, CONFIG_FIELDS.get(name, name.replace("-", "")), typed(kind, value))
        return dict(answer)

    # ------------------------------------------------------------------------------- API server

    def register(self) -> None:
        """Try to register the node until it is, then keep its status fresh."""
        assert self.server is not None
        if not self.on("register-node", True):
            return
        log("I", "kubelet_node_status.go:82", "Attempting to register node " + self.node_name)
        registered = False
        while True:
            try:
                if registered:
                    path = f"/api/v1/nodes/{self.node_name}/status"
                    self.server.send("PATCH", path, {"status": self.node()["status"]})
                else:
                    self.server.send("POST", "/api/v1/nodes", self.node())
                    registered = True
                    log(
                        "I",
                        "kubelet_node_status.go:85",
                        "Successfully registered node " + self.node_name,
                    )
            except ClientError as error:
                log(
                    "E",
                    "kubelet_node_status.go:106",
                    f'Unable to register node "{self.node_name}" with API server: {error}',
                )
            time.sleep(10 if registered else 1)

    def node(self) -> dict[str, Any]:
        """Return the Node object of this node."""
        labels = {
            "beta.kubernetes.io/arch": "amd64",
            "beta.kubernetes.io/os": "linux",
            "kubernetes.io/hostname": self.node_name,
            **typed("mapStringString", self.text("node-labels")),
        }
        address = self.text("node-ip") or socket.gethostbyname(self.node_name)
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.node_name, "labels": labels},
            "spec": {"taints": typed("[]api.Taint", self.text("register-with-taints")) or []},
            "status": {
                "addresses": [
                    {"type": "InternalIP", "address": address},
                    {"type": "Hostname", "address": self.node_name},
                ],
                "conditions": [ready],
                "nodeInfo": {"kubeletVersion": version()},
            },
        }


CONFIG_FIELDS = {
    "anonymous-auth": "authentication.anonymous.enabled",
    "authentication-token-webhook": "authentication.webhook.enabled",
    "authentication-token-webhook-cache-ttl": "authentication.webhook.cachettl",
    "authorization-mode": "authorization.mode",
    "cert-dir": "certdirectory",
    "cloud-config": "cloudconfigfile",
    "container-runtime-endpoint": "remoteruntimeendpoint",
    "event-qps": "eventrecordqps",
    "image-service-endpoint": "remoteimageendpoint",
    "lock-file": "lockfilepath",
    "minimum-image-ttl-duration": "imageminimumgcage",
    "registry-qps": "registrypullqps",
    "root-dir": "rootdirectory",
}
"""The fields that are not called as their flags are."""


def set_field(tree: dict[str, Any], name: str, value: Any) -> None:
    """Set the field of that name, wherever in the tree it is; case means nothing."""
    for key, branch in tree.items():
        head, _, tail = name.partition(".")
        if key.lower() == name:
            tree[key] = value
        elif isinstance(branch, dict):
            set_field(branch, tail if tail and key.lower() == head else name, value)


def typed(kind: str, value: str) -> Any:
    """Return a flag's value as JSON has it."""
    if kind == "bool":
        return value in TRUE
    if kind in ("int", "int32", "int64"):
        return int(value)
    if kind == "duration":
        return go_duration(value)
    if kind == "stringSlice":
        return [part for part in value.split(",") if part]
    if kind == "mapStringString":
        pairs = (pair.partition("=") for pair in value.split(",") if pair)
        return {key.strip(): text.strip() for key, _, text in pairs}
    if kind == "[]api.Taint":
        return [taint(part) for part in value.split(",") if part]
    return value


def pod_list(pods: list[Any]) -> dict[str, Any]:
    """Return a PodList; of no pods it has null for items, as Go's empty slice."""
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods or None}


def go_error(error: OSError) -> str:
    """Say an error as Go does."""
    return (error.strerror or str(error)).lower()


def wait_for_ever() -> None:
    """Wait until a signal ends the process."""
    threading.Event().wait()


def set_process_name(name: str) -> None:
    """Be called hyperkube in ps, not python3 (prctl(2), PR_SET_NAME)."""
    ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)


def inotify(path: str) -> Callable[[], None]:
    """Watch a file and return what blocks until somebody opens or deletes it (inotify(7))."""
    opened, delete_self = 0x20, 0x400
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    if (
        descriptor < 0
        or libc.inotify_add_watch(descriptor, path.encode(), opened | delete_self) < 0
    ):
        raise KubeletError("unable to watch lockfile: " + os.strerror(ctypes.get_errno()).lower())

    def wait() -> None:
        mask = int.from_bytes(os.read(descriptor, 4096)[4:8], sys.byteorder)
        names = " == IN_OPEN" if mask & opened else " == IN_DELETE_SELF"
        log("I", "server_linux.go:42", f'inotify event: "{path}": 0x{mask:x}{names}')
        log("E", "server_linux.go:44", "observed lockfile contention")

    return wait


def sign_oneself(name: str, certificate: str, key: str) -> None:
    """Make the serving certificate of a kubelet that was given none: for its name, for a year."""
    os.makedirs(os.path.dirname(certificate), 0o755, exist_ok=True)
    mask = os.umask(0o077)
    try:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365",
             "-subj", f"/CN={name}@{int(time.time())}", "-addext", "subjectAltName=DNS:" + name,
             "-addext", "extendedKeyUsage=serverAuth", "-keyout", key, "-out", certificate],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError) as error:
        raise KubeletError(f"unable to generate self signed cert: {error}") from None
    finally:
        os.umask(mask)
    os.chmod(certificate, 0o644)


# --------------------------------------------------------------------------------------- servers

Pages = dict[str, Callable[[], tuple[str, str]]]


class Peer(threading.local):
    """Whether the certificate of this thread's connection is the client CA's."""

    trusted = True


PEER = Peer()


def request_client_certificate(context: ssl.SSLContext, ca: str) -> None:
    """Ask clients for a certificate and take any, remembering whether the CA signed it.

    As Go's tls.RequestClientCert: a stranger gets a 401, not a broken handshake. Python's ssl has
    no name for that, so the callback is set in OpenSSL itself, whose context Python keeps right
    after the object's header.
    """
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_OPTIONAL

    def remember(ok: int, _store: int | None) -> int:
        PEER.trusted = PEER.trusted and bool(ok)
        return 1

    try:
        import _ssl

        callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)(remember)
        set_verify = ctypes.CDLL(_ssl.__file__).SSL_CTX_set_verify
        set_verify.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
        pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
        set_verify(pointer, 1, ctypes.cast(callback, ctypes.c_void_p))
        CALLBACKS.append(callback)
    except (ImportError, AttributeError, OSError):
        pass  # a Python built otherwise: strangers fail in the handshake


CALLBACKS: list[Any] = []
"""Keeps the callbacks alive that OpenSSL knows."""


class Server(ThreadingMixIn, HTTPServer):
    """One port of the kubelet."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, address: tuple[str, int], kubelet: Kubelet, pages: Pages, tls: ssl.SSLContext | None
    ) -> None:
        """Listen on the address; with ``tls``, ask who is there."""
        self.kubelet, self.pages, self.tls = kubelet, pages, tls
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Bind without the name look-up of HTTPServer, which may take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread, where nobody else waits for it."""
        request.settimeout(30)
        PEER.trusted = True
        try:
            if self.tls:
                request = self.tls.wrap_socket(request, server_side=True)
            Handler(request, client_address, self)
        except OSError as error:
            log(
                "I",
                "logs.go:41",
                f"http: TLS handshake error from {client_address[0]}: {error}",
            )
        finally:
            if self.tls and isinstance(request, ssl.SSLSocket):
                request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong with a connection, in one line."""
        log("E", "logs.go:41", f"http: {sys.exc_info()[1]}")


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """Answer with a page, if whoever asks may have it."""
        path = self.path.partition("?")[0]
        pages = self.server.pages
        if self.server.tls and not self.server.kubelet.authenticates(self.connection):
            self.answer(401, "text/plain; charset=utf-8", "Unauthorized\n")
        elif path in pages:
            self.answer(200, *pages[path]())
        else:
            self.answer(404, "text/plain; charset=utf-8", "404 page not found\n")

    def answer(self, status: int, kind: str, body: str) -> None:
        """Send an answer."""
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def version_string(self) -> str:
        """Name no server, as Go's."""
        return ""

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests, as the real one at its default verbosity."""


# ------------------------------------------------------------------------------------ kubeconfig


class ClientError(Exception):
    """The API server cannot be asked, or did not like to be."""


class ApiServer:
    """A client of the API server."""

    def __init__(self, client: dict[str, Any]) -> None:
        """Take a kubeconfig's server and credentials; raise ClientError if they do not fit."""
        self.url = client["server"].rstrip("/")
        self.context = ssl.create_default_context()
        self.context.check_hostname = False
        if client.get("insecure-skip-tls-verify"):
            self.context.verify_mode = ssl.CERT_NONE
        try:
            ca = pem(client, "certificate-authority")
            if ca:
                self.context = ssl.create_default_context(cadata=ca)
            certificate, key = pem(client, "client-certificate"), pem(client, "client-key")
            if certificate and key:
                load_pair(self.context, certificate, key)
        except ssl.SSLError as error:
            mismatch = "KEY_VALUES_MISMATCH" in str(error)
            raise ClientError(
                "tls: private key does not match public key"
                if mismatch
                else f"unable to load root certificates or client key: {error.reason}"
            ) from None
        except (OSError, binascii.Error) as error:
            raise ClientError(str(error)) from None

    def send(self, method: str, path: str, body: dict[str, Any]) -> None:
        """Send an object; raise ClientError in Go's words."""
        from urllib.error import HTTPError, URLError
        from urllib.request import Request, urlopen

        kind = "application/strategic-merge-patch+json" if method == "PATCH" else "application/json"
        request = Request(
            self.url + path,
            json.dumps(body).encode(),
            {"Content-Type": kind, "Accept": "application/json"},
            method=method,
        )
        try:
            urlopen(request, timeout=10, context=self.context).close()
        except HTTPError as error:
            if error.code != 409:  # it is there already, from an earlier life of this kubelet
                raise ClientError(f"the server answered {error.code}") from None
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            text = go_error(reason) if isinstance(reason, OSError) else str(reason)
            address = self.url.partition("://")[2]
            raise ClientError(
                f"{method.capitalize()} {self.url}{path}: dial tcp {address}: getsockopt: {text}"
            ) from None


def pem(client: dict[str, Any], name: str) -> str:
    """Return a PEM text given inline (NAME-data) or as a file."""
    if client.get(name + "-data"):
        return base64.b64decode(client[name + "-data"], validate=True).decode("ascii", "replace")
    if client.get(name):
        with open(client[name]) as file:
            return file.read()
    return ""


def load_pair(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Give a context a client certificate without writing the key to a disk."""
    descriptor = os.memfd_create("client") if hasattr(os, "memfd_create") else -1
    path = f"/proc/self/fd/{descriptor}"
    with os.fdopen(descriptor, "w") as file:
        file.write(certificate + "\n" + key)
        file.flush()
        context.load_cert_chain(path)


def kubeconfig_client(path: str) -> dict[str, Any]:
    """Return server and credentials of a kubeconfig's current context; raise KubeletError.

    A context without a name is the one an empty current-context names, as in client-go.
    """
    try:
        with open(path) as file:
            config = parse_yaml(file.read())
        if not isinstance(config, dict):
            raise ValueError("couldn't get version/kind; json parse error: json: cannot unmarshal")
        if config.get("kind") != "Config" or config.get("apiVersion") != "v1":
            raise ValueError(
                "no kind {} is registered for version {}".format(
                    quote(str(config.get("kind") or "")), quote(str(config.get("apiVersion") or ""))
                )
            )
    except (ValueError, UnicodeDecodeError) as error:
        raise KubeletError(
            f'invalid kubeconfig: Error loading config file "{path}": {error}'
        ) from None
    current = config.get("current-context") or ""
    context = named(config, "contexts", current).get("context") or {}
    if current and not context:
        raise KubeletError(
            "invalid kubeconfig: invalid configuration: context was not found for specified "
            "context: " + current
        )
    cluster = named(config, "clusters", context.get("cluster") or "").get("cluster") or {}
    user = named(config, "users", context.get("user") or "").get("user") or {}
    if not cluster.get("server"):
        raise KubeletError(
            "invalid kubeconfig: invalid configuration: no configuration has been provided"
        )
    return {**cluster, **user}


def named(config: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    """Return the entry of that name in one of a kubeconfig's lists."""
    entries = [entry for entry in config.get(kind) or [] if (entry.get("name") or "") == name]
    return dict(entries[0]) if entries else {}


# ------------------------------------------------------------------------------------------ YAML


def parse_yaml(text: str) -> Any:
    """Read the YAML of kubeconfigs and manifests: block maps and lists, plain or quoted scalars.

    JSON is read as JSON. Raises ValueError for what it does not know rather than guess.
    """
    if text.lstrip().startswith(("{", "[")):
        return json.loads(text)
    reader = YamlReader(text)
    value = reader.value(0)
    if reader.lines:
        raise ValueError(f"yaml: line {reader.lines[0][2]}: did not find expected key")
    return value


class YamlReader:
    """Reads block style by indentation; ``lines`` are those to come: indent, content, number."""

    def __init__(self, text: str) -> None:
        """Take the lines that say something."""
        self.lines: list[tuple[int, str, int]] = []
        for number, line in enumerate(text.split("\n"), 1):
            content = line.strip()
            if content and not content.startswith("#") and content != "---":
                self.lines.append((len(line) - len(line.lstrip(" ")), content, number))

    def value(self, indent: int) -> Any:
        """Read the value that stands at ``indent`` or deeper; where none does, it is null."""
        if not self.lines or self.lines[0][0] < indent:
            return None
        depth, content, number = self.lines[0]
        if self.at_item(depth):
            return self.items(depth)
        if key_and_text(content):
            return self.mapping(depth)
        self.lines.pop(0)
        return scalar(content, number)

    def items(self, indent: int) -> list[Any]:
        """Read a list whose dashes stand at ``indent``."""
        found = []
        while self.at_item(indent):
            _, content, number = self.lines.pop(0)
            inner = content[1:].lstrip()
            if inner:
                self.lines.insert(0, (indent + len(content) - len(inner), inner, number))
            found.append(self.value(indent + 1))
        return found

    def mapping(self, indent: int) -> dict[str, Any]:
        """Read a map whose keys stand at ``indent``."""
        found: dict[str, Any] = {}
        while self.lines and self.lines[0][0] == indent and not self.at_item(indent):
            _, content, number = self.lines.pop(0)
            pair = key_and_text(content)
            if pair is None:
                raise ValueError(f"yaml: line {number}: could not find expected ':'")
            key, text = pair
            # A list may stand as far left as the key it belongs to.
            depth = indent if self.at_item(indent) else indent + 1
            found[key] = scalar(text, number) if text else self.value(depth)
        return found

    def at_item(self, indent: int) -> bool:
        """Say whether the next line is a list's item at ``indent``."""
        return (
            bool(self.lines) and self.lines[0][0] == indent and self.lines[0][1][:2] in ("-", "- ")
        )


def key_and_text(content: str) -> tuple[str, str] | None:
    """Take ``key: text`` or ``"key": text`` apart."""
    match = re.fullmatch(r"""("[^"]*"|'[^']*'|[^\s"'\[{][^#]*?):(?:\s+(.*))?""", content)
    return (match.group(1).strip("\"'"), without_comment(match.group(2) or "")) if match else None


def without_comment(text: str) -> str:
    """Cut a comment off a scalar, unless quotes make it part of the text."""
    return text if text[:1] in ("'", '"') else re.sub(r"(^|\s)#.*$", "", text).strip()


def scalar(text: str, number: int) -> Any:
    """Read a scalar or a flow value that is JSON."""
    if text[0] == "'" and text[-1] == "'" and len(text) > 1:
        return text[1:-1].replace("''", "'")
    if text[0] in '"[{':
        return json.loads(text)
    if text[0] in "|>&*!%@`":
        raise ValueError(f"yaml: line {number}: {text!r} is not understood here")
    if text in ("null", "~", "true", "false"):
        return {"true": True, "false": False}.get(text)
    return int(text) if re.fullmatch(r"-?\d+", text) else text


if __name__ == "__main__":
    sys.exit(main(sys.argv))
