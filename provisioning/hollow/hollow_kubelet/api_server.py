"""Requests to the API server."""

from __future__ import annotations

import base64
import errno
import json
import os
import re
import socket
import ssl
import subprocess
from http.client import HTTPConnection, HTTPException, HTTPSConnection, RemoteDisconnected
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hollow_common.errors import Failure
from hollow_common.facts import since, version
from hollow_common.go import errno_text, join_host_port, quote
from hollow_common.tls import (
    X509_PROBLEMS,
    X509_UNKNOWN_AUTHORITY,
    load_key_pair,
    pem_blocks,
    trust,
)

from hollow_kubelet.kubeconfig import ClientConfig, server_url

if TYPE_CHECKING:
    from collections.abc import Mapping


class ApiError(Exception):
    """A request to the API server that failed; ``code`` is the answer's, if there was one."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class ApiServer:
    """A connection to the API server by a kubeconfig's rules."""

    SECONDS = 30

    def __init__(self, config: ClientConfig) -> None:
        """Load the credentials; the Failure is that of client-go/transport."""
        self.url = server_url(config.server)
        parts = urlsplit(self.url)
        self.prefix = parts.path
        self.secure = parts.scheme == "https"
        self.host = parts.hostname or "localhost"
        self.port = parts.port or (443 if self.secure else 80)
        self.headers = {"Accept": "application/json", "User-Agent": f"hyperkube/{version()}"}
        if config.token:
            self.headers["Authorization"] = f"Bearer {config.token}"
        elif config.username or config.password:
            pair = f"{config.username}:{config.password}".encode()
            self.headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        self.server_name = config.server_name
        self.plugin = config.plugin
        self.plugin_headers: dict[str, str] = {}
        self.unusable = ""
        check_plugin(config.plugin)
        if config.insecure and config.ca:
            raise Failure(
                "specifying a root certificates file with the insecure flag is not allowed"
            )
        self.config = config
        self.use(config.certificate, config.key)

    def use(self, certificate: bytes, key: bytes) -> None:
        """Connect with a certificate and its key from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.config.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif "CERTIFICATE" in pem_blocks(self.config.ca):
            trust(context, self.config.ca)
        elif self.secure and self.config.ca and since(19):
            problem = "unable to parse bytes as PEM block"
            raise Failure(f"unable to load root certificates: {problem}")
        elif self.secure and not self.config.ca:
            context.load_default_certs()
        self.unusable = ""
        if certificate and key:
            try:
                load_key_pair(context, certificate, key)
            except Failure as error:
                if not self.config.watched or not since(18):
                    raise
                self.unusable = str(error)
        self.context = context

    def request(self, method: str, path: str, body: Any = None, kind: str = "json") -> Any:
        """Send a request and return the answer; the ApiError is worded as client-go's error."""
        connection = HTTPConnection(self.host, self.port, timeout=self.SECONDS)
        if self.secure:
            connection = HTTPSConnection(
                self.server_name or self.host, self.port,
                timeout=self.SECONDS, context=self.context,
            )  # fmt: skip
            if self.server_name:
                self.connect_by_address(connection)
        sent = None if body is None else json.dumps(body)
        try:
            if self.unusable:
                raise Failure(self.unusable)
            headers = {**self.headers, **self.from_plugin(), "Content-Type": f"application/{kind}"}
            connection.request(method, self.prefix + path, sent, headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, HTTPException, ValueError, Failure) as error:
            problem = self.problem(error)
            url = f"{self.url}{path}"
            url = quote(url) if since(19) else url
            raise ApiError(f"{method.capitalize()} {url}: {problem}") from None
        finally:
            connection.close()
        try:
            answer: dict[str, Any] = dict(json.loads(text))
        except (TypeError, ValueError):
            answer = {"message": f"an error on the server ({quote(text[:80].decode('latin-1'))})"}
        if response.status >= 400:
            raise ApiError(str(answer.get("message", "unknown")), response.status)
        return answer

    def connect_by_address(self, connection: HTTPSConnection) -> None:
        """Connect to the server's own address; its certificate is for another name."""

        def create(_: object, *arguments: Any) -> socket.socket:
            return socket.create_connection((self.host, self.port), *arguments)

        connection._create_connection = create  # type: ignore[attr-defined]

    def from_plugin(self) -> dict[str, str]:
        """Return the headers that an exec plugin gives: client-go/plugin/pkg/client/auth/exec."""
        if not self.plugin or not since(10) or self.plugin_headers:
            return self.plugin_headers
        command = str(self.plugin.get("command"))
        words = [str(word) for word in self.plugin.get("args") or ()]
        added = {
            str(pair.get("name")): str(pair.get("value") or "")
            for pair in self.plugin.get("env") or ()
        }
        try:
            done = subprocess.run(
                [command, *words], env={**os.environ, **added}, stdin=subprocess.DEVNULL,
                capture_output=True, timeout=self.SECONDS, check=True,
            )  # fmt: skip
            token = json.loads(done.stdout)["status"]["token"]
        except FileNotFoundError:
            problem = f"exec: executable {command} not found"
            raise Failure(f"getting credentials: {problem}") from None
        except subprocess.CalledProcessError as error:
            problem = f"executable {command} failed with exit code {error.returncode}"
            raise Failure(f"getting credentials: exec: {problem}") from None
        except (OSError, subprocess.TimeoutExpired, ValueError, LookupError, TypeError):
            problem = "decoding stdout"
            raise Failure(f"getting credentials: {problem}") from None
        self.plugin_headers = {"Authorization": f"Bearer {token}"}
        return self.plugin_headers

    def problem(self, error: Exception) -> str:
        """Return Go's message for a failed connection."""
        if isinstance(error, ssl.SSLCertVerificationError):
            if error.verify_code in X509_PROBLEMS:
                return X509_PROBLEMS[error.verify_code]
            if "mismatch" in error.verify_message or "not valid for" in error.verify_message:
                return f"x509: certificate is not valid for {self.host}"
            return X509_UNKNOWN_AUTHORITY
        if isinstance(error, ssl.SSLError):
            words = (error.reason or "unexpected EOF").lower().replace("_", " ")
            return f"remote error: tls: {re.sub('^(ssl|tls)v[0-9]+ alert ', '', words)}"
        if isinstance(error, (RemoteDisconnected, ConnectionResetError)):
            return "EOF"
        if isinstance(error, socket.gaierror):
            return f"dial tcp: lookup {self.host}: no such host"
        if isinstance(error, socket.timeout):
            return f"dial tcp {self.address()}: i/o timeout"
        if isinstance(error, OSError) and error.errno:
            old = error.errno != errno.ENETUNREACH and not since(11)
            call = "getsockopt" if old else "connect"
            return f"dial tcp {self.address()}: {call}: {errno_text(error)}"
        return str(error)

    def address(self) -> str:
        """Return the server's address as a dial error names it."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError:
            return join_host_port(self.host, self.port)
        return join_host_port(str(found[0][4][0]), self.port)


PLUGINS = {"v1alpha1": (10, 23), "v1beta1": (11, 99), "v1": (22, 99)}
"""The minors that know each version of client.authentication.k8s.io, the first and the last."""


def check_plugin(plugin: Mapping[str, Any]) -> None:
    """Refuse an exec plugin of an API version that this version does not know."""
    if not plugin or not since(10):
        return
    version = str(plugin.get("apiVersion"))
    group, _, name = version.rpartition("/")
    first, last = PLUGINS.get(name, (99, 99))
    if group != "client.authentication.k8s.io" or not since(first) or since(last + 1):
        raise Failure(f"exec plugin: invalid apiVersion {quote(version)}")
