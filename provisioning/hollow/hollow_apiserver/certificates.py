"""Certificate signing requests of nodes: pkg/controller/certificates, approver and signer."""

from __future__ import annotations

import base64
import re
import secrets
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hollow_common.facts import since
from hollow_common.go import quote, timestamp
from hollow_common.log import log

from hollow_apiserver.failures import invalid
from hollow_apiserver.kinds import stored
from hollow_apiserver.rbac import Attributes
from hollow_apiserver.requests import User

if TYPE_CHECKING:
    from hollow_apiserver.authorization import Authorization

CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY = (
    f"kubernetes.io/{name}"
    for name in ("kube-apiserver-client", "kube-apiserver-client-kubelet", "kubelet-serving",
                 "legacy-unknown")
)  # fmt: skip
GROUP = "certificates.k8s.io"
CLIENT_USAGES = {"digital signature", "client auth"}
SERVING_USAGES = {"digital signature", "server auth"}
KEY_USAGES = {
    "signing": "digitalSignature", "digital signature": "digitalSignature",
    "content commitment": "nonRepudiation", "key encipherment": "keyEncipherment",
    "key agreement": "keyAgreement", "data encipherment": "dataEncipherment",
    "cert sign": "keyCertSign", "crl sign": "cRLSign",
}  # fmt: skip
EXTENDED_USAGES = {
    "client auth": "clientAuth", "server auth": "serverAuth", "code signing": "codeSigning",
    "email protection": "emailProtection", "timestamping": "timeStamping",
    "ocsp signing": "OCSPSigning",
}  # fmt: skip
BACKDATE = 300


class Subject(NamedTuple):
    """What a request asks to be certified."""

    name: str
    organizations: tuple[str, ...]
    dns_names: tuple[str, ...]
    addresses: tuple[str, ...]
    others: bool


class SigningFailure(Exception):
    """A request that cannot be read or signed."""


def read_request(pem: bytes) -> Subject:
    """Return what a request in PEM asks for."""
    shown = openssl(
        ["req", "-noout", "-verify", "-subject", "-nameopt", "multiline,utf8,-esc_msb", "-text"],
        pem,
    )
    subject = re.search(r"^subject=\n((?: +\S.*\n)+)", shown, re.MULTILINE)
    names: dict[str, list[str]] = {}
    for key, value in re.findall(r"^ +(\w+) += (.*)$", subject[1] if subject else "", re.MULTILINE):
        names.setdefault(key, []).append(value)
    alternative = re.search(r"Subject Alternative Name:.*\n\s+(.*)", shown)
    listed = alternative[1].split(", ") if alternative else []
    pairs = [one.partition(":")[::2] for one in listed]
    return Subject(
        (names.get("commonName") or [""])[-1],
        tuple(names.get("organizationName", ())),
        tuple(value for kind, value in pairs if kind == "DNS"),
        tuple(value for kind, value in pairs if kind == "IP Address"),
        any(kind not in ("DNS", "IP Address") for kind, _ in pairs),
    )


