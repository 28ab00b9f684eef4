"""The subcommand that shows several reports side by side. It boots nothing."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from pytest_kubecluster.cli.common import DONE, FAILED, AddCommand, terminal_width


def add_commands(add: AddCommand) -> None:
    """Add the subcommand."""
    compare = add(
        "compare",
        _compare,
        "Show the reports of several runs and matrices (--kube-report) as one matrix",
    )
    compare.add_argument(
        "reports",
        nargs="+",
        type=Path,
        metavar="REPORT",
        help="folder of --kube-report, or its report.json",
    )
    compare.add_argument("--html", type=Path, metavar="FILE", help="write an HTML page")


def _compare(arguments: argparse.Namespace) -> int:
    from pytest_kubecluster.report.compare import compared
    from pytest_kubecluster.report.matrix import as_text
    from pytest_kubecluster.report.matrix_page import as_html

    if arguments.html and not arguments.html.absolute().parent.is_dir():
        raise pytest.UsageError(f"{arguments.html} cannot be written: its folder does not exist")
    matrix = compared(arguments.reports)
    print(as_text(matrix, terminal_width()), end="")
    if arguments.html:
        arguments.html.write_text(as_html(matrix), encoding="utf-8")
    return FAILED if matrix.failed else DONE
