from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest
from hollow_common import facts
from hollow_common.libc import libc
from hollow_kubelet import program as command
from hollow_kubelet import serving
from hollow_kubelet.flags import FlagSet

from pytest_kubecluster.kubelet.hollow import hollow_facts, render_hollow
from tests.unit.kubelet.hollow.support import (
    ARTICLE_FLAGS,
    VERSION,
    Ended,
    FakeApi,
    Kubelet,
    Loaded,
    Pair,
    Pki,
    Play,
    Run,
    Start,
    Started,
    StartMinor,
    eventually,
    free_port,
    kubeconfig,
    make_pki,
    needed,
    version_of,
)


@pytest.fixture(scope="session", autouse=True)
def article_version() -> None:
    """Makes the program in this process behave as the article's version."""
    facts.play(hollow_facts(VERSION))


@pytest.fixture
def play() -> Iterator[Play]:
    """Makes the program in this process behave as a minor, until the end of the test."""
    yield lambda number: facts.play(hollow_facts(version_of(number)))
    facts.play(hollow_facts(VERSION))


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of the article's version, as a file."""
    path = tmp_path_factory.mktemp("opt") / "hyperkube"
    path.write_bytes(render_hollow(VERSION))
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Writes a minor's program under the name it is installed by."""
    folder = tmp_path_factory.mktemp("hollow")

    @cache
    def write(number: int) -> Path:
        path = folder / str(number) / ("kubelet" if number >= 17 else "hyperkube")
        path.parent.mkdir()
        path.write_bytes(render_hollow(version_of(number)))
        path.chmod(0o755)
        return path

    return write


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


really_write = os.write


def forbidden(host: str) -> NoReturn:
    raise AssertionError(f"it signs a certificate for {host} in this machine's own folders")


@pytest.fixture
def run(play: Play, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line to its end inside this process."""

    def run_one(number: int, *words: str, name: str = "") -> Ended:
        play(number)
        out, err = io.StringIO(), io.StringIO()

        def write(descriptor: int, data: bytes) -> int:
            if descriptor != 2:
                return really_write(descriptor, data)
            err.write(data.decode())
            return len(data)

        launcher = [name or "kubelet"] if name or number >= 17 else ["hyperkube", "kubelet"]
        with monkeypatch.context() as patch, contextlib.redirect_stdout(out):
            patch.setattr(os, "write", write)
            patch.setattr(serving, "self_signed", forbidden)
            patch.setattr(libc, "prctl", lambda *_: 0)
            patch.setattr(signal, "signal", lambda *_: None)
            status = command.run([*launcher, *words])
        return Ended(status, out.getvalue(), err.getvalue())

    return run_one


@pytest.fixture
def log_lines(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Catches what the program in this process logs."""
    lines: list[str] = []

    def write(descriptor: int, data: bytes) -> int:
        if descriptor != 2:
            return really_write(descriptor, data)
        lines.append(data.decode())
        return len(data)

    monkeypatch.setattr(os, "write", write)
    return lambda: "".join(lines)


@pytest.fixture
def load(play: Play, tmp_path: Path) -> Callable[..., Loaded]:
    """Reads a configuration file and flags as a minor does."""

    def load_one(number: int, text: str, *words: str) -> Loaded:
        play(number)
        path = tmp_path / "config.yaml"
        path.write_text(text)
        flags = FlagSet()
        line = [f"--config={path}", *needed(number), *words]
        flags.parse(line)
        configuration = command.prepare(flags, line)
        return Loaded(flags, configuration.shown()["kubeletconfig"])

    return load_one


@pytest.fixture
def start(program: Path, pki: Pki, tmp_path: Path) -> Iterator[Start]:
    """Starts kubelets of the article's version, and ends them after the test."""
    started: list[Kubelet] = []

    def start_one(*flags: str, folder: str = "kubelet", serving: Pair | None = None) -> Kubelet:
        kubelet = Kubelet(program, tmp_path / folder, serving or pki.serving, *flags)
        started.append(kubelet)
        return kubelet

    yield start_one
    for kubelet in started:
        kubelet.stop()


@pytest.fixture(scope="session")
def article_kubelet(
    program: Path, pki: Pki, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kubelet]:
    """A kubelet with the article's flags, for the tests that only look at it."""
    folder = tmp_path_factory.mktemp("article")
    (folder / "manifests").mkdir()
    (folder / "kubeconfig").write_text(kubeconfig(pki))
    kubelet = Kubelet(
        program,
        folder,
        pki.serving,
        f"--kubeconfig={folder / 'kubeconfig'}",
        f"--client-ca-file={pki.ca.crt}",
        f"--lock-file={folder / 'kubelet.lock'}",
        f"--pod-manifest-path={folder / 'manifests'}",
        *ARTICLE_FLAGS,
    )
    try:
        yield kubelet.wait_healthy()
    finally:
        kubelet.stop()


@pytest.fixture
def start_minor(programs: Callable[[int], Path], pki: Pki, tmp_path: Path) -> Iterator[StartMinor]:
    """Starts kubelets of any minor, and ends them after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one(number: int, *words: str, **environment: str) -> Started:
        port, read_only, healthz = (free_port() for _ in range(3))
        log = tmp_path / "log"
        line = [
            *([] if number >= 17 else ["kubelet"]), *needed(number), "--address=127.0.0.1",
            f"--port={port}", f"--read-only-port={read_only}", f"--healthz-port={healthz}",
            "--hostname-override=node1", f"--root-dir={tmp_path}",
            f"--tls-cert-file={pki.serving.crt}", f"--tls-private-key-file={pki.serving.key}",
            *(["--cadvisor-port=0"] if number < 12 else []), *words,
        ]  # fmt: skip
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, str(programs(number)), *line],
                stdout=file, stderr=file, env={**os.environ, **environment},
            )  # fmt: skip
        started.append(process)
        kubelet = Started(process, port, read_only, healthz, log)

        def healthy() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return kubelet.ask("/healthz", healthz) == (200, "ok")
            except OSError:
                return False

        eventually("healthz", healthy)
        return kubelet

    yield start_one
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def api(pki: Pki) -> Iterator[FakeApi]:
    server = FakeApi(pki)
    yield server
    server.stop()


@pytest.fixture
def start_with_api(start: Start, pki: Pki, tmp_path: Path) -> Start:
    def start_one(server: str, *flags: str, **user: str) -> Kubelet:
        (tmp_path / "kubeconfig").write_text(kubeconfig(pki, server, **user))
        return start("--require-kubeconfig", f"--kubeconfig={tmp_path / 'kubeconfig'}", *flags)

    return start_one
