"""The cluster's certificates: the kube CA and the kubelet's, exactly as the article makes them.

Two things differ: serial numbers are random (RFC 5280, section 4.1.2.2), and validity
starts an hour in the past, since a guest's clock may be behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pytest_kubecluster.util.atomic import locked, private_folder, write_atomically

_SKEW = timedelta(hours=1)
_LIFETIME = timedelta(days=365)
_MARGIN = timedelta(days=1)
_FILES = {"ca.crt": 0o644, "ca.key": 0o600, "kubelet.crt": 0o644, "kubelet.key": 0o600}
_UNUSABLE = (
    OSError,
    ValueError,
    TypeError,  # a key with a passphrase
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
)


@dataclass(frozen=True)
class Pki:
    """A CA and the kubelet's client certificate, as PEM and as files in ``directory``."""

    directory: Path
    ca_cert: bytes
    ca_key: bytes = field(repr=False)
    kubelet_cert: bytes
    kubelet_key: bytes = field(repr=False)

    @property
    def ca_cert_path(self) -> Path:
        """The CA's certificate, which nodes trust."""
        return self.directory / "ca.crt"

    @property
    def ca_key_path(self) -> Path:
        """The CA's private key."""
        return self.directory / "ca.key"

    @property
    def kubelet_cert_path(self) -> Path:
        """The kubelets' client certificate: CN=kubelet, O=system:masters."""
        return self.directory / "kubelet.crt"

    @property
    def kubelet_key_path(self) -> Path:
        """The kubelets' private key."""
        return self.directory / "kubelet.key"


def ensure_pki(directory: Path) -> Pki:
    """Return the certificates in ``directory``, created unless a whole and valid set is there.

    A set is kept, as in the article, unless it is incomplete, does not belong together, or expires
    within a day: then all of it is created again. Runs that share a folder get the same set. Raises
    KubeClusterError if the folder cannot be written.
    """
    private_folder(directory)
    with locked(directory / "pki.lock"):
        return _load(directory) or _make(directory)


def _load(directory: Path) -> Pki | None:
    """Return the set in ``directory``, or None if it must not be used."""
    try:
        for name, mode in _FILES.items():
            (directory / name).chmod(mode)
        pki = Pki(directory, *((directory / name).read_bytes() for name in _FILES))
        return pki if _fits_together(pki) else None
    except _UNUSABLE:
        return None


def _fits_together(pki: Pki) -> bool:
    """Return whether the set is complete, the article's, and valid now. Raises one of _UNUSABLE."""
    ca = x509.load_pem_x509_certificate(pki.ca_cert)
    kubelet = x509.load_pem_x509_certificate(pki.kubelet_cert)
    ca_key = serialization.load_pem_private_key(pki.ca_key, None)
    kubelet_key = serialization.load_pem_private_key(pki.kubelet_key, None)
    ca.verify_directly_issued_by(ca)
    kubelet.verify_directly_issued_by(ca)
    pem = serialization.Encoding.PEM
    now = datetime.now(timezone.utc)
    return (
        # A second certificate in ca.crt would be trusted too, but only the first is checked.
        (ca.public_bytes(pem), kubelet.public_bytes(pem)) == (pki.ca_cert, pki.kubelet_cert)
        and ca.public_key() == ca_key.public_key()
        and kubelet.public_key() == kubelet_key.public_key()
        # Names with other string types are equal as x509.Name, but differ in their bytes.
        and ca.subject.public_bytes() == _name("bootkube", "kube-ca").public_bytes()
        and kubelet.subject.public_bytes() == _name("system:masters", "kubelet").public_bytes()
        and max(ca.not_valid_before_utc, kubelet.not_valid_before_utc) <= now
        and min(ca.not_valid_after_utc, kubelet.not_valid_after_utc) > now + _MARGIN
    )


def _make(directory: Path) -> Pki:
    ca_key, kubelet_key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    ca_name = _name("bootkube", "kube-ca")
    ca = _certificate(ca_name, ca_key, ca_name, ca_key, is_ca=True)
    kubelet = _certificate(
        _name("system:masters", "kubelet"),
        kubelet_key,
        ca_name,
        ca_key,
        usages=[ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
    )
    pem = serialization.Encoding.PEM
    pki = Pki(
        directory, ca.public_bytes(pem), _pem(ca_key), kubelet.public_bytes(pem), _pem(kubelet_key)
    )
    contents = (pki.ca_cert, pki.ca_key, pki.kubelet_cert, pki.kubelet_key)
    for (name, mode), content in zip(_FILES.items(), contents, strict=True):
        write_atomically(directory / name, content, mode)
    return pki


def _name(organization: str, common_name: str) -> x509.Name:
    """Return /C=SG/ST=Singapore/L=Singapore/O=…/OU=IT/CN=…, the article's subjects."""
    parts = (
        (NameOID.COUNTRY_NAME, "SG"),
        (NameOID.STATE_OR_PROVINCE_NAME, "Singapore"),
        (NameOID.LOCALITY_NAME, "Singapore"),
        (NameOID.ORGANIZATION_NAME, organization),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "IT"),
        (NameOID.COMMON_NAME, common_name),
    )
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def _certificate(
    subject: x509.Name,
    key: rsa.RSAPrivateKey,
    issuer: x509.Name,
    issuer_key: rsa.RSAPrivateKey,
    *,
    is_ca: bool = False,
    usages: Sequence[x509.ObjectIdentifier] = (),
) -> x509.Certificate:
    now = datetime.now(timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now - _SKEW + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=is_ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
