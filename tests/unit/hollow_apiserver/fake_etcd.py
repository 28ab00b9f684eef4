"""A small etcd with a JSON gateway, for tests of the hollow API server where there is no etcd."""

from __future__ import annotations

import base64
import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that went away is no news."""


class FakeEtcd:
    """Keys with their history; compacted revisions are gone."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.revision = 1
        self.compacted = 0
        self.keys: dict[bytes, tuple[bytes, int]] = {}
        self.history: list[tuple[int, bytes, bytes | None, tuple[bytes, int] | None]] = []
        self.watchers: list[queue.SimpleQueue[Any]] = []
        self.down = False
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet for headers and body: two would wait for each other

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if fake.down:
                    self.close_connection = True
                    return
                if self.path == "/v3/watch":
                    self.watch(body["create_request"])
                    return
                status, answer = fake.answer(self.path, body)
                self.send_response(status)
                data = json.dumps(answer).encode()
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def watch(self, wanted: dict[str, Any]) -> None:
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for message in fake.watch(wanted):
                    data = json.dumps({"result": message}).encode() + b"\n"
                    try:
                        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                        self.wfile.flush()
                    except OSError:
                        break
                self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        self.server = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def stop(self) -> None:
        for watcher in self.watchers:
            watcher.put(None)
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def header(self) -> dict[str, Any]:
        return {"revision": str(self.revision)}

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self.lock:
            if path == "/v3/kv/range":
                return self.range(body)
            if path == "/v3/kv/txn":
                return 200, self.txn(body)
            if path == "/v3/lease/grant":
                return 200, {"ID": "7", "TTL": str(body["TTL"])}
            if path == "/v3/kv/compaction":
                self.compacted = int(body["revision"])
                return 200, {"header": self.header()}
        return 404, {}

    def at(self, revision: int) -> dict[bytes, tuple[bytes, int]]:
        """The keys as of a revision."""
        keys: dict[bytes, tuple[bytes, int]] = {}
        for when, key, value, _ in self.history:
            if when > revision:
                break
            if value is None:
                keys.pop(key, None)
            else:
                keys[key] = value, when
        return keys

    def range(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        revision = int(body.get("revision") or 0)
        if revision and revision < self.compacted:
            return 400, {"error": "etcdserver: mvcc: required revision has been compacted"}
        start = base64.b64decode(body["key"])
        end = base64.b64decode(body.get("range_end", "")) or start + b"\0"
        keys = self.at(revision) if revision else self.keys
        found = sorted(key for key in keys if start <= key < end)
        limit = int(body.get("limit") or 0) or len(found)
        pairs = [
            {
                "key": b64(key),
                "value": "" if body.get("keys_only") else b64(keys[key][0]),
                "mod_revision": str(keys[key][1]),
            }
            for key in found[:limit]
        ]
        return 200, {"header": self.header(), "kvs": pairs, "more": len(found) > limit}

    def txn(self, body: dict[str, Any]) -> dict[str, Any]:
        for wanted in body["compare"]:
            there = self.keys.get(base64.b64decode(wanted["key"]), (b"", 0))
            if there[1] != int(wanted["mod_revision"]):
                return {"header": self.header()}
        for request in body["success"]:
            put = request.get("request_put")
            if put:
                self.write(base64.b64decode(put["key"]), base64.b64decode(put["value"]))
            else:
                self.write(base64.b64decode(request["request_delete_range"]["key"]), None)
        return {"header": self.header(), "succeeded": True}

    def write(self, key: bytes, value: bytes | None) -> None:
        self.revision += 1
        before = self.keys.get(key)
        if value is None:
            self.keys.pop(key, None)
        else:
            self.keys[key] = value, self.revision
        self.history.append((self.revision, key, value, before))
        for watcher in self.watchers:
            watcher.put(self.history[-1])

    def watch(self, wanted: dict[str, Any]) -> Any:
        start, end = (base64.b64decode(wanted[name]) for name in ("key", "range_end"))
        first = int(wanted["start_revision"])
        found: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with self.lock:
            yield {"created": True}
            if first <= self.compacted:
                yield {"canceled": True, "compact_revision": str(self.compacted)}
                return
            for entry in self.history:
                if entry[0] >= first:
                    found.put(entry)
            self.watchers.append(found)
        while True:
            entry = found.get()
            if entry is None:
                return
            revision, key, value, before = entry
            if not start <= key < end:
                continue
            pair = {"key": b64(key), "mod_revision": str(revision)}
            event: dict[str, Any] = {"kv": pair}
            if value is None:
                event["type"] = "DELETE"
            else:
                pair["value"] = b64(value)
            if before:
                old = {"key": b64(key), "value": b64(before[0]), "mod_revision": str(before[1])}
                event["prev_kv"] = old
            yield {"events": [event]}
