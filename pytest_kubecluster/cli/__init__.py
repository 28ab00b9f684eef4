"""The kubecluster command: clusters without a test run, by the same code.

Exit status: 0 done, 1 failed, 2 usage error; ``ssh`` returns that of the command it ran.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

import pytest

from pytest_kubecluster.cli import (
    api,
    cis,
    clusters,
    compare,
    doctor,
    init,
    inspect,
    matrix,
    status,
)
from pytest_kubecluster.cli.common import FAILED, USAGE
from pytest_kubecluster.cli.parser import OPTIONS_TOO, CommandParser
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.plugin.lifecycle import interrupt_on_signals


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv`` (default: the process's own); return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # The locale may not be able to show every character.
            stream.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if argv is None else argv)
    parser = make_parser()
    # What follows -- is for the node or for pytest; unknown options are pytest's.
    ours, remote = words, []
    if "--" in words:
        ours, remote = words[: words.index("--")], words[words.index("--") + 1 :]
    arguments, options = parser.parse_known_args(ours)
    if options and not arguments.takes_options:
        parser.error(f"unrecognized arguments: {' '.join(options)}")
    arguments.options, arguments.remote = options, remote
    interrupt_on_signals()
    try:
        code = int(arguments.run(arguments))
        sys.stdout.flush()
        return code
    except KubeClusterError as error:
        print(f"kubecluster: {error}", file=sys.stderr)
        return FAILED
    except pytest.UsageError as error:
        print(f"kubecluster: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("kubecluster: interrupted", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        # The reader has gone; Python would fail again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="kubecluster",
        description="Boot clusters of Kubernetes nodes, and manage those that are kept.",
        epilog="Exit status: 0 done, 1 failed, 2 usage error; ssh: that of the remote command.",
    )
    shown = f"%(prog)s {version('pytest-kubecluster')}"
    parser.add_argument("--version", action="version", version=shown)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=CommandParser)

    def add(
        name: str, run: Callable[[argparse.Namespace], int], help: str, *, options: bool = False
    ) -> argparse.ArgumentParser:
        epilog = OPTIONS_TOO if options else None
        made = commands.add_parser(name, help=help, description=help, epilog=epilog)
        made.set_defaults(run=run, takes_options=options)
        return made

    for group in (init, doctor, clusters, status, api, matrix, compare, inspect, cis):
        group.add_commands(add)
    return parser
