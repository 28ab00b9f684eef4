"""Run one subcommand and print its result behind a mark."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

MARK = "--kubecluster-result--"
"""Separates the result from the output of a login shell."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def main() -> None:
    """Carry out the request in the first argument."""
    os.environ["PATH"] = os.pathsep.join(filter(None, [os.environ.get("PATH", ""), _PATH]))
    os.environ["LC_ALL"] = "C"
    request = json.loads(sys.argv[1])
    result = run(request.pop("do"), request)
    sys.stdout.write(f"\n{MARK}\n{json.dumps(result)}\n")


def run(command: str, request: dict[str, Any]) -> Any:
    """Return the result of a subcommand.

    That is ``look``, ``wait``, ``as-node``, ``bootstrap`` or ``disturb``.
    """
    if command == "look":
        from .look import look

        return look(**request)
    if command == "wait":
        from .wait import wait

        return wait(**request)
    if command == "as-node":
        from .as_node import as_node

        return as_node(**request)
    if command == "bootstrap":
        from .bootstrap import bootstrap

        return bootstrap(**request)
    from .disturb import disturb

    return disturb(**request)