def openssl(words: list[str], given: bytes) -> str:
    """Run openssl and return what it prints."""
    try:
        done = subprocess.run(
            ["openssl", *words], input=given, capture_output=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", None) or str(error).encode()
        raise SigningFailure(detail.decode(errors="replace").strip()) from None
    return done.stdout.decode(errors="replace")


def default_signer(spec: dict[str, Any]) -> str:
    """Return the signer of a request that names none: DefaultSignerNameFromSpec."""
    try:
        subject = read_request(base64.b64decode(spec.get("request") or ""))
    except (SigningFailure, ValueError):
        return LEGACY
    usages = set(spec.get("usages") or ()) - {"key encipherment"}
    node = subject.organizations == ("system:nodes",) and is_node(subject.name)
    if node and usages == CLIENT_USAGES and not (subject.dns_names or subject.addresses):
        return KUBELET_CLIENT
    if node and usages == SERVING_USAGES and (subject.dns_names or subject.addresses):
        return KUBELET_SERVING
    return LEGACY


def is_node(name: str) -> bool:
    """Whether a common name is that of a node."""
    return name.startswith("system:node:") and len(name) > len("system:node:")


def check_new(spec: dict[str, Any], name: str, version: str) -> dict[str, Any]:
    """Return a new request's spec with its defaults; refuse what cannot be read."""
    kind = stored("certificatesigningrequests", GROUP)
    try:
        read_request(base64.b64decode(spec.get("request") or ""))
    except (SigningFailure, ValueError):
        shown = str(spec.get("request") or "")
        problem = f"Invalid value: {quote(shown)}: PEM block type must be CERTIFICATE REQUEST"
        raise invalid(kind, name, ("spec.request", "FieldValueInvalid", problem)) from None
    if version == "v1" and not spec.get("usages"):
        problem = "Required value: usages is required"
        raise invalid(kind, name, ("spec.usages", "FieldValueRequired", problem))
    if version == "v1" and not spec.get("signerName"):
        raise invalid(kind, name, ("spec.signerName", "FieldValueRequired", "Required value"))
    if since(18) and not spec.get("signerName"):
        spec = {**spec, "signerName": default_signer(spec)}
    if not spec.get("usages"):
        spec = {**spec, "usages": ["digital signature", "key encipherment"]}
    return spec


class Signer:
    """Approves the requests of nodes, and signs what is approved."""

    def __init__(
        self, authorization: Authorization, certificate: str, key: str, seconds: float
    ) -> None:
        """Sign with the authority in two files, for at most ``seconds``."""
        self.authorization = authorization
        self.certificate = certificate
        self.key = key
        self.seconds = seconds

    def treat(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return a request, approved if a node may ask for it, and signed if it is approved."""
        status = dict(request.get("status") or {})
        kinds = {one.get("type") for one in status.get("conditions") or ()}
        if not kinds and self.approves(request["spec"]):
            status["conditions"] = [condition("Approved", "AutoApproved", APPROVED)]
            kinds = {"Approved"}
        wanted = "Approved" in kinds and not kinds & {"Denied", "Failed"}
        if wanted and not status.get("certificate") and self.signs(request["spec"]):
            status = self.signed(request["spec"], status)
        return {**request, "status": status}

    def signs(self, spec: dict[str, Any]) -> bool:
        """Whether the request is for a signer that is this one."""
        ours = (CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY, None, "")
        return bool(self.certificate) and spec.get("signerName") in ours

    def signed(self, spec: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
        """Return the status with a certificate, or with the reason why there is none."""
        try:
            pem = self.sign(spec)
        except SigningFailure as error:
            log("E", "signer.go:151", f"cannot sign a certificate signing request: {error}")
            failed = condition("Failed", "SignerValidationFailure", str(error))
            return {**status, "conditions": [*(status.get("conditions") or ()), failed]}
        return {**status, "certificate": base64.b64encode(pem).decode()}

    def approves(self, spec: dict[str, Any]) -> bool:
        """Whether a request is for a node's client certificate, and its user may have it."""
        try:
            subject = read_request(base64.b64decode(spec.get("request") or ""))
        except (SigningFailure, ValueError):
            return False
        usages = set(spec.get("usages") or ()) - {"key encipherment"}
        if usages != CLIENT_USAGES or spec.get("signerName") not in (None, "", KUBELET_CLIENT):
            return False
        if subject.organizations != ("system:nodes",) or not is_node(subject.name):
            return False
        if subject.dns_names or subject.addresses or subject.others:
            return False
        user = User(spec.get("username", ""), tuple(spec.get("groups") or ()))
        wanted = ["nodeclient"]
        if subject.name == user.name:
            wanted.insert(0, "selfnodeclient")
        return any(
            self.authorization.decide(
                Attributes(user, "create", GROUP, "certificatesigningrequests", one)
            )[0]
            for one in wanted
        )

    def sign(self, spec: dict[str, Any]) -> bytes:
        """Return the certificate in PEM that a request asks for."""
        pem = base64.b64decode(spec["request"])
        usages = spec.get("usages") or ()
        plain = [KEY_USAGES[one] for one in usages if one in KEY_USAGES]
        extended = [EXTENDED_USAGES[one] for one in usages if one in EXTENDED_USAGES]
        seconds = min(self.seconds, float(spec.get("expirationSeconds") or self.seconds))
        subject = read_request(pem)
        names = [f"DNS:{one}" for one in subject.dns_names]
        names += [f"IP:{one}" for one in subject.addresses]
        lines = ["basicConstraints=critical,CA:FALSE", "authorityKeyIdentifier=keyid"]
        lines += [f"keyUsage=critical,{','.join(plain)}"] if plain else []
        lines += [f"extendedKeyUsage={','.join(extended)}"] if extended else []
        lines += [f"subjectAltName={','.join(names)}"] if names else []
        with tempfile.TemporaryDirectory(prefix="signing-") as folder:
            path = Path(folder)
            (path / "index.txt").touch()
            (path / "extensions").write_text("\n".join(lines) + "\n")
            (path / "request.pem").write_bytes(pem)
            (path / "config").write_text(CONFIG.format(folder=folder))
            (path / "serial").write_text(f"{secrets.randbits(120) | 1 << 119:X}\n")
            openssl(
                [
                    "ca", "-batch", "-notext", "-preserveDN", "-config", str(path / "config"),
                    "-cert", self.certificate, "-keyfile", self.key,
                    "-in", str(path / "request.pem"), "-out", str(path / "certificate.pem"),
                    "-extfile", str(path / "extensions"),
                    "-startdate", moment(time.time() - BACKDATE),
                    "-enddate", moment(min(time.time() + seconds, self.authority_ends())),
                ],
                b"",
            )  # fmt: skip
            return (path / "certificate.pem").read_bytes()

    def authority_ends(self) -> float:
        """Return when the authority's certificate expires."""
        import ssl

        shown = openssl(["x509", "-noout", "-enddate", "-in", self.certificate], b"")
        return float(ssl.cert_time_to_seconds(shown.partition("=")[2].strip()))


APPROVED = "Auto approving kubelet client certificate after SubjectAccessReview."
CONFIG = """\
[ca]
default_ca = node
[node]
new_certs_dir = {folder}
database = {folder}/index.txt
serial = {folder}/serial
default_md = sha256
policy = anything
unique_subject = no
copy_extensions = none
[anything]
organizationName = optional
commonName = supplied
"""


def moment(seconds: float) -> str:
    """Return a time as openssl reads it."""
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(seconds))


def condition(kind: str, reason: str, message: str) -> dict[str, Any]:
    """Return a condition of a request."""
    now = timestamp()
    found = {"type": kind, "reason": reason, "message": message, "lastUpdateTime": now}
    if since(19):
        found |= {"status": "True", "lastTransitionTime": now}
    return found
