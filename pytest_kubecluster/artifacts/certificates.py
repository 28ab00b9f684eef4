"""Certificates as values: an authority, what it is asked for, and what it issues."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pytest_kubecluster.spec.parts import IPAddress

KeyType = Literal["rsa", "ecdsa"]
"""RSA with 2048 bits, or ECDSA on P-256: what kubeadm makes, and what kubelets make."""

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

SKEW = timedelta(hours=1)
"""How long before its making a certificate's validity starts: a guest's clock may be behind."""

YEAR = timedelta(days=365)

_MARGIN = timedelta(days=1)

UNUSABLE = (
    OSError,
    ValueError,
    TypeError,  # a key with a passphrase
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
)
"""What reading or verifying a damaged certificate or key raises."""


@dataclass(frozen=True)
class Request:
    """What a certificate is to say.

    ``lifetime`` is counted from now; a negative one makes a certificate that has expired.
    """

    subject: x509.Name
    client: bool = False
    """Whether it identifies a client (extended key usage)."""
    server: bool = False
    """Whether it identifies a server (extended key usage)."""
    names: tuple[str, ...] = ()
    """DNS names of the server."""
    addresses: tuple[IPAddress, ...] = ()
    """IP addresses of the server."""
    lifetime: timedelta = YEAR - SKEW
    key_type: KeyType = "rsa"

    @property
    def usages(self) -> tuple[x509.ObjectIdentifier, ...]:
        """The extended key usages."""
        server = (ExtendedKeyUsageOID.SERVER_AUTH,) if self.server else ()
        return (*server, ExtendedKeyUsageOID.CLIENT_AUTH) if self.client else server

    @property
    def alternative_names(self) -> tuple[x509.GeneralName, ...]:
        """The names and addresses, as a certificate holds them."""
        return (*map(x509.DNSName, self.names), *map(x509.IPAddress, self.addresses))


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its key, as PEM."""

    cert: bytes
    key: bytes = field(repr=False)

    @property
    def combined(self) -> bytes:
        """Certificate and key in one file, as a kubelet's kubelet-client-current.pem."""
        return self.cert + self.key

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate, parsed."""
        return x509.load_pem_x509_certificate(self.cert)

    @property
    def private_key(self) -> PrivateKey:
        """The key, parsed. Raises one of UNUSABLE."""
        key = serialization.load_pem_private_key(self.key, None)
        if not isinstance(key, PrivateKey):
            raise ValueError(f"neither an RSA nor an ECDSA key: {type(key).__name__}")
        return key

    @property
    def belongs_together(self) -> bool:
        """Whether this is one certificate with its own key. Raises one of UNUSABLE."""
        certificate = self.certificate
        # A second certificate in the file would be used too, but only the first is checked.
        alone = certificate.public_bytes(serialization.Encoding.PEM) == self.cert
        return alone and certificate.public_key() == self.private_key.public_key()


@dataclass(frozen=True)
class Authority(KeyPair):
    """A certificate authority, which signs what it is asked for."""

    @classmethod
    def create(
        cls, subject: x509.Name, *, lifetime: timedelta = YEAR - SKEW, key_type: KeyType = "rsa"
    ) -> Authority:
        """Return a new authority that has signed itself."""
        key = _new_key(key_type)
        request = Request(subject, lifetime=lifetime, key_type=key_type)
        certificate = _sign(request, key, subject, key, is_ca=True)
        return cls(certificate, _pem(key))

    def issue(self, request: Request, *, key: bytes | None = None) -> KeyPair:
        """Return a new certificate for a request, with a key of its own or a given one (PEM)."""
        own = KeyPair(b"", key).private_key if key else _new_key(request.key_type)
        certificate = _sign(request, own, self.certificate.subject, self.private_key)
        return KeyPair(certificate, _pem(own))

    def has_issued(self, pair: KeyPair, request: Request) -> bool:
        """Return whether a pair is what ``issue`` would make, and stays valid for a while.

        Raises one of UNUSABLE.
        """
        certificate, key = pair.certificate, pair.private_key
        certificate.verify_directly_issued_by(self.certificate)
        extensions = certificate.extensions
        usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        return (
            pair.belongs_together
            # Names with other string types are equal as x509.Name, but differ in their bytes.
            and certificate.subject.public_bytes() == request.subject.public_bytes()
            and tuple(usage) == request.usages
            and tuple(_alternative_names(certificate)) == request.alternative_names
            and isinstance(key, _KEYS[request.key_type])
            and is_valid(certificate, min(_MARGIN, request.lifetime / 2))
        )


_KEYS = {"rsa": rsa.RSAPrivateKey, "ecdsa": ec.EllipticCurvePrivateKey}


def is_valid(certificate: x509.Certificate, margin: timedelta = _MARGIN) -> bool:
    """Return whether a certificate is valid now and for ``margin`` from now on."""
    now = datetime.now(timezone.utc)
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc - margin


def subject(common_name: str, organization: str = "") -> x509.Name:
    """Return ``O = …, CN = …``: to Kubernetes the groups and the name of a user."""
    parts = [(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    parts.append((NameOID.COMMON_NAME, common_name))
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def node_client(
    node: str, *, lifetime: timedelta = YEAR - SKEW, key_type: KeyType = "rsa"
) -> Request:
    """Return a request for a node's own identity: ``system:node:NODE`` of ``system:nodes``.

    It is what the Node authorizer recognises, and what the signer
    kubernetes.io/kube-apiserver-client-kubelet issues.
    """
    name = subject(f"system:node:{node}", "system:nodes")
    return Request(name, client=True, lifetime=lifetime, key_type=key_type)


def node_serving(
    node: str,
    addresses: tuple[IPAddress, ...],
    *,
    names: tuple[str, ...] = (),
    lifetime: timedelta = YEAR - SKEW,
    key_type: KeyType = "rsa",
) -> Request:
    """Return a request for a kubelet's serving certificate, for its name and addresses.

    As the signer kubernetes.io/kubelet-serving issues it: the subject is the node's identity.
    ``names`` are other DNS names than the node's.
    """
    return Request(
        subject(f"system:node:{node}", "system:nodes"),
        server=True,
        names=tuple(dict.fromkeys((node, *names))),
        addresses=addresses,
        lifetime=lifetime,
        key_type=key_type,
    )


def kubelet_client(
    *,
    organization: str = "system:masters",
    lifetime: timedelta = YEAR - SKEW,
    key_type: KeyType = "rsa",
) -> Request:
    """Return a request for the identity with which an API server asks kubelets.

    The names are kubeadm's (cmd/kubeadm/app/phases/certs/certlist.go), whose organization is
    ``kubeadm:cluster-admins`` from 1.29 on.
    """
    name = subject("kube-apiserver-kubelet-client", organization)
    return Request(name, client=True, lifetime=lifetime, key_type=key_type)


def server(
    common_name: str,
    names: tuple[str, ...],
    addresses: tuple[IPAddress, ...],
    *,
    client: bool = False,
    lifetime: timedelta = YEAR - SKEW,
    key_type: KeyType = "rsa",
) -> Request:
    """Return a request for a server's certificate; with ``client``, for a peer of its kind too."""
    return Request(
        subject(common_name),
        client=client,
        server=True,
        names=names,
        addresses=addresses,
        lifetime=lifetime,
        key_type=key_type,
    )


