"""Kubeconfigs of users, and what an API server answers."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kubecluster.artifacts import certificates
from pytest_kubecluster.artifacts.certificates import Authority, subject
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.nodes.api_server import ApiError, ApiServer

ANSWERS: dict[str, tuple[int, Any]] = {
    "/api/v1/nodes/a": (200, {"metadata": {"name": "a"}}),
    "/api/v1/nodes": (
        403,
        {"message": 'nodes is forbidden: User "dev" cannot list resource "nodes"'},
    ),
    "/api/v1/nodes/old": (401, {"message": "Unauthorized"}),
    "/api/v1/nodes/page": (200, None),
    "/api/v1/nodes/a/proxy/configz": (403, {"message": "forbidden"}),
    "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/a": (403, {"message": "no"}),
    "/api/v1/nodes/late": (401, {"message": "Unauthorized"}),
}
LATE = "Tue, 15 Nov 1994 08:12:31 GMT"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, document = ANSWERS.get(self.path, (404, {"message": "not found"}))
        body = b"<html>" if document is None else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return LATE if self.path.endswith("/late") else super().date_time_string(timestamp)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_address[1]}"
    listening.shutdown()
    listening.server_close()
    thread.join()


def kubeconfig(folder: Path, url: str, **user: str) -> Path:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path


def test_answer(server: str, tmp_path: Path) -> None:
    api = ApiServer(kubeconfig(tmp_path, server, token="t"))
    assert api.get("/api/v1/nodes/a") == {"metadata": {"name": "a"}}


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        (
            "/api/v1/nodes",
            403,
            ["may not list nodes (/api/v1/nodes)", 'cannot list resource "nodes"'],
        ),
        ("/api/v1/nodes/old", 401, ["does not accept the credentials"]),
        ("/api/v1/nodes/a/proxy/configz", 403, ["may not get nodes/proxy ("]),
        (
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/a",
            403,
            ["may not get leases ("],
        ),
        ("/api/v1/nodes/late", 401, ["its clock is", "minutes behind this host's"]),
        ("/api/v1/nodes/b", 404, ["did not get nodes", "404 not found"]),
    ],
)
def test_refusal(server: str, tmp_path: Path, path: str, status: int, words: list[str]) -> None:
    with pytest.raises(ApiError) as caught:
        ApiServer(kubeconfig(tmp_path, server, token="t")).get(path)
    assert caught.value.status == status
    for word in words:
        assert word in str(caught.value)


def test_page_of_something_else(server: str, tmp_path: Path) -> None:
    with pytest.raises(KubeClusterError, match="did not answer in JSON"):
        ApiServer(kubeconfig(tmp_path, server)).get("/api/v1/nodes/page")


def test_server_that_is_not_there(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, "http://127.0.0.1:1")
    with pytest.raises(
        KubeClusterError, match=r"1:1 of .*kubeconfig does not answer: Connection refused$"
    ):
        ApiServer(path).get("/version")
    path = kubeconfig(tmp_path, "https://no-such-host.invalid:6443")
    with pytest.raises(KubeClusterError, match="does not answer: Failed to resolve 'no-such-host"):
        ApiServer(path).get("/version")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not a usable kubeconfig|not a YAML mapping"),
        ("- a", "not a YAML mapping"),
        ("a: [", "is not valid YAML"),
        ("clusters: []\nusers: []\ncontexts: []\n", "not a usable kubeconfig"),
        ("kind: Config\ncurrent-context: x\n", "not a usable kubeconfig"),
    ],
)
def test_file_that_is_no_kubeconfig(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(KubeClusterError, match=problem) as caught:
        ApiServer(path).get("/version")
    assert str(path) in str(caught.value)


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KubeClusterError, match="cannot be read: No such file"):
        ApiServer(tmp_path / "kubeconfig").get("/version")


def test_certificate_that_has_expired(tmp_path: Path) -> None:
    authority = Authority.create(subject("ca"), key_type="ecdsa")
    request = certificates.user("dev", lifetime=timedelta(days=-1), key_type="ecdsa")
    pair = authority.issue(request)
    data = {
        "client-certificate-data": base64.b64encode(pair.cert).decode(),
        "client-key-data": base64.b64encode(pair.key).decode(),
    }
    path = kubeconfig(tmp_path, "https://127.0.0.1:1", **data)
    with pytest.raises(KubeClusterError, match=r"expired on 20\d\d-\d\d-\d\d; get a new"):
        ApiServer(path).get("/version")


def test_embedded_key_is_written_to_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    pair = Authority.create(subject("ca"), key_type="ecdsa").issue(
        certificates.user("dev", key_type="ecdsa")
    )
    data = {
        "client-certificate-data": base64.b64encode(pair.cert).decode(),
        "client-key-data": base64.b64encode(pair.key).decode(),
    }
    assert ApiServer(kubeconfig(tmp_path, "https://127.0.0.1:1", **data)).url
    assert list((tmp_path / "temporary").iterdir()) == []


def test_relative_paths_start_from_the_kubeconfig(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    (tmp_path / "token").write_text("t")
    assert ApiServer(kubeconfig(tmp_path, server, tokenFile="token")).get("/api/v1/nodes/a")
