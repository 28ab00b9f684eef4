from __future__ import annotations

import json
import os
import re
import socket
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.unit.kubelet.hollow.support import (
    NUMBERS,
    SECONDS,
    Kubelet,
    Pki,
    Start,
    StartMinor,
    free_port,
)


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
def test_pages(article_kubelet: Kubelet, pki: Pki, path: str, status: int, body: str) -> None:
    assert article_kubelet.get(path, pki.client) == (status, body)


def test_unknown_paths_are_404_without_authentication(article_kubelet: Kubelet) -> None:
    assert article_kubelet.get("/nosuch")[0] == 404
    assert article_kubelet.get("/configz")[0] == 401


def test_methods(article_kubelet: Kubelet, pki: Pki) -> None:
    assert article_kubelet.get("/pods", pki.client, "POST") == (405, "405: Method Not Allowed")
    assert article_kubelet.get("/healthz", pki.client, "PUT") == (200, "ok")
    assert article_kubelet.get("/healthz", pki.client, "HEAD") == (200, "")


def test_connections_are_kept_alive(article_kubelet: Kubelet) -> None:
    connection = HTTPConnection("127.0.0.1", article_kubelet.read_only, timeout=SECONDS)
    connection.connect()
    first = connection.sock
    for _ in range(3):
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok"
    assert connection.sock is first
    connection.close()


def test_read_only_port(article_kubelet: Kubelet) -> None:
    assert article_kubelet.plain("/healthz") == (200, "ok")
    assert json.loads(article_kubelet.plain("/pods")[1])["items"] is None
    assert json.loads(article_kubelet.plain("/spec/")[1])["num_cores"] == os.cpu_count()
    assert 'gitVersion="v1.7.5+coreos.1+hollow"' in article_kubelet.plain("/metrics")[1]
    for path in ("/configz", "/logs/", "/runningpods/", "/run/a/b/c"):
        assert article_kubelet.plain(path)[0] == 404, path


def test_healthz_port_has_nothing_else(article_kubelet: Kubelet) -> None:
    assert article_kubelet.plain("/healthz/ping", article_kubelet.healthz) == (200, "ok")
    assert article_kubelet.plain("/pods", article_kubelet.healthz)[0] == 404


def test_configz_shows_the_flags(article_kubelet: Kubelet, pki: Pki) -> None:
    status, body = article_kubelet.get("/configz", pki.client)
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
        "port": article_kubelet.port,
        "registerWithTaints": [
            {"key": "node-role.kubernetes.io/master", "effect": "NoSchedule", "timeAdded": None}
        ],
        "streamingConnectionIdleTimeout": "4h0m0s",
        "kubeReserved": {},
    }.items() <= found.items()
    assert "featureGates" not in found, "left out while empty"
    assert "memory.available\\u003c100Mi" in body, "as Go escapes it"


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


def test_a_taken_port_is_fatal(start: Start, article_kubelet: Kubelet) -> None:
    kubelet = start(f"--port={article_kubelet.port}")
    assert kubelet.wait_ended() == 255
    problem = f"listen tcp 127.0.0.1:{article_kubelet.port}: bind: address already in use"
    assert re.search(rf"^F\d{{4}} .*server\.go:144\] {problem}$", kubelet.log, re.MULTILINE)


def test_a_taken_healthz_port_is_not_fatal(start: Start, article_kubelet: Kubelet) -> None:
    kubelet = start(f"--healthz-port={article_kubelet.healthz}")
    kubelet.wait_logged(
        rf"^E.*server\.go:612\] Starting health server failed: "
        rf"listen tcp 127\.0\.0\.1:{article_kubelet.healthz}: bind: address already in use$"
    )
    assert kubelet.process.poll() is None


@pytest.mark.parametrize("number", NUMBERS)
def test_serves(start_minor: StartMinor, tmp_path: Path, number: int) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(0.1 if number < 10 else SECONDS)
        kubelet = start_minor(number, NOTIFY_SOCKET=str(tmp_path / "notify"))
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
