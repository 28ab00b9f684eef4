"""The certificates that were seen on nodes, each once, and which one signed which."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from pytest_kubecluster.nodes.observation import Observation
from pytest_kubecluster.report.data import CertificateSeen

_USAGES = {"serverAuth": "server", "clientAuth": "client"}
_ERRORS = (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion)


def certificates(seen: Iterable[tuple[str, Observation]]) -> tuple[CertificateSeen, ...]:
    """Return the certificates of observations by node, those that signed others before these."""
    parsed: dict[str, x509.Certificate] = {}
    used: dict[str, dict[str, list[str]]] = {}
    for node, observation in seen:
        for purpose, pem in _found(observation):
            for certificate in _load(pem):
                key = _fingerprint(certificate)
                parsed[key] = certificate
                nodes = used.setdefault(key, {}).setdefault(purpose, [])
                nodes += [] if node in nodes else [node]
    described = {key: _describe(key, one) for key, one in parsed.items()}
    for key, one in parsed.items():
        signer = next((name for name, ca in parsed.items() if _signed(one, ca)), "")
        purposes = {purpose: tuple(nodes) for purpose, nodes in used[key].items()}
        described[key] = replace(described[key], signed_by=signer, used=purposes)
    return tuple(sorted(described.values(), key=lambda one: (not one.ca, one.subject, one.first)))


def _found(seen: Observation) -> Iterator[tuple[str, str]]:
    for pem in seen.client_ca.certificates:
        yield "client CA", pem
    if used := seen.credentials:
        for pem in used.authority.certificates:
            yield "CA of the API server", pem
        for pem in used.certificates:
            yield "client certificate", pem
    for answer in seen.answers.values():
        if answer.certificate:
            yield "serving certificate", answer.certificate


def _load(pem: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except _ERRORS:
        return []


def _fingerprint(certificate: x509.Certificate) -> str:
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()[:16]


def _describe(key: str, certificate: x509.Certificate) -> CertificateSeen:
    usages, names, is_ca = [], [], False
    try:
        for extension in certificate.extensions:
            value = extension.value
            if isinstance(value, x509.BasicConstraints):
                is_ca = value.ca
            elif isinstance(value, x509.ExtendedKeyUsage):
                usages += [_USAGES.get(one._name, one.dotted_string) for one in value]
            elif isinstance(value, x509.SubjectAlternativeName):
                names += [str(getattr(one, "value", one)) for one in value]
    except _ERRORS:
        usages.append("extensions that cannot be read")
    return CertificateSeen(
        key,
        certificate.subject.rfc4514_string(),
        certificate.issuer.rfc4514_string(),
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
        is_ca,
        usages=(*(["CA"] if is_ca else []), *usages),
        names=tuple(names),
    )


def _signed(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    if certificate is ca or certificate.issuer != ca.subject:
        return False
    try:
        certificate.verify_directly_issued_by(ca)
    except _ERRORS:
        return False
    return True
