"""PEM files, and TLS as Go's servers serve it."""

from __future__ import annotations

import ctypes
import os
import re
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from hollow_common.errors import Failure
from hollow_common.facts import since
from hollow_common.go import read_file
from hollow_common.libc import libc
from hollow_common.log import log

if TYPE_CHECKING:
    from collections.abc import Iterator

MFD_CLOEXEC = 1
PEM_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s.*?-----END \1-----", re.DOTALL)
X509_PARTIAL_CHAIN = 0x80000
SSL_VERIFY_PEER = 1
SSL_CTRL_SET_SESS_CACHE_MODE = 44
X509_UNKNOWN_AUTHORITY = "x509: certificate signed by unknown authority"
X509_PROBLEMS = {
    9: "x509: certificate has expired or is not yet valid",
    10: "x509: certificate has expired or is not yet valid",
    26: "x509: certificate specifies an incompatible key usage",
}
"""Go's messages for errors of OpenSSL's x509_vfy.h that are not about the authority."""


def pem_blocks(data: bytes) -> list[str]:
    """Return the types of the PEM blocks in a text."""
    return [kind.decode() for kind in PEM_BLOCK.findall(data)]


def load_key_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Give a TLS context its certificate; the Failure is that of crypto/tls X509KeyPair."""
    for data, what in ((certificate, "certificate"), (key, "key")):
        found = pem_blocks(data)
        if not found:
            raise Failure(f"tls: failed to find any PEM data in {what} input")
        if what == "certificate" and "CERTIFICATE" not in found:
            raise Failure(
                "tls: failed to find certificate PEM data in certificate input, but did find a "
                "private key; PEM inputs may have been switched"
                if found[0].endswith("PRIVATE KEY")
                else 'tls: failed to find "CERTIFICATE" PEM block in certificate input after '
                f"skipping PEM blocks of the following types: {found}"
            )
    try:
        with in_memory(certificate) as first, in_memory(key) as second:
            context.load_cert_chain(first, second, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise Failure("tls: private key does not match public key") from None
        if error.reason == "KEY_TYPE_MISMATCH":
            raise Failure("tls: private key type does not match public key type") from None
        raise Failure("tls: failed to parse private key") from None


@contextmanager
def in_memory(data: bytes) -> Iterator[str]:
    """Give data a file name without writing it to a disk; OpenSSL loads keys only from files."""
    descriptor = libc.memfd_create(b"pem", MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def trust(context: ssl.SSLContext, pem: bytes) -> None:
    """Trust each certificate in a PEM text as an authority, as Go does."""
    context.load_verify_locations(cadata=pem.decode("ascii", "ignore"))
    context.verify_flags |= X509_PARTIAL_CHAIN


def load_client_ca(path: str) -> bytes:
    """Read --client-ca-file: k8s.io/client-go/util/cert/io.go."""
    complaint = f"unable to load client CA file {path}"
    try:
        data = read_file(path)
    except Failure as error:
        raise Failure(str(error) if since(36) else f"{complaint}: {error}") from None
    if "CERTIFICATE" not in pem_blocks(data):
        problem = "data does not contain any valid RSA or ECDSA certificates"
        action = "creating pool from" if since(17) else "reading"
        problem = problem if since(8) else "could not read any certificates"
        raise Failure(f"{complaint}: error {action} {path}: {problem}")
    try:
        trust(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), data)
    except ssl.SSLError:
        raise Failure(f"{complaint}: error reading {path}: x509: malformed certificate") from None
    return data


def write_file(path: str, data: bytes, mode: int) -> None:
    """Write a file that has its mode from the beginning."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with open(os.open(path, flags, mode), "wb") as file:
        file.write(data)


class Client(NamedTuple):
    """The client of a TLS connection."""

    name: str = ""
    groups: tuple[str, ...] = ()
    problem: str = ""


CA_SECONDS = 60


