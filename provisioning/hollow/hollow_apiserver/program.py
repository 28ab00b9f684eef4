"""The command: hollow-apiserver, with the flags of kube-apiserver."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import NoReturn

from hollow_common.errors import Failure
from hollow_common.facts import version
from hollow_common.go import SECOND, in_background, quote, read_file
from hollow_common.log import complain, log
from hollow_common.machine import local_addresses
from hollow_common.tls import ServingTls, load_client_ca

from hollow_apiserver.admission import Admission
from hollow_apiserver.authentication import Authentication
from hollow_apiserver.authorization import MODES, Authorization
from hollow_apiserver.certificates import Signer
from hollow_apiserver.etcd import Etcd, EtcdFailure, client_context
from hollow_apiserver.failures import RequestFailure
from hollow_apiserver.lifecycle import Lifecycle
from hollow_apiserver.options import FlagSet
from hollow_apiserver.port import Port
from hollow_apiserver.proxy import Proxy
from hollow_apiserver.rest import Rest
from hollow_apiserver.reviews import Reviews
from hollow_apiserver.seeds import sow
from hollow_apiserver.server import ApiServer
from hollow_apiserver.storage import Storage

HELP = """\
The Kubernetes API server validates and configures data for the api objects which include pods,
services, and others. This one is hollow: it serves nodes and people, and runs no workloads.
"""


def run(argv: list[str]) -> int:
    """Run and return the exit status."""
    flags = FlagSet()
    usage = f"Usage:\n  hollow-apiserver [flags]\n\nFlags:\n{flags.usage()}"
    try:
        others = flags.parse(argv[1:])
        if others:
            raise Failure(f'unknown command {quote(others[0])} for "hollow-apiserver"')
        if flags["help"]:
            print(f"{HELP}\n{usage}")
            return 0
        if flags["version"] != "false":
            print(f"Kubernetes {version()}")
            return 0
        serve(flags)
    except Failure as error:
        complain(f"Error: {error}")
        return 1


def check(flags: FlagSet) -> None:
    """Refuse flags that cannot work: cmd/kube-apiserver/app/options/validation.go."""
    problems = []
    if not flags["etcd-servers"]:
        problems.append("--etcd-servers must be specified")
    if not 1 <= flags["secure-port"] <= 65535:
        problem = f"--secure-port {flags['secure-port']} must be between 1 and 65535, inclusive"
        problems.append(problem)
    for mode in flags["authorization-mode"]:
        if mode not in MODES:
            problems.append(f"authorization-mode {quote(mode)} is not a valid mode")
    pairs = (
        ("tls-cert-file", "tls-private-key-file"),
        ("etcd-certfile", "etcd-keyfile"),
        ("kubelet-client-certificate", "kubelet-client-key"),
        ("cluster-signing-cert-file", "cluster-signing-key-file"),
    )
    for first, second in pairs:
        if bool(flags[first]) != bool(flags[second]):
            problems.append(f"--{first} and --{second} must be given together")
    if not flags["tls-cert-file"]:
        problems.append("--tls-cert-file must be specified: the hollow API server makes none")
    if problems:
        raise Failure(", ".join(problems))


def serve(flags: FlagSet) -> NoReturn:
    """Serve until a signal ends the program."""
    check(flags)
    log.verbosity = flags["v"]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    log("I", "server.go:152", f"Version: {version()}")
    context = None
    if flags["etcd-cafile"] or flags["etcd-certfile"]:
        context = client_context(
            flags["etcd-cafile"], flags["etcd-certfile"], flags["etcd-keyfile"]
        )
    etcd = Etcd(flags["etcd-servers"], context)
    server = build(flags, etcd)
    authority = load_client_ca(flags["client-ca-file"]) if flags["client-ca-file"] else None
    tls = ServingTls(
        read_file(flags["tls-cert-file"]),
        read_file(flags["tls-private-key-file"]),
        authority,
        flags["client-ca-file"],
    )
    host, port = flags["bind-address"], flags["secure-port"]
    try:
        Port(host, port, server.answer, tls)
    except Failure as error:
        problem = f"failed to listen on {host}:{port}: {error}"
        raise Failure(f"failed to create listener: {problem}") from None
    log("I", "secure_serving.go:197", f"Serving securely on {host}:{port}")
    in_background(work, flags, server)
    while True:
        signal.pause()


def build(flags: FlagSet, etcd: Etcd) -> ApiServer:
    """Return the server that the flags describe."""
    storage = Storage(etcd)
    tokens = flags["enable-bootstrap-token-auth"] or flags["experimental-bootstrap-token-auth"]
    authentication = Authentication(storage, flags["anonymous-auth"], tokens)
    authorization = Authorization(storage, flags["authorization-mode"])
    plugins = [*flags["enable-admission-plugins"], *flags["admission-control"]]
    signer = Signer(
        authorization,
        flags["cluster-signing-cert-file"],
        flags["cluster-signing-key-file"],
        flags["cluster-signing-duration"] / SECOND,
    )
    proxy = Proxy(
        storage,
        flags["kubelet-client-certificate"],
        flags["kubelet-client-key"],
        flags["kubelet-certificate-authority"],
        flags["kubelet-preferred-address-types"],
    )
    return ApiServer(
        etcd,
        authentication,
        authorization,
        Rest(storage, Admission(storage, plugins), signer),
        Reviews(authentication, authorization),
        proxy,
        f"{own_address(flags)}:{flags['secure-port']}",
    )


def own_address(flags: FlagSet) -> str:
    """Return the address that the server has for others."""
    if flags["advertise-address"]:
        return str(flags["advertise-address"])
    if flags["bind-address"] not in ("0.0.0.0", "::"):
        return str(flags["bind-address"])
    others = sorted(one for one in local_addresses() if not one.startswith("127."))
    return others[0] if others else "127.0.0.1"


def work(flags: FlagSet, server: ApiServer) -> None:
    """Create what every cluster has, then look after the nodes."""
    prepare(flags, server)
    grace = flags["node-monitor-grace-period"] / SECOND
    Lifecycle(server.rest.storage, grace).follow()


def prepare(flags: FlagSet, server: ApiServer) -> None:
    """Create what every cluster has, as soon as etcd answers."""
    while not server.ready:
        try:
            address, port = own_address(flags), flags["secure-port"]
            sow(server.rest.storage, flags["service-cluster-ip-range"], address, port)
            server.ready = True
        except (EtcdFailure, RequestFailure) as error:
            log("E", "hooks.go:203", f"the cluster's first objects could not be made: {error}")
            time.sleep(0.5)


def stop(number: int, _: object) -> None:
    """End with status 0, as the real server does when it is asked to."""
    log("I", "genericapiserver.go:538", f"[graceful-termination] signal {number}: shutting down")
    sys.stdout.flush()
    os._exit(0)
