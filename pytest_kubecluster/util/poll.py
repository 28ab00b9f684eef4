"""Waits for something to become true, up to a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def poll(ask: Callable[[], T], seconds: float, *, every: float = 0.1) -> T:
    """Call ``ask`` until it returns something true, and return that.

    Returns the last, false answer once ``seconds`` have passed. Asks at least once.
    """
    deadline = time.monotonic() + seconds
    while not (answer := ask()) and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(every, left))
    return answer
