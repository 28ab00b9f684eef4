"""HTTP servers: requests, answers and ports."""

from __future__ import annotations

import errno
import socket
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from hollow_common.errors import Failure
from hollow_common.go import errno_text, go_json, in_background, join_host_port
from hollow_common.log import log
from hollow_common.tls import Client, ServingTls

if TYPE_CHECKING:
    from collections.abc import Callable


class Request(NamedTuple):
    """A request and its client."""

    method: str
    path: str
    query: dict[str, list[str]]
    token: str
    client: Client


class Page(NamedTuple):
    """An HTTP answer."""

    status: int
    body: bytes
    kind: str = "text/plain; charset=utf-8"
    location: str = ""


def text_page(text: str, status: int = 200) -> Page:
    """Answer with a text."""
    return Page(status, text.encode())


def json_page(value: Any, ending: str = "") -> Page:
    """Answer with a value in JSON."""
    return Page(200, (go_json(value) + ending).encode(), "application/json")


NOT_FOUND = text_page("404 page not found\n", 404)
NO_ROUTE = text_page("404: Page Not Found", 404)
DISABLED = text_page("Debug endpoints are disabled.\n", 405)
NOT_ALLOWED = text_page("405: Method Not Allowed", 405)


def moved(status: int, location: str, words: str) -> Page:
    """Send a client elsewhere."""
    body = f'<a href="{location}">{words}</a>.\n\n'.encode()
    return Page(status, body, "text/html; charset=utf-8", location)


class Handler(BaseHTTPRequestHandler):
    """Passes requests to the server's pages and sends their answers."""

    protocol_version = "HTTP/1.1"
    server: Server

    def answer(self) -> None:
        """Answer one request."""
        parts = urlsplit(self.path)
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        request = Request(
            self.command,
            unquote(parts.path),
            parse_qs(parts.query, keep_blank_values=True),
            token.strip() if scheme.lower() == "bearer" else "",
            self.server.clients.present,
        )
        page = self.server.answer(request)
        self.send_response_only(page.status)
        self.send_header("Content-Type", page.kind)
        self.send_header("Date", self.date_time_string())
        self.send_header("Content-Length", str(len(page.body)))
        if page.location:
            self.send_header("Location", page.location)
        if page in (NOT_FOUND, DISABLED):
            self.send_header("X-Content-Type-Options", "nosniff")
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.send_header("Connection", "close")  # nothing here reads a request's body
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, *_: Any) -> None:
        """Log no requests, as the kubelet."""


class Server(socketserver.ThreadingTCPServer):
    """A port with pages on it, each connection in a thread of its own."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128
    SECONDS = 60

    def __init__(
        self,
        host: str,
        port: int,
        answer: Callable[[Request], Page],
        tls: ServingTls | None = None,
        handler: type[BaseHTTPRequestHandler] = Handler,
    ) -> None:
        """Open the port; the Failure is worded as that of Go's net.Listen."""
        self.answer = answer
        self.handler = handler
        self.tls = tls
        self.clients = threading.local()
        if not 0 <= port <= 65535:
            raise Failure(f"listen tcp: address {port}: invalid port")
        try:
            self.open(host, port)
        except OSError as error:
            where = join_host_port(host, port)
            raise Failure(f"listen tcp {where}: bind: {errno_text(error)}") from None
        in_background(self.serve_forever, 86400)

    def open(self, host: str, port: int) -> None:
        """Listen; a wildcard means IPv4 and IPv6 alike, as in Go."""
        wildcard = host in ("", "0.0.0.0", "::")
        if wildcard and socket.has_ipv6:
            self.address_family = socket.AF_INET6
            try:
                super().__init__(("::", port), self.handler)
                return
            except OSError as error:
                if error.errno != errno.EAFNOSUPPORT:
                    raise
            host = ""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), self.handler)

    def server_bind(self) -> None:
        """Bind the port."""
        if self.address_family == socket.AF_INET6:
            only = 0 if self.server_address[0] == "::" else 1
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        super().server_bind()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection."""
        request.settimeout(self.SECONDS)
        self.clients.present = Client()
        if self.tls:
            try:
                request, self.clients.present = self.tls.accept(request)
            except OSError as error:
                where = join_host_port(client_address[0].replace("::ffff:", ""), client_address[1])
                problem = getattr(error, "reason", None) or "EOF"
                log("I", "logs.go:41", f"http: TLS handshake error from {where}: {problem}")
                return
        self.handler(request, client_address, self)
        request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that disconnected; log any other error."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            log("I", "logs.go:41", f"http: panic serving {client_address}: {error!r}")


def keep_trying(
    seconds: int, report: Callable[[Failure], None], host: str, port: int,
    answer: Callable[[Request], Page],
) -> None:  # fmt: skip
    """Open a port in the background, retrying while another process holds it."""

    def attempt() -> bool:
        try:
            Server(host, port, answer)
        except Failure as error:
            report(error)
            return False
        return True

    def retry() -> None:
        time.sleep(seconds)
        while not attempt():
            time.sleep(seconds)

    if not attempt():
        in_background(retry)
