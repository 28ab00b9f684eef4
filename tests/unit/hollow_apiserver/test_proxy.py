"""Requests that are passed on to kubelets."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.unit.hollow_apiserver.conftest import Boot
from tests.unit.hollow_apiserver.support import JANE, Cluster, node
from tests.unit.kubelet.hollow.support import Pki, free_port, make_pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


class Kubelet:
    """The port of a kubelet that insists on a client certificate."""

    def __init__(self, pki: Pki) -> None:
        self.asked: list[tuple[str, str, str, bytes]] = []
        kubelet = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                certificate: Any = self.connection.getpeercert()
                user = dict(part for ((part),) in certificate["subject"])["commonName"]
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                kubelet.asked.append((user, self.command, self.path, body))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(b'{"kubeletconfig":{}}')

            do_GET = do_POST = answer

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pki.serving)
        context.load_verify_locations(pki.ca.crt)
        context.verify_mode = ssl.CERT_REQUIRED
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def kubelet(pki: Pki) -> Iterator[Kubelet]:
    found = Kubelet(pki)
    yield found
    found.stop()


def started(boot: Boot, pki: Pki, port: int, number: int = 20) -> Cluster:
    cluster = boot(
        number,
        f"--kubelet-client-certificate={pki.client.crt}",
        f"--kubelet-client-key={pki.client.key}",
        f"--kubelet-certificate-authority={pki.ca.crt}",
        "--kubelet-preferred-address-types=InternalIP,Hostname",
    )
    thing = node("node1")
    thing["status"]["addresses"] = [
        {"type": "Hostname", "address": "nowhere.invalid"},
        {"type": "InternalIP", "address": "127.0.0.1"},
    ]
    thing["status"]["daemonEndpoints"] = {"kubeletEndpoint": {"Port": port}}
    cluster.post("/api/v1/nodes", thing)
    return cluster


def test_a_request_is_passed_on_with_the_client_certificate(
    boot: Boot, pki: Pki, kubelet: Kubelet
) -> None:
    cluster = started(boot, pki, kubelet.port)
    got = cluster.get("/api/v1/nodes/node1/proxy/configz?a=b")
    assert (got.status, got.body) == (200, {"kubeletconfig": {}})
    cluster.post("/api/v1/nodes/node1/proxy/run", {"x": 1})
    assert kubelet.asked == [
        ("kubelet", "GET", "/configz?a=b", b""), ("kubelet", "POST", "/run", b'{"x": 1}'),
    ]  # fmt: skip
    assert cluster.get("/api/v1/nodes/node1/proxy/configz", JANE).status == 403


@pytest.mark.parametrize("number", [9, 20])
def test_a_kubelet_that_does_not_answer(boot: Boot, pki: Pki, number: int) -> None:
    port = free_port()
    got = started(boot, pki, port, number).get("/api/v1/nodes/node1/proxy/configz")
    problem = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert got.status == 503
    if number == 9:
        assert f"Error: '{problem}'\nTrying to reach: '".encode() in got.body
    else:
        assert got.body["message"] == f"error trying to reach service: {problem}"


def test_nodes_that_cannot_be_reached(boot: Boot, pki: Pki) -> None:
    cluster = started(boot, pki, 1)
    assert cluster.get("/api/v1/nodes/nope/proxy/pods").status == 404
    cluster.post("/api/v1/nodes", {"metadata": {"name": "blank"}})
    got = cluster.get("/api/v1/nodes/blank/proxy/pods")
    assert got.body["message"].startswith("no preferred addresses found")
