"""What is installed: one executable file that serves with TLS."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pytest_kubecluster.kubelet.hollow_apiserver import render_hollow_apiserver
from pytest_kubecluster.spec.version import KubeVersion
from tests.unit.hollow_apiserver.fake_etcd import FakeEtcd
from tests.unit.hollow_apiserver.support import config_map, usual_flags
from tests.unit.kubelet.hollow.support import (
    SECONDS,
    Pair,
    Pki,
    client_context,
    eventually,
    free_port,
    make_pki,
)

VERSION = KubeVersion.parse("v1.20.2")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bin") / "hollow-apiserver"
    path.write_bytes(render_hollow_apiserver(VERSION))
    path.chmod(0o755)
    return path


def run(program: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(program), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


class Server(NamedTuple):
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def ask(self, method: str, path: str, pair: Pair | None, body: Any = None) -> tuple[int, bytes]:
        context = client_context(pair)
        connection = HTTPSConnection("127.0.0.1", self.port, timeout=SECONDS, context=context)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


Start = Callable[..., Server]


@pytest.fixture
def start(program: Path, pki: Pki, etcd: FakeEtcd, tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def start_one(*words: str) -> Server:
        port = free_port()
        log = tmp_path / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, str(program), *usual_flags(VERSION.minor), f"--etcd-servers={etcd.url}",
                 "--bind-address=127.0.0.1", f"--secure-port={port}",
                 f"--client-ca-file={pki.ca.crt}", f"--tls-cert-file={pki.serving.crt}",
                 f"--tls-private-key-file={pki.serving.key}", *words],
                stdout=file, stderr=file,
            )  # fmt: skip
        started.append(process)
        server = Server(process, port, log)

        def ready() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return server.ask("GET", "/readyz", pki.client)[0] == 200
            except OSError:
                return False

        eventually("readyz", ready)
        return server

    yield start_one
    for process in started:
        process.kill()
        process.wait()


def test_says_that_it_is_hollow(program: Path) -> None:
    assert run(program, "--version").stdout == "Kubernetes v1.20.2+hollow\n"
    assert "This one is hollow" in run(program, "--help").stdout


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--no-such-flag"], "unknown flag: --no-such-flag"),
        (["--secure-port=x"], 'invalid argument "x" for "--secure-port" flag'),
        (["more"], 'unknown command "more" for "hollow-apiserver"'),
        (["--tls-cert-file=a", "--tls-private-key-file=b"], "--etcd-servers must be specified"),
        (
            ["--etcd-servers=a", "--tls-cert-file=a"],
            "--tls-private-key-file must be given together",
        ),
        (["--authorization-mode=Magic"], 'authorization-mode "Magic" is not a valid mode'),
        (["--secure-port=0"], "--secure-port 0 must be between 1 and 65535, inclusive"),
    ],
)
def test_command_lines_that_are_refused(program: Path, words: list[str], problem: str) -> None:
    done = run(program, *words)
    assert done.returncode == 1
    assert problem in done.stderr


def test_the_archive_has_no_other_program(program: Path) -> None:
    with zipfile.ZipFile(program) as archive:
        packages = {name.partition("/")[0] for name in archive.namelist()}
    assert packages == {"__main__.py", "hollow_apiserver", "hollow_common", "yaml"}


def test_clients_are_known_by_their_certificates(start: Start, pki: Pki) -> None:
    server = start()
    maps = "/api/v1/namespaces/default/configmaps"
    assert server.ask("POST", maps, pki.client, config_map("a"))[0] == 201
    status, body = server.ask("GET", maps, None)
    assert status == 403
    assert 'User \\"system:anonymous\\" cannot list resource \\"configmaps\\"' in body.decode()
    for stranger in (pki.foreign, pki.expired):
        assert server.ask("GET", maps, stranger)[0] == 401
    assert "authentication.go:63] Unable to authenticate the request" in server.log.read_text()
    assert "PRIVATE KEY" not in server.log.read_text()


def test_a_watch_streams_and_ends(start: Start, pki: Pki) -> None:
    server = start()
    maps = "/api/v1/namespaces/default/configmaps"
    context = client_context(pki.client)
    connection = HTTPSConnection("127.0.0.1", server.port, timeout=SECONDS, context=context)
    connection.request("GET", f"{maps}?watch=1&timeoutSeconds=2")
    response = connection.getresponse()
    server.ask("POST", maps, pki.client, config_map("a"))
    event = json.loads(response.readline())
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "a")
    assert response.read() == b"", "it ends after its time"
    connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_with_status_0_when_asked(start: Start, number: signal.Signals) -> None:
    server = start()
    server.process.send_signal(number)
    assert server.process.wait(SECONDS) == 0


def test_a_port_that_is_taken(start: Start, program: Path, pki: Pki, etcd: FakeEtcd) -> None:
    server = start()
    done = run(
        program, f"--etcd-servers={etcd.url}", f"--tls-cert-file={pki.serving.crt}",
        f"--tls-private-key-file={pki.serving.key}", "--bind-address=127.0.0.1",
        f"--secure-port={server.port}",
    )  # fmt: skip
    assert done.returncode == 1
    where = f"127.0.0.1:{server.port}"
    assert (
        f"failed to create listener: failed to listen on {where}: listen tcp {where}" in done.stderr
    )
