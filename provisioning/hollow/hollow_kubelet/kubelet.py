"""The kubelet from its command line to its ports: run() in cmd/kubelet/app/server.go."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from typing import NoReturn

from hollow_common.errors import Exit, Failure, Fatal, Panic
from hollow_common.facts import since, version
from hollow_common.go import errno_text, in_background, quote, read_file
from hollow_common.http_server import Server, keep_trying
from hollow_common.log import log, structured
from hollow_common.tls import ServingTls, load_client_ca

from hollow_kubelet.access import Gate
from hollow_kubelet.checks import (
    check_cloud,
    check_kubelet,
    check_runtime,
    check_runtime_endpoint,
    check_sources,
    check_swap,
)
from hollow_kubelet.choices import check_choices, check_sysctls, check_tls, http2_problem
from hollow_kubelet.configuration import Configuration
from hollow_kubelet.feature_gates import set_feature_gates
from hollow_kubelet.flags import FlagSet
from hollow_kubelet.joining import Joining
from hollow_kubelet.lock import take_lock
from hollow_kubelet.mirror_pods import MirrorPods
from hollow_kubelet.node import Node
from hollow_kubelet.pages import KubeletPages, cadvisor_port, healthz_port
from hollow_kubelet.resources import check_capacity, check_resources
from hollow_kubelet.serving import check_given, lacks_certificate, serving_files
from hollow_kubelet.static_pods import StaticPods
from hollow_kubelet.validation import check_configuration, check_flags

TERMINATING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)


class Kubelet:
    """The kubelet with its flags: run() in cmd/kubelet/app/server.go and what that calls."""

    def __init__(self, flags: FlagSet, configuration: Configuration) -> None:
        self.flags = flags
        self.configuration = configuration
        self.node = Node(flags, configuration.values if since(10) else None)
        self.joining = Joining(flags, self.node)
        self.files = ("", "")
        self.client_ca: bytes | None = None

    def secure(self) -> None:
        """Load certificate, key and client CA: InitializeTLS."""
        flags = self.flags
        if since(10):
            check_tls(self.configuration.values)
        self.files = serving_files(flags, self.node.name)
        if since(10):
            for field, path in zip(("tlsCertFile", "tlsPrivateKeyFile"), self.files):  # noqa: B905
                self.configuration.values[field] = path
        if flags["client-ca-file"] and not since(36):
            self.client_ca = load_client_ca(flags["client-ca-file"])

    def run(self) -> NoReturn:
        """Start everything in the order of the real kubelet, then wait for signals."""
        flags = self.flags
        self.check()
        shown = self.configuration.shown()
        if since(8) and not since(10):
            self.secure()
        api = self.joining.api_server()
        if not since(8):
            self.secure()
        if flags["client-ca-file"] and since(36):
            self.client_ca = load_client_ca(flags["client-ca-file"])
        gate = Gate(flags, self.node.name, api)
        self.make_root()
        self.serve_cadvisor()
        if self.joining.broken:
            raise Panic("runtime error: invalid memory address or nil pointer dereference")
        if not api:
            problem = "No api server defined - no events will be sent to API server."
            log("W", "server.go:356", problem)
        if since(18):
            check_runtime(flags)
        check_runtime_endpoint(flags)
        check_resources(flags)
        check_swap(flags)
        if since(10):
            check_choices(self.configuration.values)
        check_sysctls(flags["experimental-allowed-unsafe-sysctls"])
        check_sources(flags)
        pods = self.static_pods()
        try:
            check_kubelet(flags)
            check_given(flags)
            self.make_folders()
        except Failure as error:
            raise Failure(f"failed to create kubelet: {error}") from None
        self.handle_signals()
        if flags["runonce"]:
            raise Failure("runonce failed: the hollow kubelet runs no pods")
        log("I", "server.go:943", f"Started kubelet {version()}")
        if api:
            in_background(self.joining.follow, api)
            in_background(MirrorPods(pods, self.node).follow, api)
        else:
            problem = "No api server defined - no node status update will be sent."
            log("W", "kubelet.go:1313", problem)
        in_background(self.node.initial)  # looking up an address may take its time
        check_capacity(flags)
        pages = KubeletPages(self.node, pods, shown, self.joining.standalone)
        self.serve(pages, gate)
        if since(10):
            notify_systemd("READY=1")
        while True:
            signal.pause()

    def check(self) -> None:
        """Take the lock and check the configuration; 1.7 takes the lock first of all."""
        flags = self.flags
        if not since(8):
            take_lock(flags["lock-file"], flags["exit-on-lock-contention"])
        set_feature_gates(flags["feature-gates"])
        check_configuration(flags, self.configuration.values)
        if since(8):
            check_flags(flags)
            take_lock(flags["lock-file"], flags["exit-on-lock-contention"])
        check_cloud(flags)
        if not since(11):
            self.joining.bootstrap()

    def handle_signals(self) -> None:
        """End on signals: until 1.10 as dockershim does (pkg/util/interrupt), if it is used."""
        if since(11):
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: os._exit(0))
        elif self.flags["container-runtime"] == "docker":
            for number in TERMINATING:
                signal.signal(number, lambda *_: os._exit(1))

    def static_pods(self) -> StaticPods:
        """Return the static pods, and follow their path if one is configured."""
        path = self.flags["pod-manifest-path"]
        pods = StaticPods(path, self.flags["file-check-frequency"], self.node.name)
        if path:
            log("I", "kubelet.go:263", f"Adding manifest file: {path}")
            in_background(pods.follow)
        return pods

    def make_root(self) -> None:
        """Make --root-dir as cAdvisor does: pkg/kubelet/cadvisor, from 1.8 on."""
        path = self.flags["root-dir"]
        if not since(8) or not path:
            return
        try:
            os.makedirs(path, 0o750, exist_ok=True)
        except OSError as error:
            problem = f"mkdir {path}: {errno_text(error)}"
            raise Failure(f"error creating root directory {quote(path)}: {problem}") from None

    def make_folders(self) -> None:
        """Make the folders below --root-dir (setupDataDirs in pkg/kubelet/kubelet.go)."""
        for name in ("", "pods", "plugins"):
            path = os.path.join(self.flags["root-dir"], name)
            try:
                os.makedirs(path, 0o750, exist_ok=True)
            except OSError as error:
                raise Failure(f"mkdir {path}: {errno_text(error)}") from None

    def serve_cadvisor(self) -> None:
        """Open --cadvisor-port, retrying until it is free."""
        port = self.flags["cadvisor-port"]

        def report(error: Failure) -> None:
            problem = f"Failed to register cAdvisor on port {port}, retrying. Error: {error}"
            log("I", "cadvisor_linux.go:149", problem)

        if port > 0:
            keep_trying(60, report, "", port, cadvisor_port)

    def serve(self, pages: KubeletPages, gate: Gate) -> None:
        """Open the kubelet's ports."""
        flags = self.flags
        address, port = flags["address"], flags["port"]
        if flags["enable-server"]:
            log("I", "server.go:132", f"Starting to listen on {address}:{port}")
            try:
                waits = lacks_certificate(flags, self.configuration.values, self.joining.standalone)
                certificate, key = (b"", b"") if waits else map(read_file, self.files)
                tls = ServingTls(certificate, key, self.client_ca, flags["client-ca-file"])
                problem = http2_problem(self.configuration.values) if since(10) else ""
                if problem:
                    raise Failure(problem)
                answer = pages.protected(gate, flags["enable-debugging-handlers"])
                Server(address, port, answer, tls)
            except Failure as error:
                raise not_listening(error) from None
        if flags["read-only-port"] > 0:
            try:
                Server(address, flags["read-only-port"], pages.read_only)
            except Failure as error:
                raise not_listening(error) from None
        if flags["healthz-port"] > 0:

            def report(error: Failure) -> None:
                log("E", "server.go:612", f"Starting health server failed: {error}")

            host = flags["healthz-bind-address"]
            keep_trying(5, report, host, flags["healthz-port"], healthz_port)


def not_listening(error: Failure) -> Exception:
    """Return how a kubelet ends that cannot serve."""
    if not since(21):
        return Fatal("server.go:144", str(error))
    return Exit("server.go:180", structured("Failed to listen and serve", err=str(error)))


def notify_systemd(state: str) -> None:
    """Notify systemd of a state if it listens: sd_notify(3)."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        address = "\0" + path[1:] if path.startswith("@") else path
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service, suppress(OSError):
            service.sendto(state.encode(), address)
