"""The subcommand that runs a suite with many kubelet versions."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from pytest_kubecluster.cli.common import DONE, FAILED, AddCommand, session_to_boot, terminal_width
from pytest_kubecluster.cli.events import JSON_HELP, shown_progress
from pytest_kubecluster.plugin import parsing
from pytest_kubecluster.plugin.options import LAYOUT, REPORT
from pytest_kubecluster.plugin.settings import read_settings
from pytest_kubecluster.spec.defaults import BUNDLED_LAYOUTS, LayoutName


def add_commands(add: AddCommand) -> None:
    """Add the subcommand."""
    matrix = add(
        "matrix",
        _matrix,
        "Run the bundled suite with many kubelet versions on one cluster, and in several layouts "
        f"with {LAYOUT.flag}=classic,kubeadm; arguments after -- are pytest's, for other tests",
        options=True,
    )
    matrix.add_argument(
        "versions",
        nargs="+",
        metavar="VERSION",
        help="kubelet version such as 1.7.5, or all for each known minor",
    )
    matrix.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML")
    matrix.add_argument("--json", action="store_true", help=JSON_HELP)
    matrix.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help=f"write an HTML page ({REPORT.flag}=FOLDER writes it with data to compare)",
    )


def _matrix(arguments: argparse.Namespace) -> int:
    from pytest_kubecluster.matrix.run import run_matrix
    from pytest_kubecluster.report.matrix import as_junit, as_text
    from pytest_kubecluster.report.matrix_page import as_html
    from pytest_kubecluster.report.session import write_matrix_report
    from pytest_kubecluster.util.plain import map_text
    from pytest_kubecluster.util.redact import redact

    layouts, options = _layouts(arguments.options)
    for path in filter(None, (arguments.junit, arguments.html)):
        if not path.absolute().parent.is_dir():
            raise pytest.UsageError(f"{path} cannot be written: its folder does not exist")
    config = session_to_boot(options).config
    with shown_progress(arguments) as progress:
        try:
            matrix = run_matrix(config, arguments.versions, layouts, arguments.remote, progress)
        except ValueError as error:
            raise pytest.UsageError(str(error)) from None
        matrix = map_text(matrix, cache(redact))
        progress.emit("matrix", verdict="failed" if matrix.failed else "passed")
    if not arguments.json:
        print(f"\n{as_text(matrix, terminal_width())}", end="")
    if arguments.junit:
        arguments.junit.write_bytes(as_junit(matrix))
    if arguments.html:
        arguments.html.write_text(as_html(matrix), encoding="utf-8")
    if folder := read_settings(config).report:
        write_matrix_report(folder, matrix)
    return FAILED if matrix.failed else DONE


def _layouts(options: Sequence[str]) -> tuple[list[LayoutName], list[str]]:
    """Return the layouts among the options of pytest, and the other options.

    Raises pytest.UsageError.
    """
    found: list[LayoutName] = []
    rest: list[str] = []
    for option in options:
        name, _, value = option.partition("=")
        if name != LAYOUT.flag:
            rest.append(option)
            continue
        try:
            found += [parsing.choice(word, BUNDLED_LAYOUTS) for word in value.split(",")]
        except ValueError as error:
            raise pytest.UsageError(f"{LAYOUT.flag}: {error}") from None
    return list(dict.fromkeys(found)), rest