class ServingTls:
    """TLS as the kubelet serves it: a client certificate is requested but not required.

    A certificate that does not verify does not break the connection; its problem is kept for the
    authentication of the request. Without a certificate, every handshake ends with an internal
    error.
    """

    def __init__(
        self, certificate: bytes, key: bytes, client_ca: bytes | None, client_ca_file: str
    ) -> None:
        self.problems = threading.local()
        self.pair = certificate, key
        self.client_ca, self.client_ca_file = client_ca, client_ca_file
        self.next_look = time.monotonic() + CA_SECONDS
        # Old contexts are kept: their connections may still call back.
        self.callbacks: list[Any] = []
        self.contexts = [self.new_context()]

    def new_context(self) -> ssl.SSLContext:
        """Return a TLS context that trusts the current client CA."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if any(self.pair):
            load_key_pair(context, *self.pair)
        else:
            context.set_servername_callback(lambda *_: ssl.ALERT_DESCRIPTION_INTERNAL_ERROR)
        if self.client_ca is not None:
            # Go 1.8 has no TLS 1.3; in TLS 1.2 all about certificates is settled in the handshake.
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.verify_mode = ssl.CERT_OPTIONAL
            trust(context, self.client_ca)
            self._tolerate_any_certificate(context)
        return context

    def look_at_client_ca(self) -> None:
        """Load a client CA that was replaced, from 1.17 on.

        apiserver/pkg/server/dynamiccertificates/dynamic_cafile_content.go: a check every minute,
        and from 1.23 on a watch. An unusable file changes nothing.
        """
        if self.client_ca is None or not since(17):
            return
        if not since(23) and time.monotonic() < self.next_look:
            return
        self.next_look = time.monotonic() + CA_SECONDS
        try:
            fresh = load_client_ca(self.client_ca_file)
        except Failure as error:
            log("E", "dynamic_cafile_content.go:171", str(error))
            return
        if fresh != self.client_ca:
            self.client_ca = fresh
            self.contexts.append(self.new_context())

    def accept(self, connection: socket.socket) -> tuple[ssl.SSLSocket, Client]:
        """Perform the TLS handshake; return the encrypted connection and the client."""
        self.problems.first = ""
        self.look_at_client_ca()
        encrypted = self.contexts[-1].wrap_socket(connection, server_side=True)
        certificate: Any = encrypted.getpeercert() or {}
        subject: dict[str, list[str]] = {}
        for ((name, value),) in certificate.get("subject", ()):
            subject.setdefault(name, []).append(value)
        names = subject.get("commonName", [""])
        groups = tuple(subject.get("organizationName", ()))
        return encrypted, Client(names[-1], groups, self.problems.first)

    def _tolerate_any_certificate(self, context: ssl.SSLContext) -> None:
        """Make OpenSSL continue the handshake with any client certificate.

        The ssl module offers no such mode, so that its own OpenSSL is called through ctypes. Where
        that cannot be found, a certificate that does not verify breaks the handshake.
        """
        import _ssl

        library = ctypes.CDLL(getattr(_ssl, "__file__", None))
        if not hasattr(library, "SSL_CTX_set_verify"):
            return

        def verified(good: int, store: int) -> int:
            if not good and not self.problems.first:
                number = library.X509_STORE_CTX_get_error(ctypes.c_void_p(store))
                self.problems.first = X509_PROBLEMS.get(number, X509_UNKNOWN_AUTHORITY)
            return 1

        callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)(verified)
        self.callbacks.append(callback)
        # PySSLContext has its SSL_CTX* directly after the header of every object.
        pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
        library.SSL_CTX_set_verify(pointer, SSL_VERIFY_PEER, callback)
        # A resumed session would skip the callback.
        library.SSL_CTX_ctrl(pointer, SSL_CTRL_SET_SESS_CACHE_MODE, ctypes.c_long(0), None)
        context.options |= ssl.OP_NO_TICKET
