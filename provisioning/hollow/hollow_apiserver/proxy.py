"""Requests that are passed on to a node's kubelet: pkg/registry/core/node/rest and pkg/kubelet."""

from __future__ import annotations

import socket
import ssl
from http.client import HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from hollow_common.facts import since
from hollow_common.go import errno_text, read_file
from hollow_common.tls import load_key_pair, trust

from hollow_apiserver.answers import Answer
from hollow_apiserver.failures import RequestFailure, bad_request
from hollow_apiserver.kinds import stored

if TYPE_CHECKING:
    from hollow_apiserver.requests import Request
    from hollow_apiserver.storage import Storage

PREFERRED = ("Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP")
"""The default of --kubelet-preferred-address-types."""


def go_problem(error: Exception, host: str, port: int) -> str:
    """Return Go's message for a failed connection."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"x509: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {host}: no such host"
    if isinstance(error, OSError) and error.errno:
        return f"dial tcp {host}:{port}: connect: {errno_text(error)}"
    return str(error)


class Proxy:
    """Connects to kubelets with the client certificate for them."""

    SECONDS = 30

    def __init__(self, storage: Storage, certificate: str, key: str, authority: str,
                 preferred: list[str]) -> None:  # fmt: skip
        self.storage = storage
        self.preferred = preferred or list(PREFERRED)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        if authority:
            self.context.check_hostname = True
            self.context.verify_mode = ssl.CERT_REQUIRED
            trust(self.context, read_file(authority))
        if certificate:
            load_key_pair(self.context, read_file(certificate), read_file(key))

    def answer(self, request: Request) -> Answer:
        """Pass a request on and return the kubelet's answer."""
        name, _, port = request.name.partition(":")
        node = self.storage.get(stored("nodes"), "", name)
        host = self.address(node)
        endpoint = (node.get("status", {}).get("daemonEndpoints") or {}).get("kubeletEndpoint")
        number = int(port or (endpoint or {}).get("Port") or 10250)
        path = "/" + request.rest
        if request.path.endswith("/") and not path.endswith("/"):
            path += "/"
        if request.query:
            path += "?" + urlencode(request.query, doseq=True)
        connection = HTTPSConnection(host, number, timeout=self.SECONDS, context=self.context)
        try:
            connection.request(request.method, path, request.body or None)
            response = connection.getresponse()
            body = response.read()
        except (OSError, HTTPException) as error:
            problem = go_problem(error, host, number)
            if not since(14):
                text = f"Error: '{problem}'\nTrying to reach: 'https://{host}:{number}{path}'"
                return Answer(503, text.encode(), "text/plain; charset=utf-8")
            text = f"error trying to reach service: {problem}"
            raise RequestFailure(503, "ServiceUnavailable", text) from None
        finally:
            connection.close()
        kind = response.getheader("Content-Type") or "text/plain; charset=utf-8"
        headers = [("Location", response.getheader("Location") or "")]
        return Answer(response.status, body, kind, headers=tuple(h for h in headers if h[1]))

    def address(self, node: dict[str, Any]) -> str:
        """Return the address of a node that is preferred."""
        addresses = node.get("status", {}).get("addresses") or ()
        for kind in self.preferred:
            for one in addresses:
                if one.get("type") == kind and one.get("address"):
                    return str(one["address"])
        raise bad_request(f"no preferred addresses found; known addresses: {list(addresses)}")
