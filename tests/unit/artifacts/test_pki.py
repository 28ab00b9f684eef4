from __future__ import annotations

import os
import ssl
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from pytest_kubecluster.artifacts import certificates as certificates_module
from pytest_kubecluster.artifacts import pki as pki_module
from pytest_kubecluster.artifacts.pki import Pki, ensure_pki
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.ssh_key import ensure_ssh_key
from pytest_kubecluster.util.atomic import write_atomically
from tests.unit.artifacts.support import handshake, openssl

NAMES = ("ca.crt", "ca.key", "kubelet.crt", "kubelet.key")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return ensure_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return ensure_pki(tmp_path_factory.mktemp("other"))


def certificates(pki: Pki) -> tuple[x509.Certificate, x509.Certificate]:
    return x509.load_pem_x509_certificate(pki.ca_cert), x509.load_pem_x509_certificate(
        pki.kubelet_cert
    )


def test_subjects_are_the_articles(pki: Pki) -> None:
    ca, kubelet = certificates(pki)
    assert (
        ca.subject.rfc4514_string() == "CN=kube-ca,OU=IT,O=bootkube,L=Singapore,ST=Singapore,C=SG"
    )
    assert (
        kubelet.subject.rfc4514_string()
        == "CN=kubelet,OU=IT,O=system:masters,L=Singapore,ST=Singapore,C=SG"
    )
    assert kubelet.issuer.public_bytes() == ca.subject.public_bytes()
    assert ca.issuer.public_bytes() == ca.subject.public_bytes()


def test_keys_hash_and_version(pki: Pki) -> None:
    for certificate in certificates(pki):
        key = certificate.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        assert key.key_size == 2048
        assert certificate.version is x509.Version.v3
        assert certificate.signature_hash_algorithm is not None
        assert certificate.signature_hash_algorithm.name == "sha256"


def test_serial_numbers_are_random_and_long(pki: Pki, other: Pki) -> None:
    numbers = [c.serial_number for one in (pki, other) for c in certificates(one)]
    assert len(set(numbers)) == 4
    # 64 random bits have fewer than 40 once in ten million times.
    assert min(number.bit_length() for number in numbers) > 64


def test_validity_is_a_year_that_began_a_little_ago(pki: Pki) -> None:
    now = datetime.now(timezone.utc)
    for certificate in certificates(pki):
        begun, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        assert timedelta(minutes=30) < now - begun < timedelta(hours=2)
        assert ends - begun == timedelta(days=365)


def test_extensions(pki: Pki) -> None:
    ca, kubelet = certificates(pki)
    for certificate, is_ca in ((ca, True), (kubelet, False)):
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        assert (basic.critical, basic.value.ca) == (True, is_ca)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
        assert usage.critical
        assert usage.value.digital_signature
        assert usage.value.key_encipherment
        assert usage.value.key_cert_sign is is_ca
        assert not usage.value.crl_sign
        subject = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        assert subject.value == x509.SubjectKeyIdentifier.from_public_key(certificate.public_key())
        authority = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
        ca_identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        assert authority.value.key_identifier == ca_identifier.value.digest
    assert not kubelet.extensions.get_extension_for_class(x509.ExtendedKeyUsage).critical
    extended = kubelet.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert set(extended.value) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    with pytest.raises(x509.ExtensionNotFound):
        ca.extensions.get_extension_for_class(x509.ExtendedKeyUsage)


def test_openssl_agrees(pki: Pki, other: Pki) -> None:
    assert "OK" in openssl("verify", "-CAfile", str(pki.ca_cert_path), str(pki.kubelet_cert_path))
    for purpose in ("sslclient", "sslserver"):
        openssl("verify", "-purpose", purpose, "-CAfile", str(pki.ca_cert_path), str(pki.kubelet_cert_path))  # fmt: skip
    with pytest.raises(subprocess.CalledProcessError):
        openssl("verify", "-CAfile", str(other.ca_cert_path), str(pki.kubelet_cert_path))
    text = openssl("x509", "-noout", "-text", "-in", str(pki.kubelet_cert_path))
    for line in ("X509v3 Key Usage: critical", "TLS Web Server Authentication, TLS Web Client"):
        assert line in text


def context(pki: Pki, trusts: Pki, *, server: bool) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.load_cert_chain(pki.kubelet_cert_path, pki.kubelet_key_path)
    made.load_verify_locations(trusts.ca_cert_path)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    return made


