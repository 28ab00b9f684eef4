from __future__ import annotations

import json
import re

import pytest
from hollow_common.http_server import Request, text_page
from hollow_common.tls import Client
from hollow_kubelet.access import Gate
from hollow_kubelet.api_server import ApiError
from hollow_kubelet.flags import FlagSet

from tests.unit.kubelet.hollow.support import (
    CERTIFICATES,
    NUMBERS,
    FakeApi,
    Kubelet,
    Pki,
    Play,
    Run,
    Start,
    free_port,
    needed,
)


def test_only_valid_client_certificates_are_accepted(article_kubelet: Kubelet, pki: Pki) -> None:
    assert article_kubelet.get("/healthz", pki.client) == (200, "ok")
    for pair in (None, pki.foreign, pki.server_only, pki.expired, pki.nameless):
        assert article_kubelet.get("/healthz", pair) == (401, "Unauthorized"), pair
    reasons = re.findall(r"server\.go:236\] .*error: x509: (.*)", article_kubelet.log)
    assert reasons[:3] == [
        "certificate signed by unknown authority",
        "certificate specifies an incompatible key usage",
        "certificate has expired or is not yet valid",
    ]


def test_anonymous_clients(start: Start, pki: Pki) -> None:
    kubelet = start(f"--client-ca-file={pki.ca.crt}").wait_healthy()
    for pair in (None, pki.client, pki.nameless):
        assert kubelet.get("/pods", pair)[0] == 200, pair
    assert kubelet.get("/pods", pki.foreign) == (401, "Unauthorized")
    assert json.loads(kubelet.get("/stats/summary")[1])["node"]["nodeName"] == "node1"


def test_no_certificate_is_requested_without_a_client_ca(start: Start, pki: Pki) -> None:
    kubelet = start("--enable-debugging-handlers=false").wait_healthy()
    assert kubelet.get("/pods", pki.foreign)[0] == 200
    assert kubelet.get("/configz")[0] == kubelet.get("/logs/")[0] == 404


def test_webhooks(start_with_api: Start, api: FakeApi, pki: Pki) -> None:
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


def test_an_unreachable_webhook(start_with_api: Start) -> None:
    kubelet = start_with_api(f"https://127.0.0.1:{free_port()}", "--authorization-mode=Webhook")
    kubelet.wait_healthy()
    words = "user=system:anonymous, verb=get, resource=nodes, subresource=proxy"
    assert kubelet.get("/pods") == (500, f"Authorization error ({words})")
    kubelet.wait_logged("Failed to make webhook authorizer request: .*connection refused$")


class NoApi:
    def request(self, *_: object) -> None:
        raise ApiError("connection refused")


@pytest.mark.parametrize(("number", "subresource"), [(9, "proxy"), (32, "proxy"), (36, "pods")])
def test_what_cannot_be_authorized_is_an_error(play: Play, number: int, subresource: str) -> None:
    # So do real kubelets of 1.9.8 and 1.36.3.
    play(number)
    flags = FlagSet()
    flags.parse(["--authorization-mode=Webhook"])
    gate = Gate(flags, "node1", NoApi())  # type: ignore[arg-type]
    page = gate.refuse(Request("GET", "/pods", {}, "", Client("jane")))
    words = f"user=jane, verb=get, resource=nodes, subresource={subresource}"
    assert page == text_page(f"Authorization error ({words})", 500)


@pytest.mark.parametrize("number", NUMBERS)
def test_webhooks_need_an_api_server(run: Run, number: int) -> None:
    ended = run(number, *needed(number), *CERTIFICATES, "--authorization-mode=Webhook")
    assert "no client provided, cannot use webhook authorization" in ended.problem


@pytest.mark.parametrize(
    ("number", "path", "subresources"),
    [
        (32, "/pods", ["proxy"]),
        (33, "/pods", ["pods", "proxy"]),
        (33, "/runningpods/", ["pods", "proxy"]),
        (36, "/healthz/ping", ["healthz", "proxy"]),
        (36, "/configz", ["configz", "proxy"]),
        (36, "/metrics/cadvisor", ["metrics"]),
        (7, "/logs/", ["log"]),
    ],
)
def test_subresources_of_paths(play: Play, number: int, path: str, subresources: list[str]) -> None:
    play(number)
    assert Gate.subresources(path) == subresources
