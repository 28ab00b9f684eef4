from __future__ import annotations

import re
import socket
import ssl
import stat
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.x509.oid import NameOID
from hollow_common.tls import ServingTls

from tests.unit.kubelet.hollow.support import (
    CERTIFICATES,
    FAILS,
    LOCKED,
    SECONDS,
    Kubelet,
    Pair,
    Pki,
    Play,
    Run,
    Start,
    client_context,
    needed,
    write_authority,
)


@pytest.mark.parametrize(
    ("certificate", "problem"),
    [
        ("/nonexist", "open /nonexist: no such file or directory"),
        ("foreign.crt", "tls: private key does not match public key"),
        ("/dev/null", "tls: failed to find any PEM data in certificate input"),
        ("foreign.key", "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched"),
    ],
)  # fmt: skip
def test_a_bad_serving_certificate_is_fatal(
    start: Start, pki: Pki, certificate: str, problem: str
) -> None:
    kubelet = start(serving=Pair(pki.folder / certificate, pki.serving.key))
    assert kubelet.wait_ended() == 255
    assert re.search(rf"^F\d{{4}} .* server\.go:144\] {re.escape(problem)}$", kubelet.log, re.M)


def test_a_resumed_session_is_checked_again(article_kubelet: Kubelet, pki: Pki) -> None:
    context = client_context(pki.foreign)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session = None
    for _ in range(2):
        plain = socket.create_connection(("127.0.0.1", article_kubelet.port), SECONDS)
        with context.wrap_socket(plain, session=session) as encrypted:
            encrypted.sendall(b"GET /pods HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert encrypted.recv(12) == b"HTTP/1.1 401"
            assert not encrypted.session_reused
            session = encrypted.session


def test_signs_its_own_certificate_and_uses_it_again(start: Start, tmp_path: Path) -> None:
    certs = tmp_path / "run" / "kubernetes"
    flags = ("--tls-cert-file=", "--tls-private-key-file=", f"--cert-dir={certs}")
    kubelet = start(*flags).wait_healthy()
    assert kubelet.get("/healthz") == (200, "ok")
    pem = (certs / "kubelet.crt").read_bytes()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in certs.iterdir()}
    assert modes == {"kubelet.crt": 0o644, "kubelet.key": 0o600}
    certificate = x509.load_pem_x509_certificate(pem)
    common_name = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    assert re.fullmatch(r"node1@\d+", str(common_name))
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["node1"]
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert (certificate.serial_number, certificate.version) == (1, x509.Version.v3)
    kubelet.stop()
    start(*flags, folder="again").wait_healthy()
    assert (certs / "kubelet.crt").read_bytes() == pem


def test_a_certificate_without_its_key_in_the_cert_dir(start: Start, tmp_path: Path) -> None:
    (tmp_path / "kubelet.crt").write_text("")
    kubelet = start("--tls-cert-file=", "--tls-private-key-file=", f"--cert-dir={tmp_path}")
    assert kubelet.wait_ended() == 1
    problem = (
        f"error reading {tmp_path}/kubelet.key, certificate and key must be supplied as a pair"
    )
    assert problem in kubelet.log


@pytest.mark.parametrize("number", range(10, 36))
def test_a_missing_client_ca(run: Run, number: int) -> None:
    ended = run(number, *needed(number), *CERTIFICATES, FAILS, "--client-ca-file=/nonexist/ca")
    problem = "unable to load client CA file /nonexist/ca: open /nonexist/ca: no such file or"
    assert problem in ended.problem
    assert "failed to run Kubelet" not in ended.problem, "it comes before the lock"


@pytest.mark.parametrize(
    ("number", "at_once", "in_a_minute"), [(16, False, False), (17, False, True), (23, True, True)]
)
def test_a_replaced_client_ca(
    number: int,
    at_once: bool,
    in_a_minute: bool,
    play: Play,
    tmp_path: Path,
) -> None:
    old, new = (trustme.CA().cert_pem.bytes() for _ in range(2))
    pair = write_authority(tmp_path, "serving", trustme.CA())
    file = tmp_path / "ca.crt"
    file.write_bytes(new)
    play(number)
    tls = ServingTls(pair.crt.read_bytes(), pair.key.read_bytes(), old, str(file))
    tls.look_at_client_ca()
    assert (tls.client_ca == new, len(tls.contexts) == 2) == (at_once, at_once)
    tls.next_look = 0
    tls.look_at_client_ca()
    assert (tls.client_ca == new) == in_a_minute
    file.write_text("no certificate")
    tls.next_look = 0
    tls.look_at_client_ca()
    assert tls.client_ca == (new if in_a_minute else old), "the last good one stays"


def test_the_client_ca_is_read_late_in_1_36(run: Run) -> None:
    words = [*needed(36), *CERTIFICATES, "--client-ca-file=/nonexist/ca"]
    assert LOCKED.replace('"', '\\"') in run(36, *words, FAILS).problem
    problem = "failed to run Kubelet: open /nonexist/ca: no such file or directory"
    assert run(36, *words).problem == f'"command failed" err="{problem}"'