def test_handshake_with_both_ends_of_one_ca(pki: Pki) -> None:
    name = handshake(context(pki, pki, server=True), context(pki, pki, server=False))
    assert "(('commonName', 'kubelet'),)" in name


def test_handshake_with_a_client_of_another_ca(pki: Pki, other: Pki) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        handshake(context(pki, pki, server=True), context(other, pki, server=False))


def test_handshake_with_a_server_of_another_ca(pki: Pki, other: Pki) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(context(other, pki, server=True), context(pki, pki, server=False))


def test_set_is_kept(tmp_path: Path) -> None:
    assert ensure_pki(tmp_path) == ensure_pki(tmp_path)


def truncate(path: Path, other: Pki) -> None:
    path.write_bytes(path.read_bytes()[:200])


def remove(path: Path, other: Pki) -> None:
    path.unlink()


def swap(path: Path, other: Pki) -> None:
    path.write_bytes((other.directory / path.name).read_bytes())


@pytest.mark.parametrize("damage", [truncate, remove, swap])
@pytest.mark.parametrize("name", NAMES)
def test_damaged_set_is_made_anew(name: str, damage: object, tmp_path: Path, other: Pki) -> None:
    before = ensure_pki(tmp_path)
    assert callable(damage)
    damage(tmp_path / name, other)
    after = ensure_pki(tmp_path)
    for file in NAMES:
        attribute = file.replace(".crt", "_cert").replace(".key", "_key")
        assert getattr(after, attribute) not in (
            getattr(before, attribute),
            getattr(other, attribute),
        )
    assert ensure_pki(tmp_path) == after


def trust_another_too(path: Path, other: Pki) -> None:
    path.write_bytes(path.read_bytes() + other.ca_cert)


def repeat_authority(path: Path, other: Pki) -> None:
    for suffix in ("crt", "key"):
        path.with_name(f"kubelet.{suffix}").write_bytes(path.with_name(f"ca.{suffix}").read_bytes())


def encrypt(path: Path, other: Pki) -> None:
    openssl("rsa", "-aes128", "-passout", "pass:word", "-in", str(path), "-out", str(path))


def use_unknown_curve(path: Path, other: Pki) -> None:
    curve = "ec_paramgen_curve:secp112r1"
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", curve, "-out", str(path))


def swap_pair(path: Path, other: Pki) -> None:
    for half in (path.with_suffix(".crt"), path.with_suffix(".key")):
        swap(half, other)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("ca.crt", trust_another_too),
        ("ca.crt", repeat_authority),
        ("ca.crt", swap_pair),
        ("kubelet.crt", swap_pair),
        ("ca.key", encrypt),
        ("ca.key", use_unknown_curve),
    ],
)
def test_set_that_was_tampered_with_is_made_anew(
    name: str, damage: object, tmp_path: Path, other: Pki
) -> None:
    before = ensure_pki(tmp_path)
    assert callable(damage)
    damage(tmp_path / name, other)
    after = ensure_pki(tmp_path)
    for made in (after.ca_cert, after.ca_key, after.kubelet_cert, after.kubelet_key):
        assert made not in (
            *(before.ca_cert, before.ca_key, before.kubelet_cert, before.kubelet_key),
            *(other.ca_cert, other.ca_key, other.kubelet_cert, other.kubelet_key),
        )


@pytest.mark.parametrize("which", ["kube-ca", "kubelet"])
def test_set_of_other_names_is_made_anew(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = pki_module._name

    def misnamed(organization: str, common_name: str) -> x509.Name:
        return name(organization, common_name + "x" * (common_name == which))

    monkeypatch.setattr(pki_module, "_name", misnamed)
    before = ensure_pki(tmp_path)
    monkeypatch.undo()
    assert ensure_pki(tmp_path).ca_cert != before.ca_cert


def test_set_that_is_not_valid_yet_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates_module, "SKEW", timedelta(hours=-1))
    future = ensure_pki(tmp_path)
    monkeypatch.undo()
    assert ensure_pki(tmp_path).ca_cert != future.ca_cert


def test_files_are_private_from_their_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    fchmod = os.fchmod

    def look_first(descriptor: int, mode: int) -> None:
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        fchmod(descriptor, mode)

    before = os.umask(0)
    try:
        with monkeypatch.context() as patch:
            patch.setattr("pytest_kubecluster.util.atomic.os.fchmod", look_first)
            write_atomically(tmp_path / "key", b"secret", 0o644)
    finally:
        os.umask(before)
    assert seen == [0o600]


