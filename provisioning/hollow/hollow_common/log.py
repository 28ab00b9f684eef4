"""Lines on standard error: the log, and what a kubelet prints beside it."""

from __future__ import annotations

import os
import time

from hollow_common.facts import since
from hollow_common.go import quote


class Log:
    """Writes lines as glog does with --logtostderr, each in one piece."""

    verbosity = 0

    def __call__(self, severity: str, where: str, text: str, level: int = 0) -> None:
        """Log a text for a place in the sources, unless its level is above --v."""
        if level > self.verbosity:
            return
        now = time.time()
        stamp = time.strftime("%m%d %H:%M:%S", time.localtime(now))
        micros = int(now % 1 * 1_000_000)
        line = f"{severity}{stamp}.{micros:06} {os.getpid():7} {where}] {text}\n"
        os.write(2, line.encode(errors="surrogateescape"))


log = Log()


def structured(message: str, **values: object) -> str:
    """Return a log line's text as klog's InfoS and ErrorS write it, the style from 1.21 on."""

    def written(value: object) -> str:
        if not isinstance(value, str):
            return str(value)
        if "\n" in value and since(23):
            lines = value.rstrip("\n").replace("\n", "\n\t")
            return f"<\n\t{lines}\n >"
        return quote(value)

    return quote(message) + "".join(f" {name}={written(value)}" for name, value in values.items())


def complain(text: str) -> None:
    """Print a line on standard error, outside the log."""
    os.write(2, f"{text}\n".encode(errors="surrogateescape"))
