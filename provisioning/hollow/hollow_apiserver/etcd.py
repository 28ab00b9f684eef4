"""Requests to etcd through its JSON gateway: api/v3/etcdserverpb in etcd's sources."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from hollow_common.errors import Failure
from hollow_common.go import read_file
from hollow_common.tls import load_key_pair, trust

if TYPE_CHECKING:
    from collections.abc import Iterator


class EtcdFailure(Exception):
    """A request that no member of etcd answered, or that one refused."""


class Compacted(Exception):
    """A revision that etcd no longer has; ``oldest`` is the oldest that it has."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"mvcc: required revision has been compacted ({oldest})")
        self.oldest = oldest


class Entry(NamedTuple):
    """A key with its value and the revision of its last change."""

    key: str
    value: bytes
    revision: int


class Found(NamedTuple):
    """What is in a range of keys, as of a revision."""

    revision: int
    entries: list[Entry]
    more: bool


class Change(NamedTuple):
    """A change of a key: ``now`` is None if it was deleted, ``before`` None if it was created."""

    revision: int
    now: Entry | None
    before: Entry | None


class Endpoint(NamedTuple):
    """An address of a member."""

    host: str
    port: int
    secure: bool

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def encoded(key: str | bytes) -> str:
    """Return a key or value as JSON carries it."""
    data = key.encode() if isinstance(key, str) else key
    return base64.b64encode(data).decode()


def after(prefix: str) -> str:
    """Return the end of the range of keys with a prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def entry(pair: dict[str, Any]) -> Entry:
    """Return a key and its value from JSON."""
    key, value = (base64.b64decode(pair.get(name, "")) for name in ("key", "value"))
    return Entry(key.decode(), value, int(pair.get("mod_revision", 0)))


def client_context(ca_file: str, certificate_file: str, key_file: str) -> ssl.SSLContext:
    """Return TLS as the API server speaks it to etcd."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file:
        trust(context, read_file(ca_file))
    else:
        context.load_default_certs()
    if certificate_file:
        load_key_pair(context, read_file(certificate_file), read_file(key_file))
    return context


