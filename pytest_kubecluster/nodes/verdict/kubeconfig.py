"""The kubeconfig in use and the CA, and how they fit together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from pytest_kubecluster.nodes.parts import Kubeconfig
from pytest_kubecluster.nodes.verdict.difference import Case, Difference, Evidence, NothingToCheck

_LONGEST_CHAIN = 8
_NODE_USER = "system:node:"


def kubeconfig_is_a_config(case: Case) -> Iterator[Difference]:
    """Expect a readable kubeconfig at the path that the spec states."""
    wanted, used = case.stated.identity.kubeconfig, case.seen.credentials
    if used is None:
        if wanted is None:
            raise NothingToCheck("the kubelet has no --kubeconfig")
        yield _differs("kubeconfig", wanted, None)
        return
    if wanted is not None and used.path != wanted:
        yield _differs("kubeconfig path", wanted, used.path)
    if used.problem:
        yield _differs(used.path or "kubeconfig", "a kubeconfig", used.problem)
        return
    document = used.document
    # client-go accepts a kubeconfig without both.
    actual = f"{document.get('apiVersion', 'v1')} {document.get('kind', 'Config')}"
    if actual != "v1 Config":
        yield _differs(f"{used.path} kind", "v1 Config", actual)


def kubeconfig_names_a_cluster_and_a_user(case: Case) -> Iterator[Difference]:
    """Expect a current context whose cluster and user exist, and a server."""
    used = _used(case)
    if used.choice:
        yield _differs(used.path, "a context with a cluster and a user", used.choice)
    elif not used.server:
        yield _differs(f"{used.path} server", "a URL", None)
    elif used.kind == "nothing":
        yield _differs(f"{used.path} user", "credentials", None)


def kubeconfig_names_the_api_server(case: Case) -> Iterator[Difference]:
    """Expect the stated API server."""
    wanted = case.stated.server
    if wanted is None:
        raise NothingToCheck("the spec states no API server")
    used = _chosen(case)
    if used.server != wanted:
        yield _differs(f"{used.path} server", wanted, used.server or None)


def kubeconfig_trusts_the_ca_on_disk(case: Case) -> Iterator[Difference]:
    """Expect the kubeconfig to trust the CA that signs the kubelet's clients."""
    used, client_ca = _chosen(case), case.seen.client_ca
    authority = used.authority
    if not authority.certificates:
        if authority.problem:
            yield _differs(f"{used.path} certificate-authority", "a CA", authority.problem)
            return
        if case.stated.complete:
            yield _differs(f"{used.path} certificate-authority", "a CA", None)
            return
        how = "verifies no server" if used.insecure else "trusts the CAs of the system"
        raise NothingToCheck(f"the kubeconfig {how}")
    if client_ca.problem:
        yield _differs(client_ca.path, "the client CA", client_ca.problem)
    elif not client_ca.path:
        raise NothingToCheck("the kubelet has no client CA")
    elif not {*_loaded(authority.certificates)} & {*_loaded(client_ca.certificates)}:
        where = f"a certificate of {client_ca.path}"
        yield _differs(f"{used.path} certificate-authority", where, "other CAs only")


def client_certificate_chains_to_the_ca_on_disk(case: Case) -> Iterator[Difference]:
    """Expect a client certificate that the client CA signed, directly or by intermediates."""
    used, client_ca = _with_certificate(case), case.seen.client_ca
    if client_ca.problem:
        yield _differs(client_ca.path, "the client CA", client_ca.problem)
        return
    if not client_ca.path:
        raise NothingToCheck("the kubelet has no client CA")
    if not chains(used.certificates, client_ca.certificates):
        yield _differs("client certificate", f"signed by {client_ca.path}", _issuer(used))
    authority = used.authority.certificates
    if authority and not case.stated.complete and not chains(used.certificates, authority):
        wanted = "signed by a CA that the kubeconfig trusts"
        yield _differs("client certificate", wanted, _issuer(used))


