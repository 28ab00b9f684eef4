"""The HTTPS port: requests with bodies, and answers that are pages or streams."""

from __future__ import annotations

import select
import ssl
import sys
import traceback
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from hollow_common.http_server import NOT_FOUND, Page, Request, Server
from hollow_common.log import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from hollow_common.tls import ServingTls

    from hollow_apiserver.answers import Answer

    Answers = Callable[..., Answer]

BODY_BYTES = 3 * 1024 * 1024


def no_page(_: Request) -> Page:
    """Answer nothing: the handler has answers of its own."""
    return NOT_FOUND


class Handler(BaseHTTPRequestHandler):
    """Passes requests on and sends the answers."""

    protocol_version = "HTTP/1.1"
    server: Port

    def answer(self) -> None:
        """Answer one request."""
        body = self.read_body()
        if body is None:
            return
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else ""
        answer = self.server.answers(
            self.command, self.path, self.headers, body, self.server.clients.present, given
        )
        self.send_response_only(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Date", self.date_time_string())
        for name, value in answer.headers:
            self.send_header(name, value)
        if answer.stream:
            self.send_header("Transfer-Encoding", "chunked")
            self.send(b"")
            self.send_stream(answer)
            return
        self.send_header("Content-Length", str(len(answer.body)))
        self.send(answer.body if self.command != "HEAD" else b"")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def read_body(self) -> bytes | None:
        """Return the request's body, or None after an answer that refuses it."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self.read_chunks()
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_BYTES:
            self.send_error(413)
            self.close_connection = True
            return None
        return self.rfile.read(length) if length else b""

    def read_chunks(self) -> bytes:
        """Return a body that is sent in chunks."""
        body = b""
        while len(body) <= BODY_BYTES:
            size = int(self.rfile.readline().partition(b";")[0].strip() or b"0", 16)
            if not size:
                while self.rfile.readline().strip():
                    pass
                return body
            body += self.rfile.read(size)
            self.rfile.readline()
        raise OSError("the body is too long")

    def send(self, body: bytes) -> None:
        """Send the headers and a body at once: two small packets would wait for each other."""
        held: list[bytes] = self.__dict__.pop("_headers_buffer")
        self.wfile.write(b"".join(held) + b"\r\n" + body)

    def send_stream(self, answer: Answer) -> None:
        """Send the pieces of a stream until it ends or the client is gone."""
        assert answer.stream is not None
        for piece in answer.stream(self.gone):
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def gone(self) -> bool:
        """Whether the client closed the connection."""
        try:
            if not select.select([self.connection], [], [], 0)[0]:
                return False
            self.connection.settimeout(0.01)
            try:
                return not self.connection.recv(1)
            finally:
                self.connection.settimeout(self.server.SECONDS)
        except (ssl.SSLWantReadError, TimeoutError):
            return False
        except (OSError, ValueError):
            return True

    def log_message(self, *_: Any) -> None:
        """Log no requests here."""


class Port(Server):
    """The port of the API server."""

    SECONDS = 300

    def __init__(self, host: str, port: int, answers: Answers, tls: ServingTls) -> None:
        """Open the port."""
        self.answers = answers
        super().__init__(host, port, no_page, tls, Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what is not a client that disconnected."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            shown = traceback.format_exc().strip()
            log("E", "wrap.go:54", f"panic serving {client_address[0]}: {shown}")