class Etcd:
    """The members of an etcd cluster, of which any that answers is asked."""

    CONNECT_SECONDS = 2
    SECONDS = 10

    def __init__(self, servers: list[str], context: ssl.SSLContext | None) -> None:
        self.endpoints = []
        for server in servers:
            parts = urlsplit(server if "//" in server else f"http://{server}")
            secure = parts.scheme == "https"
            if not parts.hostname:
                raise Failure(f"--etcd-servers: {server!r} is no URL of a member")
            self.endpoints.append(Endpoint(parts.hostname, parts.port or 2379, secure))
        self.context = context
        self.idle: list[tuple[Endpoint, HTTPConnection]] = []
        self.last_good = 0

    def range(
        self, key: str, end: str = "", limit: int = 0, revision: int = 0, keys_only: bool = False
    ) -> Found:
        """Return a key, or the keys before ``end``."""
        body = {"key": encoded(key), "limit": limit, "revision": revision}
        if end:
            body["range_end"] = encoded(end)
        if keys_only:
            body["keys_only"] = True
        answer = self.call("/v3/kv/range", body)
        return Found(
            int(answer["header"]["revision"]),
            [entry(pair) for pair in answer.get("kvs", ())],
            bool(answer.get("more")),
        )

    def write(self, key: str, value: bytes, revision: int, lease: int = 0) -> int | None:
        """Write a key if its revision is the given one, 0 if it must not exist.

        Return the new revision, or None if the key's revision was another one.
        """
        request = {"key": encoded(key), "value": encoded(value), "lease": lease}
        return self.if_unchanged(key, revision, {"request_put": request})

    def delete(self, key: str, revision: int) -> int | None:
        """Delete a key if its revision is the given one; return the new revision or None."""
        return self.if_unchanged(key, revision, {"request_delete_range": {"key": encoded(key)}})

    def if_unchanged(self, key: str, revision: int, request: dict[str, Any]) -> int | None:
        """Make a change if a key's revision is the given one."""
        compare = {"key": encoded(key), "target": "MOD", "mod_revision": revision}
        body = {"compare": [{**compare, "result": "EQUAL"}], "success": [request]}
        answer = self.call("/v3/kv/txn", body)
        return int(answer["header"]["revision"]) if answer.get("succeeded") else None

    def grant(self, seconds: int) -> int:
        """Return a lease: keys that are written with it live that long."""
        return int(self.call("/v3/lease/grant", {"TTL": seconds})["ID"])

    def compact(self, revision: int) -> None:
        """Forget what was before a revision."""
        self.call("/v3/kv/compaction", {"revision": revision})

    def call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask one member after the other until one answers."""
        problems = []
        data = json.dumps(body)
        for endpoint in self.in_turn():
            try:
                status, text = self.ask(endpoint, path, data)
            except (OSError, HTTPException, Failure) as error:
                problems.append(f"{endpoint}: {error}")
                continue
            answer: dict[str, Any] = json.loads(text)
            if status == 200:
                self.last_good = self.endpoints.index(endpoint)
                return answer
            problem = str(answer.get("error", answer.get("message", status)))
            if "compacted" in problem:
                raise Compacted(0)
            problems.append(f"{endpoint}: {problem}")
        raise EtcdFailure("; ".join(problems))

    def in_turn(self) -> list[Endpoint]:
        """Return the members, beginning with the one that answered last."""
        first = self.last_good
        return self.endpoints[first:] + self.endpoints[:first]

    def ask(self, endpoint: Endpoint, path: str, data: str) -> tuple[int, bytes]:
        """Ask a member, over a connection that is open if there is one."""
        waiting = [pair for pair in self.idle if pair[0] == endpoint]
        while waiting:
            pair = waiting.pop()
            try:
                self.idle.remove(pair)
            except ValueError:
                continue  # another thread has it now
            try:
                return self.exchange(pair, path, data)
            except (OSError, HTTPException):
                continue  # the member closed it, or it is gone
        return self.exchange((endpoint, self.connect(endpoint)), path, data)

    def exchange(
        self, pair: tuple[Endpoint, HTTPConnection], path: str, data: str
    ) -> tuple[int, bytes]:
        """Send a request and read the answer; a connection that did not break is kept."""
        connection = pair[1]
        try:
            connection.request("POST", path, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
        except BaseException:
            connection.close()
            raise
        self.idle.append(pair)
        return response.status, text

    def close(self) -> None:
        """Close the connections that wait for the next request."""
        while self.idle:
            self.idle.pop()[1].close()

    def connect(self, endpoint: Endpoint, seconds: float = SECONDS) -> HTTPConnection:
        """Open a connection to a member."""
        connection: HTTPConnection
        if endpoint.secure:
            connection = HTTPSConnection(
                endpoint.host, endpoint.port, timeout=self.CONNECT_SECONDS, context=self.context
            )
        else:
            connection = HTTPConnection(endpoint.host, endpoint.port, timeout=self.CONNECT_SECONDS)
        connection.connect()
        connection.sock.settimeout(seconds)
        return connection

    def watch(self, prefix: str, revision: int, seconds: float) -> Stream:
        """Return the changes of keys with a prefix from a revision on.

        ``seconds`` is how long a member may be silent.
        """
        create = {
            "key": encoded(prefix),
            "range_end": encoded(after(prefix)),
            "start_revision": revision,
            "prev_kv": True,
        }
        problems = []
        for endpoint in self.in_turn():
            try:
                connection = self.connect(endpoint, seconds)
                keep_alive(connection.sock)
                connection.request("POST", "/v3/watch", json.dumps({"create_request": create}))
                response = connection.getresponse()
            except (OSError, HTTPException) as error:
                problems.append(f"{endpoint}: {error}")
                continue
            return Stream(connection, response)
        raise EtcdFailure("; ".join(problems))


def keep_alive(sock: socket.socket) -> None:
    """Notice within half a minute that the other end is gone, however silent it is."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


class Stream:
    """The changes that a watch reports, until it is closed."""

    def __init__(self, connection: HTTPConnection, response: HTTPResponse) -> None:
        self.connection = connection
        self.response = response

    def __iter__(self) -> Iterator[Change]:
        """Return changes; raise Compacted, or EtcdFailure when the member ends the watch."""
        while True:
            try:
                line = self.response.readline()
            except (OSError, HTTPException, ValueError, AttributeError) as error:
                raise EtcdFailure(str(error)) from None
            if not line:
                raise EtcdFailure("the watch was closed")
            message = json.loads(line)
            if "error" in message:
                raise EtcdFailure(str(message["error"].get("message", message["error"])))
            result = message["result"]
            if result.get("canceled"):
                oldest = int(result.get("compact_revision", 0))
                raise Compacted(oldest) if oldest else EtcdFailure("the watch was canceled")
            for event in result.get("events", ()):
                yield change(event)

    def close(self) -> None:
        """End the watch, whatever thread reads it."""
        sock = self.connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def change(event: dict[str, Any]) -> Change:
    """Return a change from JSON."""
    pair = entry(event["kv"])
    before = entry(event["prev_kv"]) if "prev_kv" in event else None
    return Change(pair.revision, None if event.get("type") == "DELETE" else pair, before)
