"""Works on many things at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def each_in_parallel(do: Callable[[A], B], things: Iterable[A], *, limit: int) -> list[B]:
    """Call ``do`` with each of ``things``, up to ``limit`` at the same time; return the results."""
    pool = ThreadPoolExecutor(max_workers=limit)
    try:
        return list(pool.map(do, things))
    finally:
        # After Ctrl-C, do not wait for calls that have not started.
        pool.shutdown(wait=False, cancel_futures=True)
