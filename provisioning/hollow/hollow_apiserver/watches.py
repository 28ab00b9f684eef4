"""Watches: the changes of objects, as a client that watches sees them."""

from __future__ import annotations

import json
import queue
import time
from typing import TYPE_CHECKING, Any

from hollow_common.go import in_background

from hollow_apiserver.etcd import Change, Compacted, Entry, EtcdFailure, Stream
from hollow_apiserver.failures import expired, internal
from hollow_apiserver.storage import decode, with_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hollow_apiserver.etcd import Etcd
    from hollow_apiserver.kinds import Kind

BOOKMARK_SECONDS = 60
SILENCE = 3600.0


class Watch:
    """Reads a stream of changes in a thread, and hands out events or the reason of its end."""

    def __init__(
        self,
        etcd: Etcd,
        kind: Kind,
        namespace: str,
        revision: int,
        matches: Callable[[dict[str, Any]], bool],
    ) -> None:
        """Watch from a revision on; ``matches`` says which objects the client wants to see."""
        self.etcd = etcd
        self.revision = revision
        self.matches = matches
        self.found: queue.SimpleQueue[tuple[str, dict[str, Any]] | None] = queue.SimpleQueue()
        self.stream: Stream | None = None
        self.closed = False
        self.prefix = kind.prefix(namespace)
        self.kind = kind

    def start(self) -> None:
        """Open the stream."""
        self.stream = self.etcd.watch(self.prefix, self.revision, SILENCE)
        in_background(self.read, self.stream)

    def read(self, stream: Stream) -> None:
        """Put every event into the queue; open another stream when a member of etcd went away."""
        while True:
            try:
                for change in stream:
                    self.revision = change.revision + 1
                    event = event_of(change, self.matches)
                    if event:
                        self.found.put(event)
            except Compacted as error:
                failure = expired(error.oldest, self.revision)
                self.found.put(("ERROR", failure.status()))
                break
            except EtcdFailure:
                stream.close()
                if self.closed:
                    return
                time.sleep(0.2)
                try:
                    stream = self.stream = self.etcd.watch(self.prefix, self.revision, SILENCE)
                except EtcdFailure as error:
                    self.found.put(("ERROR", internal(str(error)).status()))
                    break
        self.found.put(None)

    def next(self, seconds: float) -> tuple[str, dict[str, Any]] | None:
        """Return the next event, or None at the end; raise queue.Empty if nothing happened."""
        return self.found.get(timeout=seconds)

    def close(self) -> None:
        """End the watch."""
        self.closed = True
        if self.stream:
            self.stream.close()


def event_of(
    change: Change, matches: Callable[[dict[str, Any]], bool]
) -> tuple[str, dict[str, Any]] | None:
    """Return what a change is to a client, or None if it does not concern it."""
    now = seen(change.now, matches)
    before = seen(change.before, matches)
    if now and before:
        return "MODIFIED", now
    if now:
        return "ADDED", now
    if before:
        return "DELETED", with_version(before, change.revision)
    return None


def seen(entry: Entry | None, matches: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
    """Return the object of an entry, if the client wants to see it."""
    thing = decode(entry) if entry else None
    return thing if thing and matches(thing) else None


def lines(
    watch: Watch,
    first: list[dict[str, Any]],
    shown: Callable[[dict[str, Any]], dict[str, Any]],
    seconds: float,
    bookmark: Callable[[], dict[str, Any]] | None,
    gone: Callable[[], bool],
    initial: dict[str, Any] | None = None,
) -> Iterator[bytes]:
    """Yield the lines of a watch until it ends, ``seconds`` pass or the client is gone.

    ``first`` are objects to report as added; ``bookmark`` returns one when it is due.
    """
    try:
        for thing in first:
            yield line("ADDED", shown(thing))
        if initial:
            yield line("BOOKMARK", initial)
        end = time.monotonic() + seconds
        due = time.monotonic() + BOOKMARK_SECONDS
        while time.monotonic() < end and not gone():
            try:
                event = watch.next(min(0.5, max(0.01, end - time.monotonic())))
            except queue.Empty:
                if bookmark and time.monotonic() > due:
                    due = time.monotonic() + BOOKMARK_SECONDS
                    yield line("BOOKMARK", bookmark())
                continue
            if event is None:
                return
            kind, thing = event
            yield line(kind, thing if kind == "ERROR" else shown(thing))
            if kind == "ERROR":
                return
    finally:
        watch.close()


def line(kind: str, thing: dict[str, Any]) -> bytes:
    """Return an event as it is sent."""
    return json.dumps({"type": kind, "object": thing}, separators=(",", ":")).encode() + b"\n"
