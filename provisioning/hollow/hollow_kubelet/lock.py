"""The lock file, and the end of the kubelet when another process opens it."""

from __future__ import annotations

import fcntl
import os

from hollow_common.errors import Failure
from hollow_common.facts import since
from hollow_common.go import errno_text, in_background, quote
from hollow_common.log import log, structured

from hollow_kubelet.inotify import IN_DELETE_SELF, IN_OPEN, Inotify

INOTIFY_NAMES = {IN_OPEN: "IN_OPEN", IN_DELETE_SELF: "IN_DELETE_SELF"}


def take_lock(path: str, exit_on_contention: bool) -> None:
    """Take --lock-file, waiting for it if necessary: run() and pkg/util/flock.

    With --exit-on-lock-contention, any process that opens the file later ends this kubelet.
    """
    if exit_on_contention and not path:
        raise Failure("cannot exit on lock file contention: no lock file specified")
    if not path:
        return
    text = f"acquiring file lock on {quote(path)}"
    log("I", "server.go:370", structured("Acquiring file lock", path=path) if since(21) else text)
    try:
        fcntl.flock(os.open(path, os.O_CREAT | os.O_RDWR, 0o600), fcntl.LOCK_EX)
    except OSError as error:
        problem = f"unable to acquire file lock on {quote(path)}: {errno_text(error)}"
        raise Failure(problem) from None
    if exit_on_contention:
        text = f"watching for inotify events for: {path}"
        if since(21):
            text = structured("Watching for inotify events", path=path)
        log("I", "server.go:375", text)
        in_background(exit_on_event, watch_lock(path))


def watch_lock(path: str) -> Inotify:
    """Watch the lock file for others that open it: watchForLockfileContention."""
    doing = "create watcher for"
    try:
        watch = Inotify()
        doing = "watch"
        watch.add(path, IN_OPEN | IN_DELETE_SELF)
    except Failure as error:
        problem = f"unable to {doing} lockfile"
        if since(21):
            problem = quote(problem[0].upper() + problem[1:])
            log("E", "server_linux.go:31", f"{problem} err={quote(str(error))}")
        else:
            log("E", "server_linux.go:31", f"{problem}: {error}")
        raise
    return watch


def exit_on_event(watch: Inotify) -> None:
    """End the kubelet with status 0 on the first event."""
    mask, path = watch.next()
    names = "|".join(name for bit, name in INOTIFY_NAMES.items() if mask & bit)
    event = f"{quote(path)}: {mask:#x} == {names}"
    text = structured("inotify event", event=event) if since(21) else f"inotify event: {event}"
    log("I", "server_linux.go:37", text)
    os._exit(0)
