from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.kubelet import download
from pytest_kubecluster.kubelet.download import download_kubelet
from pytest_kubecluster.spec.version import KubeVersion
from pytest_kubecluster.util import http

VERSION = KubeVersion(1, 30, 0)
PATH = "/v1.30.0/bin/linux/amd64/kubelet"
MACHINES = {"amd64": 0x3E, "arm64": 0xB7, "arm": 0x28, "ppc64le": 0x15, "s390x": 0x16}
SECONDS = 30
"""What a test waits for at most, which it only does where it fails."""


def elf(architecture: str = "amd64", size: int = 0) -> bytes:
    content = bytearray(Path("/bin/true").read_bytes())
    struct.pack_into("<H" if content[5] == 1 else ">H", content, 18, MACHINES[architecture])
    return bytes(content) + bytes(max(0, size - len(content)))


KUBELET = elf()

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that leave are part of the tests."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Site:
    """A mirror: what it has, what it was asked for, and what it does instead of answering."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.release = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.asked.append(self.path)
                site.headers.append(dict(self.headers))
                if answer := site.answers.get(self.path):
                    answer(self)
                    return
                content = site.files.get(self.path)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *words: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def publish(self, content: bytes, path: str = PATH, *algorithms: str) -> None:
        self.files[path] = content
        for algorithm in algorithms or ("sha256",):
            self.files[f"{path}.{algorithm}"] = hashlib.new(algorithm, content).hexdigest().encode()

    def hold(self, handler: BaseHTTPRequestHandler, sent: int = 20_000) -> None:
        """Send some of the kubelet, and the rest on request."""
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(KUBELET)))
        handler.end_headers()
        handler.wfile.write(KUBELET[:sent])
        self.release.wait(SECONDS)
        try:
            handler.wfile.write(KUBELET[sent:])
        except OSError:
            handler.close_connection = True

    def asked_for_kubelet(self) -> int:
        return sum(path.endswith(PATH) for path in self.asked)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, args=(0.02,))
    thread.start()
    site.publish(KUBELET)
    yield site
    site.release.set()
    site.server.shutdown()
    thread.join()
    site.server.server_close()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


def fetch(
    mirror: str, cache: Path, version: KubeVersion = VERSION, lines: list[str] | None = None
) -> Path:
    say = (lambda line: None) if lines is None else lines.append
    return download_kubelet(version, mirror=mirror, cache=cache, progress=say)


def failure(mirror: str, cache: Path, version: KubeVersion = VERSION) -> str:
    """Return the error message; assert that nothing is left."""
    with pytest.raises(KubeClusterError) as caught:
        fetch(mirror, cache, version)
    assert left_in(cache) == []
    assert "\n  " in str(caught.value), "what to do next is missing"
    return str(caught.value)


def left_in(cache: Path) -> list[Path]:
    """All that is in the cache but the lock and the folders of its version."""
    return [path for path in cache.glob("kubelets/*/*/**/*") if path.name != "amd64"]


# What is fetched


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ("v1.7.5_coreos.1", "/v1.7.5/bin/linux/amd64/hyperkube"),
        ("1.16.15", "/v1.16.15/bin/linux/amd64/hyperkube"),
        ("1.17.0", "/v1.17.0/bin/linux/amd64/kubelet"),
    ],
)
def test_file_of_a_version(site: Site, tmp_path: Path, version: str, path: str) -> None:
    site.publish(KUBELET, path)
    kubelet = fetch(site.url, tmp_path, KubeVersion.parse(version))
    assert site.asked[-1] == path
    assert kubelet.read_bytes() == KUBELET
    assert kubelet.stat().st_mode & 0o777 == 0o755
    digest = hashlib.sha256(KUBELET).hexdigest()
    folder = path.split("/")[1]
    assert (
        kubelet == tmp_path / "kubelets" / folder / "amd64" / digest[:16] / path.rpartition("/")[2]
    )


@pytest.mark.parametrize(
    ("machine", "architecture"),
    [("aarch64", "arm64"), ("armv7l", "arm"), ("ppc64le", "ppc64le"), ("s390x", "s390x")],
)
def test_file_of_a_machine(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
    architecture: str,
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    content = elf(architecture)
    site.publish(content, PATH.replace("amd64", architecture))
    assert fetch(site.url, tmp_path).read_bytes() == content


def test_machine_without_releases(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert r"no official release for this machine (riscv64)" in failure(site.url, tmp_path)
    assert site.asked == []


def test_official_site_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: Site
) -> None:
    monkeypatch.setattr(download, "OFFICIAL", f"{site.url}/release")
    site.publish(KUBELET, f"/release{PATH}")
    kubelet = download_kubelet(VERSION, mirror=None, cache=tmp_path, progress=lambda line: None)
    assert kubelet.read_bytes() == KUBELET
    assert site.asked[-1] == f"/release{PATH}"


def test_slash_behind_the_mirror(site: Site, tmp_path: Path) -> None:
    fetch(f"{site.url}/", tmp_path)
    assert site.asked[-1] == PATH


def test_folder_as_mirror(tmp_path: Path) -> None:
    kubelet = tmp_path / "mirror" / PATH[1:]
    kubelet.parent.mkdir(parents=True)
    kubelet.write_bytes(KUBELET)
    kubelet.with_name("kubelet.sha1").write_text(hashlib.sha1(KUBELET).hexdigest())
    fetched = fetch(str(tmp_path / "mirror"), tmp_path / "cache")
    assert fetched.read_bytes() == KUBELET
    assert tmp_path / "cache" in fetched.parents


def test_folder_without_the_version(tmp_path: Path) -> None:
    message = failure(str(tmp_path), tmp_path / "cache")
    assert f"there is no kubelet v1.30.0 for amd64: {tmp_path}{PATH} was not found" in message


def test_invalid_folder(tmp_path: Path) -> None:
    assert f"{tmp_path}/none is not a mirror" in failure(f"{tmp_path}/none", tmp_path / "cache")


def test_folder_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "mirror" / f"{PATH[1:]}.sha512").mkdir(parents=True)
    message = failure(f"{tmp_path}/mirror", tmp_path / "cache")
    assert "kubelet.sha512 cannot be read: Is a directory" in message


@pytest.mark.parametrize(
    ("mirror", "shown"),
    [
        ("ftp://example.org", "ftp://example.org"),
        ("http://", "http://"),
        ("http://host:port", "http://host:port"),
        ("http://host/?token=1", "http://host/"),
    ],
)
def test_invalid_mirror(tmp_path: Path, mirror: str, shown: str) -> None:
    assert failure(mirror, tmp_path).startswith(f"{shown} is not a mirror\n")


# Checksums


@pytest.mark.parametrize("algorithm", ["sha512", "sha256", "sha1"])
@pytest.mark.parametrize("form", ["{}", "{}\n", "{}  kubelet\n", "{} *some/kubelet\r\n", "\n{}"])
def test_checksum(site: Site, tmp_path: Path, algorithm: str, form: str) -> None:
    digest = hashlib.new(algorithm, KUBELET).hexdigest()
    site.files = {PATH: KUBELET, f"{PATH}.{algorithm}": form.format(digest.upper()).encode()}
    assert fetch(site.url, tmp_path).parent.name == digest[:16]


def test_strongest_checksum_is_used(site: Site, tmp_path: Path) -> None:
    site.publish(KUBELET, PATH, "sha1", "sha256", "sha512")
    assert fetch(site.url, tmp_path).parent.name == hashlib.sha512(KUBELET).hexdigest()[:16]


def test_checksum_that_does_not_match(site: Site, tmp_path: Path) -> None:
    other = KUBELET + b"more"
    site.files[PATH] = other
    message = failure(site.url, tmp_path)
    assert f"{site.url}{PATH} does not match its sha256 checksum" in message
    assert hashlib.sha256(KUBELET).hexdigest() in message
    assert hashlib.sha256(other).hexdigest() in message


def test_no_checksum(site: Site, tmp_path: Path) -> None:
    site.files = {PATH: KUBELET, f"{PATH}.md5": b"0" * 32}
    message = failure(site.url, tmp_path)
    assert "no checksum is published beside it (looked for .sha512, .sha256, .sha1)" in message


@pytest.mark.parametrize(
    "content",
    [
        b"<html>Log in</html>",
        b"",
        b"\xff\xfe",
        b"0" * 63,
        b"0" * 65,
        b"0" * 64 + b"\n" + b"0" * 64,
        b"0" * 40_000,
    ],
)
def test_invalid_checksum(site: Site, tmp_path: Path, content: bytes) -> None:
    site.files[f"{PATH}.sha256"] = content
    message = failure(site.url, tmp_path)
    assert f"{site.url}{PATH}.sha256 is not a sha256 checksum" in message
    assert len(message) < 400
    assert site.asked_for_kubelet() == 0


def test_checksum_without_an_end(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_READ_SECONDS", 2)
    site.answers[f"{PATH}.sha512"] = lambda handler: site.hold(handler)
    assert f"{site.url}{PATH}.sha512 is not a sha512 checksum" in failure(site.url, tmp_path)


def test_bytes_are_asked_for_as_they_are_stored(site: Site, tmp_path: Path) -> None:
    fetch(site.url, tmp_path)
    assert {headers["Accept-Encoding"] for headers in site.headers} == {"identity"}


# Files that are not kubelets


@pytest.mark.parametrize("content", [b"<html>Log in</html>", b"\x7fELF", b""])
def test_not_an_executable(site: Site, tmp_path: Path, content: bytes) -> None:
    site.publish(content)
    assert f"{site.url}{PATH} is not an executable: it begins with" in failure(site.url, tmp_path)


def test_executable_of_another_machine(site: Site, tmp_path: Path) -> None:
    site.publish(elf("arm64"))
    assert "is built for arm64, not for amd64" in failure(site.url, tmp_path)


# Servers and networks that fail


def test_version_that_does_not_exist(site: Site, tmp_path: Path) -> None:
    message = failure(site.url, tmp_path, KubeVersion(1, 30, 99))
    url = f"{site.url}{PATH}".replace("1.30.0", "1.30.99")
    assert f"there is no kubelet v1.30.99 for amd64: {url} was not found" in message
    assert "may not exist" in message
    assert "mirror" in message


def test_checksum_without_its_file(site: Site, tmp_path: Path) -> None:
    del site.files[PATH]
    assert "there is no kubelet v1.30.0" in failure(site.url, tmp_path)


@pytest.mark.parametrize("path", [f"{PATH}.sha512", PATH])
def test_other_status(site: Site, tmp_path: Path, path: str) -> None:
    site.answers[path] = lambda handler: handler.send_error(503, "Busy")
    message = failure(site.url, tmp_path)
    assert f"{site.url}{path} cannot be downloaded: the server answered 503 Busy" in message


def test_refused(tmp_path: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        message = failure(url, tmp_path)
    assert f"{url}{PATH}.sha512 cannot be downloaded: the server refuses connections" in message


def test_name_that_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    message = failure("http://mirror.invalid", tmp_path)
    assert "the name of the server cannot be resolved (Name or service not known)" in message


def test_unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_CONNECT_SECONDS", 0.2)
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        # Without a deadline of the client's own, it would be refused in the end.
        end = threading.Timer(5, full.close)
        end.start()
        message = failure(url, tmp_path)
        end.cancel()
    assert "the server cannot be reached within 0.2 s" in message


def test_no_answer(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_READ_SECONDS", 0.2)

    def silent(handler: BaseHTTPRequestHandler) -> None:
        site.release.wait(SECONDS)
        handler.close_connection = True

    site.answers[f"{PATH}.sha512"] = silent
    assert "the server was silent for 0.2 s" in failure(site.url, tmp_path)


def test_silence_in_the_middle(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_READ_SECONDS", 0.2)
    site.answers[PATH] = site.hold
    message = failure(site.url, tmp_path)
    assert f"silent for 0.2 s, after 20000 of {len(KUBELET)} bytes had come" in message


def test_trickle(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_READ_SECONDS", 5)
    monkeypatch.setattr(http, "_STALL_SECONDS", 0)
    monkeypatch.setattr(http, "_STALL_BYTES", 50)
    site.answers[PATH] = lambda handler: site.hold(handler, 10)
    assert "no more than 10 bytes came within 0 s" in failure(site.url, tmp_path)


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(KUBELET)))
    handler.end_headers()
    handler.wfile.write(KUBELET[:1000])
    handler.close_connection = True


def test_truncated(site: Site, tmp_path: Path) -> None:
    site.answers[PATH] = cut_off
    message = failure(site.url, tmp_path)
    assert f"{site.url}{PATH} cannot be downloaded: it was cut off" in message
    assert f"after 1000 of {len(KUBELET)} bytes" in message


def test_reset(site: Site, tmp_path: Path) -> None:
    def reset(handler: BaseHTTPRequestHandler) -> None:
        cut_off(handler)
        # A lingering of no seconds makes close send a reset.
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        os.close(handler.connection.detach())

    site.answers[PATH] = reset
    message = failure(site.url, tmp_path)
    assert "cannot be downloaded: Connection reset by peer" in message


def chunks(*content: bytes) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for chunk in content:
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        handler.close_connection = True

    return answer


def test_chunks_without_a_length(site: Site, tmp_path: Path) -> None:
    site.answers[PATH] = chunks(KUBELET[:1000], KUBELET[1000:], b"")
    lines: list[str] = []
    assert fetch(site.url, tmp_path, lines=lines).read_bytes() == KUBELET
    assert lines[0] == "downloading kubelet v1.30.0: 0 MB"


def test_chunks_cut_off(site: Site, tmp_path: Path) -> None:
    site.answers[PATH] = chunks(KUBELET)
    assert "it was cut off, after" in failure(site.url, tmp_path)


def test_body_without_an_end_is_given_up(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_LARGEST", 2_000_000)

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        with suppress(OSError):
            while True:
                handler.wfile.write(b"\0" * 100_000)

    site.answers[PATH] = endless
    message = failure(site.url, tmp_path)
    assert "2 MB or more, and 2 MB are allowed" in message
    assert left_in(tmp_path) == []


def test_body_that_is_too_long_is_not_begun(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_LARGEST", 1_000_000)
    site.publish(elf(size=3_000_000))
    assert "3 MB or more, and 1 MB are allowed" in failure(site.url, tmp_path)


def test_server_that_is_busy_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.publish(elf())
    asked = 0

    def busy_once(handler: BaseHTTPRequestHandler) -> None:
        nonlocal asked
        asked += 1
        handler.send_response(503)
        handler.end_headers()
        del site.answers[PATH]

    site.answers[PATH] = busy_once
    assert fetch(site.url, tmp_path).read_bytes() == elf()
    assert asked == 1


def test_not_http(site: Site, tmp_path: Path) -> None:
    def other(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"SSH-2.0-OpenSSH\r\n")

    site.answers[f"{PATH}.sha512"] = other
    assert "the server does not speak HTTP as expected" in failure(site.url, tmp_path)


def redirect_to(target: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def test_redirect(site: Site, tmp_path: Path) -> None:
    site.files["/elsewhere"] = KUBELET
    site.answers[PATH] = redirect_to("/elsewhere")
    assert fetch(site.url, tmp_path).read_bytes() == KUBELET
    assert site.asked[-1] == "/elsewhere"


def test_redirect_in_circles(site: Site, tmp_path: Path) -> None:
    site.answers[PATH] = redirect_to(PATH)
    assert "it is redirected in circles" in failure(site.url, tmp_path)


def test_proxy(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", site.url)
    mirror = "http://mirror.invalid"
    for path in (PATH, f"{PATH}.sha256"):
        site.files[f"{mirror}{path}"] = site.files.pop(path)
    assert fetch(mirror, tmp_path).read_bytes() == KUBELET


def test_proxy_that_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        proxy = f"http://me:secret@127.0.0.1:{reserved.getsockname()[1]}"
        monkeypatch.setenv("http_proxy", proxy)
        message = failure("http://mirror.invalid", tmp_path)
    assert "the proxy refuses connections" in message
    assert "secret" not in message


# Credentials


def test_credentials_are_used_and_not_kept(site: Site, tmp_path: Path) -> None:
    lines: list[str] = []
    kubelet = fetch(f"http://me:s%2Fcret@127.0.0.1:{site.port}", tmp_path, lines=lines)
    expected = "Basic " + base64.b64encode(b"me:s/cret").decode()
    assert {headers["Authorization"] for headers in site.headers} == {expected}
    assert "cret" not in kubelet.with_name("kubelet.json").read_text() + "".join(lines)


@pytest.mark.parametrize("password", ["secret", "sec/ret", "sec#ret", "sec?ret", "sec@ret", "[ret"])
def test_credentials_are_never_shown(site: Site, tmp_path: Path, password: str) -> None:
    site.files.clear()
    message = failure(f"http://me:{password}@127.0.0.1:{site.port}", tmp_path)
    assert "ret" not in message
    assert f"http://127.0.0.1:{site.port}" in message


def test_credentials_without_a_scheme(tmp_path: Path) -> None:
    assert "secret" not in failure("me:secret@example.org/release", tmp_path)


# The cache


def test_second_download_contacts_no_server(site: Site, tmp_path: Path) -> None:
    first = fetch(site.url, tmp_path)
    asked = len(site.asked)
    lines: list[str] = []
    assert fetch(site.url, tmp_path, lines=lines) == first
    assert len(site.asked) == asked
    assert lines == []


def test_kept_kubelet_outlives_its_mirror(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    kubelet = mirror / PATH[1:]
    kubelet.parent.mkdir(parents=True)
    kubelet.write_bytes(KUBELET)
    kubelet.with_name("kubelet.sha256").write_text(hashlib.sha256(KUBELET).hexdigest())
    first = fetch(str(mirror), tmp_path / "cache")
    mirror.rename(tmp_path / "away")
    assert fetch(str(mirror), tmp_path / "cache") == first


def test_cache_that_cannot_be_written(site: Site, tmp_path: Path) -> None:
    first = fetch(site.url, tmp_path)
    lock = tmp_path / "kubelets" / "v1.30.0" / "amd64.lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()
    assert fetch(site.url, tmp_path) == first


def test_mirrors_do_not_stand_for_each_other(site: Site, tmp_path: Path) -> None:
    patched = KUBELET + b"patched"
    site.publish(patched, f"/patched{PATH}")
    assert fetch(f"{site.url}/patched", tmp_path).read_bytes() == patched
    assert fetch(site.url, tmp_path).read_bytes() == KUBELET
    assert fetch(f"{site.url}/patched", tmp_path).read_bytes() == patched


def test_same_bytes_from_two_mirrors_are_fetched_once(site: Site, tmp_path: Path) -> None:
    site.publish(KUBELET, f"/copy{PATH}")
    first = fetch(site.url, tmp_path)
    assert fetch(f"{site.url}/copy", tmp_path) == first
    assert site.asked_for_kubelet() == 1
    site.files.clear()
    assert fetch(site.url, tmp_path) == fetch(f"{site.url}/copy", tmp_path) == first


@pytest.mark.parametrize("content", [b"", KUBELET[:-1], KUBELET[:-1] + b"?", None])
def test_damaged_kubelet_is_fetched_anew(site: Site, tmp_path: Path, content: bytes | None) -> None:
    kubelet = fetch(site.url, tmp_path)
    kubelet.unlink() if content is None else kubelet.write_bytes(content)
    lines: list[str] = []
    assert fetch(site.url, tmp_path, lines=lines) == kubelet
    assert kubelet.read_bytes() == KUBELET
    assert lines[0] == f"{kubelet} was damaged after it was downloaded; downloading it again"
    assert site.asked_for_kubelet() == 2


def test_damaged_kubelet_and_another_published(site: Site, tmp_path: Path) -> None:
    old = fetch(site.url, tmp_path)
    old.write_bytes(b"damaged")
    site.publish(elf(size=50_000))
    new = fetch(site.url, tmp_path)
    assert new != old
    assert not old.parent.exists()


def test_damaged_kubelet_offline(site: Site, tmp_path: Path) -> None:
    kubelet = fetch(site.url, tmp_path)
    kubelet.write_bytes(b"damaged")
    site.answers[f"{PATH}.sha512"] = lambda handler: handler.send_error(502)
    with pytest.raises(KubeClusterError) as caught:
        fetch(site.url, tmp_path)
    message = str(caught.value)
    assert (
        f"{kubelet} was damaged after it was downloaded, and cannot be downloaded again" in message
    )
    assert "the server answered 502" in message


@pytest.mark.parametrize(
    "record",
    ["", "[]", "{}", '{"algorithm": "md5", "digest": "00", "mirrors": []}', "\udcff"],
)
def test_invalid_record(site: Site, tmp_path: Path, record: str) -> None:
    kubelet = fetch(site.url, tmp_path)
    path = kubelet.with_name("kubelet.json")
    good = json.loads(path.read_text())
    path.write_bytes(record.encode(errors="surrogateescape"))
    assert fetch(site.url, tmp_path) == kubelet
    assert json.loads(path.read_text()) == good
    assert site.asked_for_kubelet() == 1


def test_cache_that_is_a_file(site: Site, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    message = failure(site.url, tmp_path / "cache")
    assert "cannot be written: Not a directory" in message


# Progress


def test_progress(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.publish(elf(size=3_000_000))
    monkeypatch.setattr(http, "_PROGRESS_SECONDS", 0)
    lines: list[str] = []
    fetch(site.url, tmp_path, lines=lines)
    assert lines[0] == "downloading kubelet v1.30.0: 0 of 3 MB"
    assert lines[-1] == "downloaded kubelet v1.30.0: 3 MB"
    shown = [re.fullmatch(r"downloading kubelet v1.30.0: (\d) of 3 MB", s) for s in lines[:-1]]
    numbers = [int(match[1]) for match in shown if match]
    assert len(numbers) == len(lines) - 1
    assert {0, 1, 2} <= set(numbers)
    assert numbers == sorted(numbers)


def test_progress_is_seldom(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.publish(elf(size=3_000_000))
    monkeypatch.setattr(http, "_PROGRESS_SECONDS", 3600)
    lines: list[str] = []
    fetch(site.url, tmp_path, lines=lines)
    assert len(lines) == 2


# Other runs, and runs that end early

RUN = """
import platform, resource, signal, sys
from pathlib import Path
from pytest_kubecluster.kubelet.download import download_kubelet
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.spec.version import KubeVersion