def client_key_matches_its_certificate(case: Case) -> Iterator[Difference]:
    """Expect a key that is the certificate's."""
    used = _with_certificate(case, needs_certificate=False)
    if used.key != "matches":
        yield _differs("client key", "matches its certificate", used.key)


def client_certificate_is_valid_now(case: Case) -> Iterator[Difference]:
    """Expect a client certificate that is in date on the node."""
    used = _with_certificate(case)
    (certificate, *_) = _loaded(used.certificates)
    now = datetime.fromtimestamp(case.seen.time, timezone.utc)
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not first <= now <= last:
        actual = f"valid from {first:%Y-%m-%d} to {last:%Y-%m-%d}, and now is {now:%Y-%m-%d}"
        yield _differs("client certificate", "valid now", actual)


def client_certificate_names_its_user(case: Case) -> Iterator[Difference]:
    """Expect the stated user and groups, and of a node's user that it is this node."""
    identity, used = case.stated.identity, _with_certificate(case)
    (certificate, *_) = _loaded(used.certificates)
    subject = certificate.subject
    users = [str(one.value) for one in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    user = users[0] if users else ""
    groups = {str(one.value) for one in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)}
    if identity.user is not None and user != identity.user:
        yield _differs("client certificate user", identity.user, user or None)
    if identity.groups is not None and groups != {*identity.groups}:
        expected = ", ".join(sorted(identity.groups))
        yield _differs("client certificate groups", expected, ", ".join(sorted(groups)) or None)
    in_cloud = case.seen.process and case.seen.flags.get("cloud-provider", "") not in (
        "",
        "external",
    )
    if identity.user is None and user.startswith(_NODE_USER) and case.seen.process:
        name = user.removeprefix(_NODE_USER)
        if name != case.seen.registered_name and not in_cloud:
            yield _differs("client certificate user", _NODE_USER + case.seen.registered_name, user)


def _used(case: Case) -> Kubeconfig:
    """Return the kubeconfig; whether it can be read is a check of its own."""
    used = case.seen.credentials
    if used is None:
        raise NothingToCheck("the kubelet has no --kubeconfig")
    if used.problem:
        raise NothingToCheck("the kubeconfig cannot be read")
    return used


def _chosen(case: Case) -> Kubeconfig:
    used = _used(case)
    if used.choice:
        raise NothingToCheck("the kubeconfig's context names no cluster and user")
    return used


def _with_certificate(case: Case, *, needs_certificate: bool = True) -> Kubeconfig:
    used = _chosen(case)
    if used.kind != "certificate":
        raise NothingToCheck(f"the kubelet has no certificate: its kubeconfig has {used.kind}")
    if needs_certificate and not used.certificates:
        raise NothingToCheck(f"the kubeconfig's certificate cannot be read: {used.key}")
    return used


def _loaded(pems: Sequence[str]) -> list[x509.Certificate]:
    found = []
    for pem in pems:
        try:
            found.append(x509.load_pem_x509_certificate(pem.encode()))
        except ValueError:
            continue
    return found


def chains(certificates: Sequence[str], authorities: Sequence[str]) -> bool:
    """Return whether a chain leads from the first certificate to an authority.

    As in Go, all certificates of the CA file are trusted, and those that the client sends may be
    in between.
    """
    (leaf, *between), trusted = _loaded(certificates), _loaded(authorities)
    at = [leaf]
    for _ in range(_LONGEST_CHAIN):
        if any(one in trusted or any(_signed(one, by) for by in trusted) for one in at):
            return True
        at = [by for by in between for one in at if by != one and _signed(one, by)]
    return False


def _signed(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _issuer(used: Kubeconfig) -> str:
    return f"signed by {_loaded(used.certificates)[0].issuer.rfc4514_string()}"


def _differs(name: str, expected: str | None, actual: str | None) -> Difference:
    return Difference(name, expected, actual, Evidence.FILES)
