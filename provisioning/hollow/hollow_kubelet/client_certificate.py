"""The client certificate that a kubelet gets from the API server, and keeps in --cert-dir.

k8s.io/client-go/util/certificate: csr/csr.go and certificate_store.go.
"""

from __future__ import annotations

import base64
import hashlib
import os
import ssl
import subprocess
import time
from typing import Any, NamedTuple

from hollow_common.errors import Failure
from hollow_common.facts import since
from hollow_common.go import errno_text, read_file
from hollow_common.log import log
from hollow_common.tls import PEM_BLOCK, write_file

from hollow_kubelet.api_server import ApiError, ApiServer

GROUP = "certificates.k8s.io"
SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
WAIT_SECONDS = 3600.0
PREFIX = "kubelet-client"


class Pair(NamedTuple):
    """A certificate and its key in PEM."""

    certificate: bytes
    key: bytes


class Store:
    """The certificates in a folder; a symbolic link leads to the current one."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.current = os.path.join(folder, f"{PREFIX}-current.pem")

    def load(self) -> Pair | None:
        """Return the current certificate and key, or None if there are none."""
        try:
            return split(read_file(self.current))
        except Failure:
            return None

    def update(self, pair: Pair) -> None:
        """Make a certificate the current one."""
        stamp = time.strftime("%Y-%m-%d-%H-%M-%S")
        path = os.path.join(self.folder, f"{PREFIX}-{stamp}.pem")
        link = os.path.join(self.folder, f"{PREFIX}-updated.pem")
        try:
            os.makedirs(self.folder, 0o755, exist_ok=True)
            write_file(path, pair.certificate + pair.key, 0o600)
            if os.path.lexists(link):
                os.remove(link)
            os.symlink(path, link)
            os.replace(link, self.current)
        except OSError as error:
            raise Failure(f"could not write {path}: {errno_text(error)}") from None


def split(pem: bytes) -> Pair | None:
    """Return the certificates and the key in a PEM text, or None if one is missing."""
    blocks = [(match[1], match[0] + b"\n") for match in PEM_BLOCK.finditer(pem)]
    certificates = b"".join(block for kind, block in blocks if kind == b"CERTIFICATE")
    keys = b"".join(block for kind, block in blocks if kind.endswith(b"PRIVATE KEY"))
    return Pair(certificates, keys) if certificates and keys else None


def new_key() -> bytes:
    """Return a new key, on the curve that the kubelet uses."""
    words = "ecparam -genkey -name prime256v1 -noout"
    return openssl(words.split(), b"")


def openssl(words: list[str], given: bytes) -> bytes:
    """Run openssl and return what it prints."""
    try:
        done = subprocess.run(["openssl", *words], input=given, capture_output=True, check=True)
    except FileNotFoundError:
        raise Failure('exec: "openssl": executable file not found in $PATH') from None
    except subprocess.CalledProcessError as error:
        raise Failure(error.stderr.decode(errors="replace").strip()) from None
    return done.stdout


def validity(certificate: bytes) -> tuple[float, float]:
    """Return from when to when a certificate in PEM is valid."""
    shown = openssl(["x509", "-noout", "-startdate", "-enddate"], certificate).decode()
    pairs = dict(line.partition("=")[::2] for line in shown.splitlines())
    start, end = pairs["notBefore"].strip(), pairs["notAfter"].strip()
    return float(ssl.cert_time_to_seconds(start)), float(ssl.cert_time_to_seconds(end))


def request_certificate(api: ApiServer, node: str, key: bytes, named: bool) -> bytes:
    """Ask for a certificate of the node and wait until it is issued.

    With ``named``, the request's name follows from the key, as when a node joins; the API server
    makes one for a renewal.
    """
    subject = f"/O=system:nodes/CN=system:node:{node}"
    pem = openssl(["req", "-new", "-sha256", "-key", "/dev/stdin", "-subj", subject], key)
    version = "v1" if since(19) else "v1beta1"
    path = f"/apis/{GROUP}/{version}/certificatesigningrequests"
    metadata = {"name": digested_name(key, node)} if named else {"generateName": "csr-"}
    spec: dict[str, Any] = {
        "request": base64.b64encode(pem).decode(),
        "usages": ["digital signature", "key encipherment", "client auth"],
    }
    if since(27):
        spec["usages"].remove("key encipherment")
    if since(18):
        spec["signerName"] = SIGNER
    kind = {"kind": "CertificateSigningRequest", "apiVersion": f"{GROUP}/{version}"}
    body = {**kind, "metadata": metadata, "spec": spec}
    try:
        made = api.request("POST", path, body)
    except ApiError as error:
        if error.code != 409:
            raise Failure(f"cannot create certificate signing request: {error}") from None
        log("I", "csr.go:109", "csr for this node already exists, reusing")
        made = api.request("GET", f"{path}/{metadata['name']}")
    return wait_for(api, f"{path}/{made['metadata']['name']}", made)


def wait_for(api: ApiServer, path: str, request: dict[str, Any]) -> bytes:
    """Return the certificate of a signing request as soon as it is there."""
    end = time.monotonic() + WAIT_SECONDS
    pause = 0.1
    while True:
        status = request.get("status") or {}
        for one in status.get("conditions") or ():
            if one.get("type") in ("Denied", "Failed"):
                word = "approved" if one["type"] == "Denied" else "issued"
                problem = f"certificate signing request is not {word}"
                reason = f"reason: {one.get('reason', '')}, message: {one.get('message', '')}"
                raise Failure(f"{problem}, {reason}")
        if status.get("certificate"):
            return base64.b64decode(status["certificate"])
        if time.monotonic() > end:
            raise Failure("timed out waiting for the condition")
        time.sleep(pause)
        pause = min(2 * pause, 2.0)
        try:
            request = api.request("GET", path)
        except ApiError as error:
            log("W", "csr.go:188", f"cannot read the certificate signing request: {error}")


def digested_name(key: bytes, node: str) -> str:
    """Return the name of a request of a node and a key: digestedName in bootstrap.go."""
    public = openssl(["pkey", "-pubout", "-outform", "DER"], key)
    words = [public, f"system:node:{node}".encode(), b"system:nodes"]
    usages = ["digital signature", "key encipherment", "client auth"]
    words += [one.encode() for one in usages]
    digest = hashlib.new("sha512_256")
    for word in words:
        digest.update(base64.urlsafe_b64encode(word).rstrip(b"=") + b"|")
    return "node-csr-" + base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")
