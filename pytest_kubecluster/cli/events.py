"""What a subcommand shows while it works: lines for people, or JSON events for programs.

An event is one JSON object on one line of standard output. ``event`` is its kind:

- ``phase``: ``phase``, ``status`` (``started``, ``done``, ``failed``), then ``seconds``, ``detail``
- ``node``: what a node did in a ``phase``, perhaps a ``task``: ``node``, ``seconds``, ``verdict``
- ``message``, ``warning``, ``error``: ``text``
- ``cluster``: ``name``, and ``verdict``: ``up`` or ``removed``
- ``test``, ``version``, ``matrix``: results of a matrix
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.util.progress import Event, Progress

JSON_HELP = "print events, one JSON object a line, instead of text"
_LOCK = Lock()


def print_event(event: Event) -> None:
    """Print an event as a line; several threads may."""
    with _LOCK:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()


@contextmanager
def shown_progress(arguments: Any) -> Iterator[Progress]:
    """Return the progress of a subcommand, as text or, with ``--json``, as events.

    An error that ends the subcommand is an event, too.
    """
    if not arguments.json:
        yield Progress(sys.stdout)
        return
    progress = Progress(sys.stderr, quiet=True, on_event=print_event)
    try:
        yield progress
    except KubeClusterError as error:
        progress.emit("error", text=str(error))
        raise
    except KeyboardInterrupt:
        progress.emit("error", text="interrupted")
        raise