def test_set_that_ends_soon_is_made_anew(tmp_path: Path) -> None:
    before = ensure_pki(tmp_path)
    short = before.authority.issue(replace(pki_module._kubelet(), lifetime=timedelta(hours=12)))
    (tmp_path / "kubelet.crt").write_bytes(short.cert)
    (tmp_path / "kubelet.key").write_bytes(short.key)
    assert ensure_pki(tmp_path).ca_cert != before.ca_cert


@pytest.mark.parametrize("survivors", range(4))
def test_crash_between_files_leaves_nothing_usable(
    survivors: int, tmp_path: Path, other: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ensure_pki(tmp_path)
    (tmp_path / "ca.crt").unlink()
    replaced = 0

    def replace(source: Path, target: Path) -> None:
        nonlocal replaced
        if replaced == survivors:
            raise KeyboardInterrupt
        replaced += 1
        os.rename(source, target)

    monkeypatch.setattr("os.replace", replace)
    with pytest.raises(KeyboardInterrupt):
        ensure_pki(tmp_path)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
    after = ensure_pki(tmp_path)
    assert before.ca_key != after.ca_key
    openssl("verify", "-CAfile", str(after.ca_cert_path), str(after.kubelet_cert_path))


@pytest.mark.parametrize("mask", [0, 0o077])
def test_modes(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        pki = ensure_pki(tmp_path / "pki")
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((pki.directory / name).stat().st_mode) for name in NAMES}
    assert modes == {"ca.crt": 0o644, "ca.key": 0o600, "kubelet.crt": 0o644, "kubelet.key": 0o600}
    assert stat.S_IMODE(pki.directory.stat().st_mode) == 0o700


def test_modes_that_became_too_open_are_tightened(tmp_path: Path) -> None:
    ensure_pki(tmp_path)
    tmp_path.chmod(0o755)
    (tmp_path / "ca.key").chmod(0o644)
    ensure_pki(tmp_path)
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_processes_that_share_a_folder_get_one_set(tmp_path: Path) -> None:
    code = (
        "import sys, hashlib; from pathlib import Path; from pytest_kubecluster.artifacts.pki import ensure_pki;"
        "print(hashlib.sha256(ensure_pki(Path(sys.argv[1])).kubelet_key).hexdigest())"
    )
    argv = [sys.executable, "-c", code, str(tmp_path)]
    running = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({process.communicate(timeout=60)[0] for process in running}) == 1


def test_error_message_has_no_key(pki: Pki) -> None:
    assert "PRIVATE" not in repr(pki) + str(pki)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KubeClusterError, match=r"file/pki cannot be created.*\n.*XDG_STATE_HOME"):
        ensure_pki(tmp_path / "file" / "pki")


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_room)
    with pytest.raises(
        KubeClusterError, match=r"ca.crt cannot be written: No space left on device"
    ):
        ensure_pki(tmp_path)
    assert list(tmp_path.glob("*.key")) == []


def test_ssh_key_is_one_that_ssh_takes(tmp_path: Path) -> None:
    key = ensure_ssh_key(tmp_path / "ssh")
    assert stat.S_IMODE(key.path.stat().st_mode) == 0o600
    shown = subprocess.check_output(["ssh-keygen", "-y", "-f", str(key.path)], text=True)
    assert key.public.split()[:2] == shown.split()[:2]
    assert key.public.startswith("ssh-ed25519 ")


def test_ssh_key_is_kept_unless_it_is_damaged(tmp_path: Path) -> None:
    key = ensure_ssh_key(tmp_path)
    assert ensure_ssh_key(tmp_path) == key
    key.path.write_bytes(key.path.read_bytes()[:100])
    assert ensure_ssh_key(tmp_path).public != key.public


@pytest.mark.parametrize("options", [("-t", "ed25519", "-N", "secret"), ("-t", "ecdsa", "-N", "")])
def test_ssh_key_that_cannot_serve_is_made_anew(options: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", *options, "-f", str(path)], check=True)
    theirs = path.with_suffix(".pub").read_text().split()
    key = ensure_ssh_key(tmp_path)
    assert key.public.split()[:2] != theirs[:2]
    assert key.public.startswith("ssh-ed25519 ")