# Whoever started the tests may have had it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
platform.machine = lambda: "x86_64"
mirror, cache, limit = sys.argv[1:]
if limit != "-":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    print(download_kubelet(
        KubeVersion(1, 30, 0), mirror=mirror, cache=Path(cache),
        progress=lambda line: print(line, flush=True),
    ))
except KubeClusterError as error:
    print(error)
"""


@pytest.fixture
def run(site: Site, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(limit: str = "-") -> subprocess.Popen[str]:
        argv = [sys.executable, "-B", "-c", RUN, site.url, str(tmp_path), limit]
        process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for_part(cache: Path) -> None:
    """Wait until some of the kubelet is on disk."""
    deadline = time.monotonic() + SECONDS
    while not list(cache.glob("kubelets/*/*/*/.kubelet.*")):
        assert time.monotonic() < deadline, "no temporary file came"
        time.sleep(0.01)


def test_runs_share_a_download(
    site: Site, tmp_path: Path, run: Callable[..., subprocess.Popen[str]]
) -> None:
    site.answers[PATH] = site.hold
    first = run()
    wait_for_part(tmp_path)
    others = [run(), run()]
    for other in others:
        assert other.stdout is not None
        assert other.stdout.readline() == "another run is downloading kubelet v1.30.0\n"
    site.release.set()
    printed = [process.communicate(timeout=SECONDS)[0] for process in (first, *others)]
    kubelet = fetch(site.url, tmp_path)
    assert [lines.splitlines()[-1] for lines in printed] == [str(kubelet)] * 3
    assert kubelet.read_bytes() == KUBELET
    assert site.asked == [f"{PATH}.sha512", f"{PATH}.sha256", PATH]


def test_killed_run_does_not_block_others(
    site: Site, tmp_path: Path, run: Callable[..., subprocess.Popen[str]]
) -> None:
    site.answers[PATH] = site.hold
    killed = run()
    wait_for_part(tmp_path)
    killed.kill()
    killed.wait()
    site.release.set()
    kubelet = fetch(site.url, tmp_path)
    assert sorted(path.name for path in kubelet.parent.iterdir()) == ["kubelet", "kubelet.json"]


def test_interrupted_run_leaves_nothing(
    site: Site, tmp_path: Path, run: Callable[..., subprocess.Popen[str]]
) -> None:
    site.answers[PATH] = site.hold
    interrupted = run()
    wait_for_part(tmp_path)
    interrupted.send_signal(signal.SIGINT)
    interrupted.communicate(timeout=SECONDS)
    assert interrupted.returncode != 0
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ValueError])
def test_exception_leaves_nothing(site: Site, tmp_path: Path, kind: type[BaseException]) -> None:
    def say(line: str) -> None:
        raise kind

    with pytest.raises(kind):
        download_kubelet(VERSION, mirror=site.url, cache=tmp_path, progress=say)
    assert left_in(tmp_path) == []
    assert fetch(site.url, tmp_path).read_bytes() == KUBELET


def test_full_disk(tmp_path: Path, run: Callable[..., subprocess.Popen[str]]) -> None:
    printed, _ = run("4096").communicate(timeout=SECONDS)
    assert "kubelet cannot be written: File too large\n  free some space" in printed
    assert left_in(tmp_path) == []