def user(
    name: str,
    group: str = "",
    *,
    lifetime: timedelta = YEAR - SKEW,
    key_type: KeyType = "rsa",
) -> Request:
    """Return a request for the identity of a user of the API server."""
    return Request(subject(name, group), client=True, lifetime=lifetime, key_type=key_type)


def rotated_path(path: str, pem: bytes) -> str:
    """Return the file that a kubelet keeps behind its link ``NAME-current.pem``: ``NAME-DATE.pem``.

    The date is that of the certificate's making (certificate_store.go in client-go), in UTC.
    """
    made = x509.load_pem_x509_certificate(pem).not_valid_before_utc + SKEW
    return path.replace("-current.pem", f"-{made:%Y-%m-%d-%H-%M-%S}.pem")


def _alternative_names(certificate: x509.Certificate) -> Iterator[x509.GeneralName]:
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            yield from extension.value


def _new_key(key_type: KeyType) -> PrivateKey:
    if key_type == "ecdsa":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, 2048)


def _sign(
    request: Request,
    key: PrivateKey,
    issuer: x509.Name,
    issuer_key: PrivateKey,
    *,
    is_ca: bool = False,
) -> bytes:
    now = datetime.now(timezone.utc)
    ends = now + request.lifetime
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        # RFC 5280, section 4.1.2.2
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, ends) - SKEW)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(_key_usage(request.key_type, signs_certificates=is_ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(identifier, critical=False)
    )
    if request.usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(request.usages), critical=False)
    if names := request.alternative_names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _key_usage(key_type: KeyType, *, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=key_type == "rsa",
        key_cert_sign=signs_certificates,
        crl_sign=False,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
