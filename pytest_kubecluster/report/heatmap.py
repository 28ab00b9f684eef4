"""The table of checks and columns: what failed first, and what was expected and seen there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pytest_kubecluster.nodes.diagnostics import FileDiff, NodeFacts
from pytest_kubecluster.nodes.journal import JournalLine
from pytest_kubecluster.nodes.verdict.difference import Difference
from pytest_kubecluster.report.marking import Piece, mark, mark_argv
from pytest_kubecluster.report.results import GROUPS, OWN, Result, by_cause, title

Kind = Literal["failed", "passed", "skipped", "missing"]

_MOST_FACTS = 4
"""For how many nodes a failure shows facts; those of others are with the nodes."""
_LOUD_GROUPS = ("service", "ports", "recovery", "api")
"""The groups whose failures the journal explains."""


@dataclass(frozen=True)
class Heading:
    """The head of a column."""

    key: str
    title: str
    href: str = ""
    failed: bool = False
    rare: bool = False
    """Whether only groups that have a result there show it."""


@dataclass(frozen=True)
class Placed:
    """A result in its column, and where it was: on a node, or with a version on a node."""

    result: Result
    column: str
    where: str
    facts: tuple[str, ...] = ()
    """The names of the facts of its nodes."""


@dataclass(frozen=True)
class Cell:
    """The results of a check in a column; ``failure`` is the id of the failure it leads to."""

    kind: Kind
    failure: str = ""
    note: str = ""


@dataclass(frozen=True)
class Row:
    """A check. ``reasons`` are why it did not apply, each with where."""

    title: str
    expects: str
    cells: tuple[Cell, ...]
    reasons: tuple[tuple[str, str], ...] = ()
    number: int = 0

    @property
    def failed(self) -> bool:
        """Whether the check failed anywhere."""
        return any(cell.kind == "failed" for cell in self.cells)

    @property
    def applies_nowhere(self) -> bool:
        """Whether there is one reason that stands for the whole row."""
        return len(self.reasons) == 1 and {cell.kind for cell in self.cells} == {"skipped"}


@dataclass(frozen=True)
class Group:
    """The checks that rest on the same evidence."""

    title: str
    headings: tuple[Heading, ...]
    rows: tuple[Row, ...]

    def number_of(self, kind: Kind) -> int:
        """Return how many cells are of that kind."""
        return sum(cell.kind == kind for row in self.rows for cell in row.cells)


@dataclass(frozen=True)
class Marked:
    """A difference with the words marked that differ; None stands for what does not exist."""

    name: str
    expected: list[Piece] | None
    actual: list[Piece] | None
    places: str


@dataclass(frozen=True)
class Shown:
    """The facts of a node that bear on a failure."""

    where: str
    node: str
    argv: list[list[Piece]] = field(default_factory=list)
    diffs: tuple[FileDiff, ...] = ()
    journal: tuple[JournalLine, ...] = ()
    journal_in: str = ""
    """The failure that shows the same journal, if an earlier one does."""


@dataclass(frozen=True)
class Variant:
    """A failure that is the same in several places."""

    where: tuple[str, ...]
    differences: list[Marked]
    reason: str
    text: str
    shown: list[Shown]


@dataclass(frozen=True)
class FailedCheck:
    """A check that failed, with every way in which it did."""

    id: str
    title: str
    group: str
    expects: str
    file: str
    variants: list[Variant]

    @property
    def where(self) -> list[str]:
        """All places where it failed."""
        return [place for variant in self.variants for place in variant.where]


@dataclass(frozen=True)
class Heatmap:
    """All checks by group, those that failed first."""

    headings: tuple[Heading, ...]
    groups: tuple[Group, ...]
    failures: tuple[FailedCheck, ...]


def heatmap(
    headings: Sequence[Heading],
    placed: Iterable[Placed],
    facts: Mapping[str, NodeFacts],
    prefix: str = "failure",
) -> Heatmap:
    """Arrange results in groups and rows. The ids of failures begin with ``prefix``."""
    by_check: dict[tuple[str, str, str], list[Placed]] = {}
    for one in placed:
        key = (one.result.group, one.result.file, one.result.check)
        by_check.setdefault(key, []).append(one)
    groups: dict[str, list[Row]] = {}
    shown = {
        name: _headings(headings, name, by_check) for name in dict.fromkeys(k[0] for k in by_check)
    }
    failures: list[tuple[int, FailedCheck]] = []
    for number, ((group, _, check), here) in enumerate(by_check.items(), 1):
        failed = [one for one in here if one.result.outcome == "failed"]
        failure = f"{prefix}-{number}" if failed else ""
        if failed:
            cause = by_cause(failed[0].result)
            failures.append((cause, _failure(failure, failed, facts)))
        cells = tuple(_cell(heading, here, failure) for heading in shown[group])
        reasons = tuple(_reasons(here, len(shown[group])))
        row = Row(readable(check), here[0].result.expects, cells, reasons, number)
        groups.setdefault(group, []).append(row)
    order = [*GROUPS, *sorted(groups.keys() - GROUPS.keys())]
    arranged = [
        Group(title(name), shown[name], tuple(sorted(groups[name], key=_failed_first)))
        for name in order
        if name in groups
    ]
    arranged.sort(key=lambda group: not group.number_of("failed"))
    failures.sort(key=lambda pair: pair[0])
    return Heatmap(tuple(headings), tuple(arranged), tuple(_once(one for _, one in failures)))


def _once(failures: Iterable[FailedCheck]) -> Iterator[FailedCheck]:
    """Yield failures that show a journal once, and later where it is shown."""
    shown_in: dict[tuple[str, tuple[JournalLine, ...]], str] = {}
    for one in failures:
        variants = []
        for variant in one.variants:
            shown = [
                replace(facts, journal_in=place)
                if (place := shown_in.setdefault((facts.where, facts.journal), one.id)) != one.id
                else facts
                for facts in variant.shown
            ]
            variants.append(replace(variant, shown=shown))
        yield replace(one, variants=variants)


def _headings(
    headings: Sequence[Heading], group: str, by_check: Mapping[tuple[str, str, str], list[Placed]]
) -> tuple[Heading, ...]:
    """Return the columns that a group shows."""
    there = {one.column for key, here in by_check.items() if key[0] == group for one in here}
    return tuple(one for one in headings if not one.rare or one.key in there)


def _failed_first(row: Row) -> bool:
    return not row.failed


def readable(check: str) -> str:
    """Return the name of a test as separate words."""
    return check.removeprefix("test_").replace("_", " ")


def _cell(heading: Heading, here: Sequence[Placed], failure: str) -> Cell:
    ours = [one.result for one in here if one.column == heading.key]
    failed = sum(one.outcome == "failed" for one in ours)
    if failed:
        return Cell("failed", failure, f"{failed} of {len(ours)}" if len(ours) > 1 else "")
    if not ours:
        return Cell("missing")
    if all(one.outcome == "skipped" for one in ours):
        return Cell("skipped", note=ours[0].reason)
    return Cell("passed")


def _reasons(here: Sequence[Placed], columns: int) -> Iterable[tuple[str, str]]:
    where: dict[str, list[str]] = {}
    applies = {one.column for one in here if one.result.outcome != "skipped"}
    for one in here:
        if one.result.outcome == "skipped":
            place = one.where if one.column in applies else one.column
            where.setdefault(one.result.reason, []).append(place)
    for reason, names in where.items():
        distinct = list(dict.fromkeys(names))
        yield reason, "everywhere" if len(distinct) == columns else ", ".join(distinct)


def _failure(name: str, failed: Sequence[Placed], facts: Mapping[str, NodeFacts]) -> FailedCheck:
    alike: dict[tuple[object, ...], list[Placed]] = {}
    for one in failed:
        result = one.result
        # Tracebacks of the same failure differ in the node's name.
        text = "" if result.differences else result.text.replace(result.node or "\0", "…")
        alike.setdefault((result.differences, text), []).append(one)
    left, variants = _MOST_FACTS, []
    for same in alike.values():
        shown = [*filter(None, (_shown(one, facts) for one in same[: max(0, left)]))]
        left -= len(shown)
        variants.append(_variant(same, shown))
    first = failed[0].result
    file = first.file if first.group == OWN else ""
    return FailedCheck(
        name, readable(first.check), title(first.group), first.expects, file, variants
    )


def _variant(same: Sequence[Placed], shown: list[Shown]) -> Variant:
    result = same[0].result
    where = tuple(one.where for one in same)
    marked = [*map(marked_difference, result.differences)]
    reason = "" if result.differences else result.reason
    return Variant(where, marked, reason, "" if result.differences else result.text, shown)


def marked_difference(one: Difference) -> Marked:
    """Return a difference with the words marked that differ."""
    places = "; ".join(filter(None, (one.expected_in, one.actual_in)))
    if one.expected is None or one.actual is None:
        expected = None if one.expected is None else [Piece(one.expected, "removed")]
        actual = None if one.actual is None else [Piece(one.actual, "added")]
        return Marked(one.name, expected, actual, places)
    return Marked(one.name, *mark(one.expected, one.actual), places)


def _shown(one: Placed, facts: Mapping[str, NodeFacts]) -> Shown | None:
    result = one.result
    found = next((facts[name] for name in one.facts if name in facts), None)
    if found is None or found.problem:
        return None
    names = {difference.name for difference in result.differences}
    flags = [difference for difference in result.differences if difference.name.startswith("--")]
    shown = Shown(
        one.where,
        found.node,
        mark_argv(found.argv, flags) if flags and found.argv else [],
        tuple(diff for diff in found.diffs if any(diff.path in name for name in names)),
        found.journal if result.group in _LOUD_GROUPS or not found.argv else (),
    )
    return shown if shown.argv or shown.diffs or shown.journal else None
