"""Show the results of a matrix as text and as JUnit XML."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from rich.console import Console
from rich.table import Table

from pytest_kubecluster.report.heatmap import readable
from pytest_kubecluster.report.results import Column, Matrix, Result

PASSED, FAILED, MISSING = "ok", "FAIL", "·"
_NAME_WIDTH, _GAP = 46, 2


@dataclass(frozen=True)
class Cell:
    """The result of a check with a version on all nodes; ``note`` is the number of its reason."""

    text: str
    note: int = 0


class Grid:
    """The table of checks and versions. Reasons why a check does not apply are numbered."""

    def __init__(self, matrix: Matrix) -> None:
        """Combine the results of all nodes."""
        self.matrix = matrix
        self.reasons: list[str] = []
        self.rows = [
            (check, [self._cell(check, column) for column in matrix.columns])
            for check in matrix.checks
        ]

    def _cell(self, check: str, column: Column) -> Cell:
        results = [result for result in column.results if result.check == check]
        failed = [result for result in results if result.outcome == "failed"]
        skipped = [result for result in results if result.outcome == "skipped"]
        if failed:
            return Cell(FAILED)
        if not results:
            return Cell(MISSING)
        if len(skipped) == len(results):
            note = self._note(skipped[0].reason)
            return Cell(f"-{note}", note)
        return Cell(PASSED)

    def _note(self, reason: str) -> int:
        if reason not in self.reasons:
            self.reasons.append(reason)
        return 1 + self.reasons.index(reason)


def as_text(matrix: Matrix, width: int = 100) -> str:
    """Return the matrix as tables no wider than ``width`` characters, with notes below them."""
    grid = Grid(matrix)
    console = Console(file=io.StringIO(), width=width, no_color=True, highlight=False, markup=False)
    widest = max((len(column.title) for column in matrix.columns), default=0)
    room = max(1, (width - _NAME_WIDTH) // (widest + _GAP))
    shown = range(0, len(matrix.columns), room) if grid.rows else ()
    for start in shown:
        console.print(_table(grid, start, start + room))
        console.print()
    for line in _below(grid):
        console.print(line, soft_wrap=True)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def _table(grid: Grid, start: int, end: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="")
    table.add_column("check", width=_NAME_WIDTH - _GAP, no_wrap=True)
    columns = grid.matrix.columns[start:end]
    for column in columns:
        table.add_column(column.title, justify="center", no_wrap=True)
    for check, cells in grid.rows:
        table.add_row(readable(check), *(cell.text for cell in cells[start:end]))
    table.add_row("")
    table.add_row("seconds to change the kubelet", *(f"{c.changing:.1f}" for c in columns))
    table.add_row("seconds to check it", *(f"{c.checking:.1f}" for c in columns))
    return table


def _below(grid: Grid) -> Iterator[str]:
    for number, reason in enumerate(grid.reasons, 1):
        yield f"-{number}  not applicable: {reason}"
    if any(cell.text == MISSING for _, cells in grid.rows for cell in cells):
        yield f"{MISSING}   not run"
    yield from problems(grid.matrix)
    yield verdict(grid.matrix)


def problems(matrix: Matrix) -> Iterator[str]:
    """Yield the problems and failures of each version."""
    for column in matrix.columns:
        if column.problem:
            yield f"{column.title}: {column.problem}"
        for result in column.results:
            if result.outcome == "failed":
                where = f" on {result.node}" if result.node else ""
                yield f"{column.title}: {result.check}{where}: {result.reason}"


def verdict(matrix: Matrix) -> str:
    """Return the matrix as one sentence."""
    good = sum(not column.failed for column in matrix.columns)
    seconds = sum(column.changing + column.checking for column in matrix.columns)
    return (
        f"{good} of {len(matrix.columns)} versions pass, with {matrix.kubelet} kubelets on "
        f"{matrix.topology}; {seconds:.0f} s for changing and checking them"
    )


def as_junit(matrix: Matrix) -> bytes:
    """Return JUnit XML: a suite for each version, a case for each check and node."""
    xml = JUnitXml("kubecluster matrix")
    for column in matrix.columns:
        suite = TestSuite(f"kubelet {column.name or column.tag}")
        cases = [_case(result, column.name or column.tag) for result in column.results]
        if column.problem:
            case = TestCase("kubelet runs at all", column.name or column.tag)
            case.result = [Error(column.problem)]
            cases.append(case)
        suite.add_testcases(cases)
        xml.add_testsuite(suite)
    xml.update_statistics()  # type: ignore[no-untyped-call]
    output = io.BytesIO()
    xml.write(output, pretty=True)
    return output.getvalue()


def _case(result: Result, tag: str) -> TestCase:
    name = f"{result.check}[{result.node}]" if result.node else result.check
    case = TestCase(name, tag, result.seconds)
    kinds: dict[str, type[Failure | Skipped]] = {"failed": Failure, "skipped": Skipped}
    if result.outcome in kinds:
        case.result = [kinds[result.outcome](result.reason)]
    return case
