from __future__ import annotations

import ssl
import stat
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from pytest_kubecluster.artifacts.certificates import (
    Authority,
    KeyPair,
    KeyType,
    Request,
    kubelet_client,
    node_client,
    node_serving,
    server,
    subject,
    user,
)
from pytest_kubecluster.artifacts.pki import Pki, ensure_pki
from tests.unit.artifacts.support import handshake, openssl

ADDRESS = IPv4Address("10.17.5.101")
REQUESTS = {
    "node": node_client("master01"),
    "serving": node_serving("master01", (ADDRESS,), names=("localhost",)),
    "kubelet-client": kubelet_client(organization="kubeadm:cluster-admins"),
    "server": server("etcd", ("etcd",), (ADDRESS, IPv6Address("::1")), client=True),
    "user": user("kubernetes-admin", "system:masters"),
}


@pytest.fixture(scope="module", params=["rsa", "ecdsa"])
def key_type(request: pytest.FixtureRequest) -> KeyType:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def authority(key_type: KeyType) -> Authority:
    return Authority.create(subject("kubernetes"), key_type=key_type)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return ensure_pki(tmp_path_factory.mktemp("pki"))


def context(
    pair: KeyPair, authority: Authority, folder: Path, *, is_server: bool
) -> ssl.SSLContext:
    """A context that shows a certificate and trusts an authority."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    path = folder / "combined.pem"
    path.write_bytes(pair.combined)
    made.load_cert_chain(path)
    made.load_verify_locations(cadata=authority.cert.decode())
    made.verify_mode = ssl.CERT_REQUIRED
    return made


def meet(serving: KeyPair, client: KeyPair, authority: Authority, name: str, folder: Path) -> str:
    """Return whom the server sees when a client connects to it under a name."""
    return handshake(
        context(serving, authority, folder, is_server=True),
        context(client, authority, folder, is_server=False),
        name,
    )


@pytest.mark.parametrize("name", ["master01", "10.17.5.101"])
def test_node_and_its_client_shake_hands(
    name: str, key_type: KeyType, authority: Authority, tmp_path: Path
) -> None:
    serving = authority.issue(node_serving("master01", (ADDRESS,), key_type=key_type))
    client = authority.issue(kubelet_client(key_type=key_type))
    seen = meet(serving, client, authority, name, tmp_path)
    assert "(('organizationName', 'system:masters'),)" in seen
    assert "(('commonName', 'kube-apiserver-kubelet-client'),)" in seen


def test_server_of_another_name_is_refused(authority: Authority, tmp_path: Path) -> None:
    serving = authority.issue(node_serving("master01", (ADDRESS,)))
    client = authority.issue(kubelet_client())
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        meet(serving, client, authority, "10.17.5.102", tmp_path)


def test_expired_server_is_refused(authority: Authority, tmp_path: Path) -> None:
    expired = authority.issue(node_serving("master01", (ADDRESS,), lifetime=timedelta(minutes=-5)))
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        meet(expired, authority.issue(kubelet_client()), authority, "master01", tmp_path)


def test_client_certificate_does_not_serve(authority: Authority, tmp_path: Path) -> None:
    client = authority.issue(replace(node_client("master01"), names=("master01",)))
    with pytest.raises(ssl.SSLCertVerificationError, match=r"(purpose|unsuitable)"):
        meet(client, client, authority, "master01", tmp_path)


@pytest.mark.parametrize("name", REQUESTS)
def test_openssl_verifies_what_is_issued(
    name: str, authority: Authority, key_type: KeyType, tmp_path: Path
) -> None:
    request = replace(REQUESTS[name], key_type=key_type)
    pair = authority.issue(request)
    (tmp_path / "ca.crt").write_bytes(authority.cert)
    (tmp_path / "issued.crt").write_bytes(pair.cert)
    (tmp_path / "issued.key").write_bytes(pair.key)
    ca, issued = str(tmp_path / "ca.crt"), str(tmp_path / "issued.crt")
    for purpose, fits in (("sslclient", request.client), ("sslserver", request.server)):
        verify = ("verify", "-x509_strict", "-purpose", purpose, "-CAfile", ca, issued)
        if fits:
            assert "OK" in openssl(*verify)
        else:
            with pytest.raises(subprocess.CalledProcessError):
                openssl(*verify)
    assert openssl("pkey", "-in", str(tmp_path / "issued.key"), "-pubout") == openssl(
        "x509", "-in", issued, "-noout", "-pubkey"
    )


def test_identity_of_a_node() -> None:
    pair = Authority.create(subject("kubernetes")).issue(node_client("worker01"))
    certificate = pair.certificate
    assert certificate.subject.rfc4514_string() == "CN=system:node:worker01,O=system:nodes"
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_serving_certificate_has_names_and_addresses(authority: Authority) -> None:
    addresses = (ADDRESS, IPv6Address("fd00::1"))
    request = node_serving("worker01", addresses, names=("worker01.example", "worker01"))
    extensions = authority.issue(request).certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["worker01", "worker01.example"]
    assert names.get_values_for_type(x509.IPAddress) == list(addresses)


def test_kind_of_key(key_type: KeyType, authority: Authority) -> None:
    key = authority.issue(node_client("worker01", key_type=key_type)).private_key
    if isinstance(key, rsa.RSAPrivateKey):
        assert (key_type, key.key_size) == ("rsa", 2048)
    else:
        assert key_type == "ecdsa"
        assert isinstance(key.curve, ec.SECP256R1)
    assert isinstance(authority.private_key, type(key))


@pytest.mark.parametrize("lifetime", [timedelta(minutes=5), timedelta(days=-400)])
def test_lifetime_counts_from_now(lifetime: timedelta, authority: Authority) -> None:
    certificate = authority.issue(node_client("worker01", lifetime=lifetime)).certificate
    left = certificate.not_valid_after_utc - datetime.now(timezone.utc)
    assert timedelta() <= lifetime - left < timedelta(minutes=1)
    assert certificate.not_valid_before_utc < certificate.not_valid_after_utc


def test_certificate_for_a_given_key(authority: Authority) -> None:
    before = authority.issue(node_client("worker01"))
    after = authority.issue(node_client("worker01"), key=before.key)
    assert (after.key, after.cert != before.cert) == (before.key, True)
    assert after.belongs_together


def test_what_is_issued_is_kept(pki: Pki) -> None:
    pair = pki.issued("nodes/worker01", REQUESTS["node"])
    assert pki.issued("nodes/worker01", REQUESTS["node"]) == pair
    assert ensure_pki(pki.directory).issued("nodes/worker01", REQUESTS["node"]) == pair
    modes = {
        name: stat.S_IMODE((pki.directory / "nodes" / name).stat().st_mode)
        for name in ("worker01.crt", "worker01.key")
    }
    assert modes == {"worker01.crt": 0o644, "worker01.key": 0o600}
    assert (pki.directory / "nodes" / "worker01.key").read_bytes() == pair.key


OTHER_REQUESTS = {
    "another name": node_client("worker02"),
    "another use": replace(REQUESTS["node"], server=True),
    "an address": replace(REQUESTS["node"], addresses=(ADDRESS,)),
    "another kind of key": replace(REQUESTS["node"], key_type="ecdsa"),
}


@pytest.mark.parametrize("difference", OTHER_REQUESTS)
def test_another_request_is_issued_anew(difference: str, pki: Pki) -> None:
    name = difference.replace(" ", "-")
    before = pki.issued(name, REQUESTS["node"])
    after = pki.issued(name, OTHER_REQUESTS[difference])
    assert before != after
    assert pki.authority.has_issued(after, OTHER_REQUESTS[difference])
    assert pki.issued(name, OTHER_REQUESTS[difference]) == after


def damaged(pair: KeyPair, pki: Pki) -> dict[str, KeyPair]:
    other = Authority.create(subject("kubernetes"))
    request = REQUESTS["node"]
    return {
        "of another CA": other.issue(request),
        "with another key": KeyPair(pair.cert, pki.authority.issue(request).key),
        "without its end": KeyPair(pair.cert[:200], pair.key),
        "with another after it": KeyPair(pair.cert + other.cert, pair.key),
        "about to expire": pki.authority.issue(replace(request, lifetime=timedelta(hours=12))),
        "expired": pki.authority.issue(replace(request, lifetime=timedelta(hours=-12))),
    }


def test_certificate_that_cannot_serve_is_issued_anew(pki: Pki) -> None:
    pair = pki.issued("damaged", REQUESTS["node"])
    for what, bad in damaged(pair, pki).items():
        (pki.directory / "damaged.crt").write_bytes(bad.cert)
        (pki.directory / "damaged.key").write_bytes(bad.key)
        again = pki.issued("damaged", REQUESTS["node"])
        assert again.cert not in (pair.cert, bad.cert), what
        assert pki.authority.has_issued(again, REQUESTS["node"]), what


def test_short_lifetime_is_kept_while_half_of_it_is_left(pki: Pki) -> None:
    short = node_client("worker01", lifetime=timedelta(hours=2))
    assert pki.issued("short", short) == pki.issued("short", short)


def test_other_authority_is_kept_and_issues(pki: Pki) -> None:
    etcd = pki.other_authority("etcd/ca", subject("etcd-ca"))
    assert pki.other_authority("etcd/ca", subject("etcd-ca")) == etcd
    assert etcd.cert != pki.ca_cert
    peer = pki.issued("etcd/peer", REQUESTS["server"], etcd)
    assert etcd.has_issued(peer, REQUESTS["server"])
    assert pki.issued("etcd/peer", REQUESTS["server"], etcd) == peer
    assert pki.issued("etcd/peer", REQUESTS["server"]) != peer
    assert pki.other_authority("etcd/ca", subject("etcd-other")).cert != etcd.cert


def test_no_key_is_shown(pki: Pki) -> None:
    pair = pki.issued("shown", REQUESTS["node"])
    assert "PRIVATE" not in f"{pair!r}{pki.authority!r}"


def test_request_for_the_articles_kubelet_is_a_year(pki: Pki) -> None:
    certificate = x509.load_pem_x509_certificate(pki.kubelet_cert)
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=365)
    assert Request(subject("x")).usages == ()
