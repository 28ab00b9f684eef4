"""The kernel's reports of what happens to a path."""

from __future__ import annotations

import ctypes
import os
import struct

from hollow_common.errors import Failure
from hollow_common.go import strerror
from hollow_common.libc import libc

IN_MODIFY, IN_OPEN, IN_MOVED_FROM, IN_MOVED_TO = 0x2, 0x20, 0x40, 0x80
IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_ISDIR = 0x100, 0x200, 0x400, 0x40000000
INOTIFY_EVENT = struct.Struct("iIII")


class Inotify:
    """An inotify instance that watches one path."""

    def __init__(self) -> None:
        """Create the instance; the Failure is worded as that of golang.org/x/exp/inotify."""
        self.path = ""
        self.events: list[tuple[int, str]] = []
        self.descriptor = libc.inotify_init1(os.O_CLOEXEC)
        if self.descriptor < 0:
            # Read errno here: the next call would overwrite it.
            raise Failure(f"inotify_init: {strerror(ctypes.get_errno())}")

    def add(self, path: str, mask: int) -> None:
        """Watch a path for the events in ``mask``."""
        if libc.inotify_add_watch(self.descriptor, os.fsencode(path), mask) < 0:
            problem = strerror(ctypes.get_errno())
            self.close()
            raise Failure(f"inotify_add_watch {path}: {problem}")
        self.path = path

    def next(self) -> tuple[int, str]:
        """Wait for an event and return its mask and the path it happened to."""
        while not self.events:
            data = os.read(self.descriptor, 65536)
            offset = 0
            while offset < len(data):
                _, mask, _, length = INOTIFY_EVENT.unpack_from(data, offset)
                offset += INOTIFY_EVENT.size
                name = os.fsdecode(data[offset : offset + length].rstrip(b"\0"))
                self.events.append((mask, f"{self.path}/{name}" if name else self.path))
                offset += length
        return self.events.pop(0)

    def close(self) -> None:
        """Stop watching."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
