"""The cluster's certificates, kept in a folder of this host.

The kube CA and the kubelets' common identity are exactly as the article makes them, except that
serial numbers are random (RFC 5280, section 4.1.2.2) and that validity starts an hour in the past,
since a guest's clock may be behind. Everything else is issued when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.x509.oid import NameOID

from pytest_kubecluster.artifacts.bootstrap import BootstrapToken
from pytest_kubecluster.artifacts.certificates import (
    UNUSABLE,
    Authority,
    KeyPair,
    Request,
    is_valid,
    node_client,
    node_serving,
)
from pytest_kubecluster.spec.parts import IPAddress
from pytest_kubecluster.util.atomic import locked, private_folder, write_atomically
from pytest_kubecluster.util.redact import secrets_in

_LOCK = "pki.lock"
TOKEN_FILE = "bootstrap-token"
_FILES = {"ca.crt": 0o644, "ca.key": 0o600, "kubelet.crt": 0o644, "kubelet.key": 0o600}
_Pair = TypeVar("_Pair", bound=KeyPair)


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

    @property
    def authority(self) -> Authority:
        """The cluster's CA, which issues any certificate; ``issued`` keeps what it issues."""
        return Authority(self.ca_cert, self.ca_key)

    def issued(self, name: str, request: Request, authority: Authority | None = None) -> KeyPair:
        """Return the certificate that is kept under ``name``, issued unless a valid one is there.

        It is issued again if it is not as requested, was issued by another CA than ``authority``
        (default: the cluster's), or expires within a day. The files are ``name``.crt and
        ``name``.key below ``directory``. Raises KubeClusterError if they cannot be written.
        """
        issuer = authority or self.authority
        return self._kept(
            name,
            KeyPair,
            lambda pair: issuer.has_issued(pair, request),
            lambda: issuer.issue(request),
        )

    def node_client(self, node: str) -> KeyPair:
        """Return the identity of a node, by the name that it registers with."""
        name = node.strip().lower()
        return self.issued(f"nodes/{name}", node_client(name))

    def node_serving(self, node: str, addresses: tuple[IPAddress, ...]) -> KeyPair:
        """Return the serving certificate of a node's kubelet, for its name and addresses."""
        name = node.strip().lower()
        return self.issued(f"nodes/{name}-serving", node_serving(name, addresses))

    def bootstrap_token(self) -> BootstrapToken:
        """Return the token that the nodes join with, made when it is first asked for.

        Raises KubeClusterError if it cannot be written.
        """
        path = self.directory / TOKEN_FILE
        private_folder(self.directory)
        with locked(self.directory / _LOCK):
            if path.exists():
                return BootstrapToken(*path.read_text().split("."))
            token = BootstrapToken.create()
            write_atomically(path, token.text.encode(), 0o600)
            return token

    def secrets(self) -> tuple[str, ...]:
        """Return all that is kept secret: private keys as PEM, and the token."""
        return secrets_in(self.directory)

    def other_authority(self, name: str, subject: x509.Name) -> Authority:
        """Return another CA than the cluster's, kept under ``name``: etcd's, for example.

        Raises KubeClusterError if it cannot be written.
        """

        def fits(authority: Authority) -> bool:
            return _is_authority(authority, subject)

        return self._kept(name, Authority, fits, lambda: Authority.create(subject))

    def _kept(
        self,
        name: str,
        load: Callable[[bytes, bytes], _Pair],
        fits: Callable[[_Pair], bool],
        make: Callable[[], _Pair],
    ) -> _Pair:
        paths = [self.directory / f"{name}.{suffix}" for suffix in ("crt", "key")]
        private_folder(paths[0].parent)
        with locked(self.directory / _LOCK):
            try:
                kept = load(*(path.read_bytes() for path in paths))
                if fits(kept):
                    return kept
            except UNUSABLE:
                pass
            pair = make()
            write_atomically(paths[0], pair.cert, 0o644)
            write_atomically(paths[1], pair.key, 0o600)
            return pair


def ensure_pki(directory: Path) -> Pki:
    """Return the certificates in ``directory``, created unless a whole and valid set is there.

    A set is kept, as in the article, unless it is incomplete, does not belong together, or expires
    within a day: then all of it is created again. Runs that share a folder get the same set. Raises
    KubeClusterError if the folder cannot be written.
    """
    private_folder(directory)
    with locked(directory / _LOCK):
        return _load(directory) or _make(directory)


def _load(directory: Path) -> Pki | None:
    """Return the set in ``directory``, or None if it must not be used."""
    try:
        for name, mode in _FILES.items():
            (directory / name).chmod(mode)
        pki = Pki(directory, *((directory / name).read_bytes() for name in _FILES))
        kubelet = KeyPair(pki.kubelet_cert, pki.kubelet_key)
        ca_fits = _is_authority(pki.authority, _name("bootkube", "kube-ca"))
        return pki if ca_fits and pki.authority.has_issued(kubelet, _kubelet()) else None
    except UNUSABLE:
        return None


def _make(directory: Path) -> Pki:
    ca = Authority.create(_name("bootkube", "kube-ca"))
    kubelet = ca.issue(_kubelet())
    contents = (ca.cert, ca.key, kubelet.cert, kubelet.key)
    for (name, mode), content in zip(_FILES.items(), contents, strict=True):
        write_atomically(directory / name, content, mode)
    return Pki(directory, *contents)


def _is_authority(authority: Authority, subject: x509.Name) -> bool:
    """Return whether a CA is whole, valid and has a name. Raises one of UNUSABLE."""
    certificate = authority.certificate
    certificate.verify_directly_issued_by(certificate)
    return (
        authority.belongs_together
        and certificate.subject.public_bytes() == subject.public_bytes()
        and is_valid(certificate)
    )


def _kubelet() -> Request:
    return Request(_name("system:masters", "kubelet"), client=True, server=True)


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
