"""What the checks of a joined node make of its certificate, of requests and of tokens."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from pytest_kubecluster.artifacts.bootstrap import BootstrapToken
from pytest_kubecluster.artifacts.certificates import Authority, node_client, subject
from pytest_kubecluster.artifacts.pki import Pki
from pytest_kubecluster.layouts.cluster import cluster_spec, with_control_plane
from pytest_kubecluster.layouts.kubeadm import CERTIFICATE
from pytest_kubecluster.nodes import joining
from pytest_kubecluster.nodes.agent.bootstrap import bootstrap
from pytest_kubecluster.nodes.api_server import ApiError, ApiServer
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.parts import Authority as SeenAuthority
from pytest_kubecluster.nodes.parts import File, Kubeconfig
from pytest_kubecluster.nodes.verdict import Case, Difference, NothingToCheck
from pytest_kubecluster.spec.defaults import LayoutName
from pytest_kubecluster.spec.model import ControlPlaneSpec, KubeletSpec
from pytest_kubecluster.spec.version import KubeVersion

FILE = File("/etc/kubernetes/bootstrap-kubelet.conf", "root", "root", 0o600)


def kubelet(*, joins: bool = True) -> KubeletSpec:
    version = KubeVersion(1, 30, 0)
    spec = cluster_spec(1, 1, version=version, layout="kubeadm")
    return with_control_plane(spec, ControlPlaneSpec(version, tls_bootstrap=joins))[
        "worker01"
    ].kubelet


@dataclass
class Seen:
    """A node that joined: what was seen of it, and what its API server has."""

    pem: str
    ca: str
    requests: list[dict[str, Any]]
    token_status: int = 401
    first: Kubeconfig | None = None
    settings: dict[str, Any] | None = None
    files: tuple[str, ...] = (CERTIFICATE,)
    joins: bool = True
    old: bool = False
    process: Any = "runs"
    layout: LayoutName = "kubeadm"

    def case(self) -> Case:
        files: dict[str, tuple[File | None, bool]] = dict.fromkeys(self.files, (None, True))
        used = Kubeconfig(
            "/etc/kubernetes/kubelet.conf",
            FILE,
            kind="certificate",
            certificates=(self.pem,),
            files=files,
            bootstrap=self.first,
        )
        settings = {"rotate-certificates": True} if self.settings is None else self.settings
        observed = SimpleNamespace(
            credentials=used,
            registered_name="worker01",
            client_ca=SeenAuthority("/etc/kubernetes/pki/ca.crt", (self.ca,)),
            time=time.time(),
            setting=settings.get,
            process=self.process,
        )
        return Case(
            cast(Any, observed),
            cast(Any, None),
            replace(kubelet(joins=self.joins), layout=self.layout),
        )

    def ask(self, command: str, request: dict[str, Any]) -> dict[str, Any]:
        assert (command, request) == ("bootstrap", {"kubeconfig": FILE.path})
        return {"status": self.token_status, "message": "no answer"}

    @property
    def api(self) -> Any:
        def get(path: str) -> Any:
            if "/v1/" in path and self.old:
                raise ApiError("not found", 404)
            return {"items": self.requests}

        return SimpleNamespace(get=get)

    @property
    def node(self) -> Node:
        return cast(Node, self)


def request(pem: bytes, user: str = "system:bootstrap:abcdef") -> dict[str, Any]:
    encoded = base64.b64encode(pem).decode()
    return {"spec": {"username": user}, "status": {"certificate": encoded}}


@pytest.fixture(scope="module")
def pem(pki: Pki) -> bytes:
    return pki.authority.issue(node_client("worker01", key_type="ecdsa")).cert


@pytest.fixture
def seen(pem: bytes, pki: Pki) -> Seen:
    return Seen(pem.decode(), pki.ca_cert.decode(), [{"spec": {}, "status": {}}, request(pem)])


def text(differences: Iterator[Difference]) -> str:
    return "; ".join(f"{one.name}: {one.actual}" for one in differences)


def test_a_node_that_joined(seen: Seen) -> None:
    assert text(joining.certificate_was_requested(seen.node)) == ""
    assert text(joining.certificate_is_rotated(seen.case())) == ""


def test_requests_of_old_versions_count(seen: Seen) -> None:
    assert text(joining.certificate_was_requested(replace(seen, old=True).node)) == ""


def test_a_certificate_that_no_request_led_to(seen: Seen) -> None:
    found = text(joining.certificate_was_requested(replace(seen, requests=[]).node))
    assert found == "client certificate: for none"


def test_requests_are_not_kept_for_ever(seen: Seen, pki: Pki) -> None:
    old = pki.authority.issue(
        node_client("worker01", lifetime=timedelta(minutes=-10), key_type="ecdsa")
    )
    one = replace(seen, pem=old.cert.decode(), requests=[])
    with pytest.raises(NothingToCheck, match="kept for an hour"):
        text(joining.certificate_was_requested(one.node))


def test_a_request_of_somebody_else(seen: Seen, pem: bytes) -> None:
    one = replace(seen, requests=[request(pem, "system:node:other")])
    found = text(joining.certificate_was_requested(one.node))
    assert found == "client certificate requested by: system:node:other"


def test_the_certificate_of_another_node(seen: Seen, pki: Pki) -> None:
    other = pki.authority.issue(node_client("other", key_type="ecdsa")).cert
    one = replace(seen, pem=other.decode(), requests=[request(other)])
    found = text(joining.certificate_was_requested(one.node))
    assert found == "client certificate user: system:node:other of system:nodes"


def test_the_certificate_of_another_authority(seen: Seen) -> None:
    authority = Authority.create(subject("other"), key_type="ecdsa")
    other = authority.issue(node_client("worker01", key_type="ecdsa")).cert
    one = replace(seen, pem=other.decode(), requests=[request(other)])
    assert "signed by CN=other" in text(joining.certificate_was_requested(one.node))


@pytest.mark.parametrize("settings", [{}, {"rotate-certificates": False}])
def test_rotation_that_is_off(seen: Seen, settings: dict[str, Any]) -> None:
    found = text(joining.certificate_is_rotated(replace(seen, settings=settings).case()))
    assert found == "rotate-certificates: false"


def test_rotation_of_a_kubelet_that_does_not_run(seen: Seen) -> None:
    with pytest.raises(NothingToCheck, match="no kubelet runs"):
        list(joining.certificate_is_rotated(replace(seen, process=None).case()))


def test_a_certificate_that_is_not_in_its_place(seen: Seen) -> None:
    found = text(joining.certificate_is_rotated(replace(seen, files=()).case()))
    assert found == "client certificate: embedded"
    there = {"rotate-certificates": True, "cert-dir": "/var/lib/certificates"}
    found = text(joining.certificate_is_rotated(replace(seen, settings=there).case()))
    assert found == f"client certificate: {CERTIFICATE}"


@pytest.mark.parametrize(
    "check",
    [
        lambda seen: joining.certificate_was_requested(seen.node),
        lambda seen: joining.certificate_is_rotated(seen.case()),
    ],
)
def test_nodes_that_do_not_join_are_not_judged(
    seen: Seen, check: Callable[[Seen], Iterator[Difference]]
) -> None:
    with pytest.raises(NothingToCheck, match="does not say"):
        list(check(replace(seen, joins=False)))


TOKEN = Kubeconfig(FILE.path, FILE, kind="token")


@pytest.mark.parametrize(
    ("first", "status", "found"),
    [
        (Kubeconfig(FILE.path, None, problem="it does not exist"), 200, ""),
        (TOKEN, 401, ""),
        (TOKEN, 200, "bootstrap token: accepted (200)"),
        (TOKEN, 403, "bootstrap token: accepted (403)"),
        (TOKEN, 0, "bootstrap token: no answer"),
    ],
)
def test_tokens_are_used_up(seen: Seen, first: Kubeconfig, status: int, found: str) -> None:
    one = replace(seen, first=first, token_status=status)
    assert text(joining.token_is_used_up(one.node)) == found


def test_tokens_of_a_users_node_are_the_users(seen: Seen) -> None:
    one = replace(seen, first=TOKEN, token_status=200, layout="found")
    with pytest.raises(NothingToCheck, match="how the node joins"):
        list(joining.token_is_used_up(one.node))


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (None, "no --bootstrap-kubeconfig"),
        (replace(TOKEN, kind="certificate"), "has no token, but certificate"),
    ],
)
def test_there_may_be_no_token(seen: Seen, first: Kubeconfig | None, reason: str) -> None:
    with pytest.raises(NothingToCheck, match=reason):
        list(joining.token_is_used_up(replace(seen, first=first).node))


@pytest.mark.parametrize(
    ("expiration", "ends"),
    [
        ("2026-01-01T12:00:00Z", True),
        ("2026-01-01T12:00:00+02:00", True),
        ("", False),
        ("never", False),
    ],
)
def test_tokens_have_to_expire(seen: Seen, expiration: str, ends: bool) -> None:
    secret = BootstrapToken("abcdef", "0123456789abcdef").document()
    secret["data"]["expiration"] = base64.b64encode(expiration.encode()).decode()
    other = {"type": "Opaque", "metadata": {"name": "mine"}}
    server = replace(seen, requests=[secret, other]).api
    found = list(joining.tokens_expire(cast(ApiServer, server)))
    assert [one.actual_in for one in found] == (
        [] if ends else ["Secret kube-system/bootstrap-token-abcdef"]
    )
    assert "0123456789abcdef" not in repr(found)


# ------------------------------------------------------------------------------------- the agent


class Refusing(BaseHTTPRequestHandler):
    """An API server that knows one token."""

    def do_GET(self) -> None:
        known = self.headers.get("Authorization") == "Bearer abcdef.0123456789abcdef"
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(pki: Pki, tmp_path: Path) -> Iterator[str]:
    import ssl
    from ipaddress import IPv4Address

    from pytest_kubecluster.artifacts.certificates import server as serving

    pair = pki.authority.issue(serving("api", (), (IPv4Address("127.0.0.1"),), key_type="ecdsa"))
    (tmp_path / "server.pem").write_bytes(pair.combined)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    listening.socket = context.wrap_socket(listening.socket, server_side=True)
    thread = Thread(target=listening.serve_forever)
    thread.start()
    yield f"https://127.0.0.1:{listening.server_address[1]}"
    listening.shutdown()
    listening.server_close()
    thread.join()


def written(path: Path, server: str, ca: bytes, user: dict[str, str]) -> str:
    authority = {"certificate-authority-data": base64.b64encode(ca).decode()}
    document = {
        "clusters": [{"name": "c", "cluster": {"server": server, **authority}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(document))
    return str(path)


@pytest.mark.parametrize(
    ("token", "status"), [("abcdef.0123456789abcdef", 200), ("abcdef.aaaaaaaaaaaaaaaa", 401)]
)
def test_agent_asks_with_the_token(
    token: str, status: int, server: str, pki: Pki, tmp_path: Path
) -> None:
    path = written(tmp_path / "config", server, pki.ca_cert, {"token": token})
    answer = bootstrap("kubelet", path, 1.0)
    assert answer == {"status": status, "message": ""}
    (tmp_path / "token").write_text(token)
    path = written(tmp_path / "config", server, pki.ca_cert, {"tokenFile": "token"})
    assert bootstrap("kubelet", path, 1.0)["status"] == status


def test_agent_sends_no_token_to_another_server(server: str, tmp_path: Path) -> None:
    other = Authority.create(subject("other"), key_type="ecdsa").cert
    token = "abcdef.0123456789abcdef"
    path = written(tmp_path / "config", server, other, {"token": token})
    answer = bootstrap("kubelet", path, 1.0)
    assert answer["status"] == 0
    assert "certificate verify failed" in answer["message"]
    assert token not in json.dumps(answer)


def test_agent_names_what_is_wrong(server: str, pki: Pki, tmp_path: Path) -> None:
    path = written(tmp_path / "config", server, pki.ca_cert, {"username": "u", "password": "p"})
    assert bootstrap("kubelet", path, 1.0) == {"status": 0, "message": "it has no token"}
    assert bootstrap("kubelet", "/nonexistent", 1.0)["message"] == "it does not exist"
