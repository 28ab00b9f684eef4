"""What the kubelet answers on its ports."""

from __future__ import annotations

import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any

LARGEST_ANSWER = 8 * 1024 * 1024


def without_verification() -> ssl.SSLContext:
    """Return a client's TLS settings; most kubelets sign their serving certificate themselves."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def reachable(address: str) -> str:
    """Return the address to connect to for one that a server listens on."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(address, address)


def plain(address: str, port: int, path: str, seconds: float) -> dict[str, Any]:
    """Ask an HTTP port."""
    return _ask(HTTPConnection(reachable(address), port, timeout=seconds), path)


def secure(
    address: str, port: int, path: str, seconds: float, context: ssl.SSLContext
) -> dict[str, Any]:
    """Ask an HTTPS port; the answer has the server's certificate."""
    return _ask(HTTPSConnection(reachable(address), port, timeout=seconds, context=context), path)


def _ask(connection: HTTPConnection, path: str) -> dict[str, Any]:
    """Return the status and body of an answer, or status 0 and the reason for no answer."""
    found: dict[str, Any] = {"port": connection.port}
    try:
        connection.connect()
        if isinstance(connection.sock, ssl.SSLSocket):
            der = connection.sock.getpeercert(binary_form=True)
            found["certificate"] = ssl.DER_cert_to_PEM_cert(der) if der else ""
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(LARGEST_ANSWER).decode("utf-8", "replace")
        return {**found, "status": answer.status, "body": body}
    except (OSError, HTTPException) as error:
        return {**found, "status": 0, "body": f"{type(error).__name__}: {error}"}
    finally:
        connection.close()
