"""What tests of certificates share: openssl, and handshakes over a pair of sockets."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading


def openssl(*words: str) -> str:
    return subprocess.run(["openssl", *words], capture_output=True, text=True, check=True).stdout


def handshake(
    server: ssl.SSLContext, client: ssl.SSLContext, server_name: str | None = None
) -> str:
    """Shake hands for real, and return what the server learned of its client's name."""
    learned: list[str] = []
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            with server.wrap_socket(theirs, server_side=True) as connection:
                certificate = connection.getpeercert() or {}
                learned.append(str(certificate.get("subject")))
                connection.sendall(b"hello")
        except ssl.SSLError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(ours, server_hostname=server_name) as connection:
            assert connection.recv(5) == b"hello"
    finally:
        thread.join(10)
        theirs.close()
    return learned[0]
