"""Send the agent through ssh: zipped together with a YAML parser, imported from memory."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.nodes import agent
from pytest_kubecluster.nodes.agent.main import MARK

_PARSER = (
    "error",
    "tokens",
    "events",
    "nodes",
    "reader",
    "scanner",
    "parser",
    "composer",
    "constructor",
    "resolver",
    "loader",
)
"""The modules of PyYAML that read; the C library is not for the node."""

_BOOT = (
    "import os, sys; f = os.memfd_create('agent'); "
    "os.fdopen(f, 'wb', closefd=False).write(sys.stdin.buffer.read()); "
    "sys.path.insert(0, '/proc/self/fd/%d' % f); from agent.main import main; main()"
)


@cache
def archive() -> bytes:
    """Return the agent as a zip file that Python can import from."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(Path(agent.__path__[0]).glob("*.py")):
            file.write(path, f"agent/{path.name}")
        file.writestr("yaml/__init__.py", "")
        for name in _PARSER:
            file.write(Path(yaml.__file__).with_name(f"{name}.py"), f"yaml/{name}.py")
    return content.getvalue()


def command(python: str, request: Mapping[str, Any]) -> list[str]:
    """Return the command that runs the agent, whose ``archive`` is its standard input."""
    # -I: neither the user's environment nor the current folder can change what is imported.
    return [python, "-I", "-S", "-c", _BOOT, json.dumps(request)]


def result(node: str, output: bytes, errors: bytes, status: int) -> Any:
    """Return what the agent printed. Raises KubeClusterError with the node's error output."""
    _, mark, printed = output.decode(errors="replace").rpartition(f"\n{MARK}\n")
    try:
        return json.loads(printed.splitlines()[0] if mark else "")
    except (ValueError, IndexError):
        said = (errors or output).decode(errors="replace").strip()
        shown = said if len(said) <= 800 else f"{said[:200]} … {said[-600:]}"
        raise KubeClusterError(
            f"{node}: looking at the node failed (exit status {status}): {shown or 'no output'}"
        ) from None
