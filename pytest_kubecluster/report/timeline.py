"""When everything happened: the phases of a run, what each node did, which worker tested when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pytest_kubecluster.report.data import Report
from pytest_kubecluster.report.heatmap import readable

_SHORTEST = 0.12
"""In percent of the whole: shorter bars are drawn so long, and neighbours become one."""
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)


@dataclass
class Bar:
    """Something that took time; places are in percent of the whole."""

    start: float
    width: float
    kind: str
    label: str
    seconds: float
    failed: bool = False


@dataclass
class Lane:
    """What one node, or one worker, did."""

    title: str
    bars: list[Bar] = field(default_factory=list)
    kind: str = "node"


@dataclass(frozen=True)
class Timeline:
    """The lanes, and where full seconds are, in percent."""

    lanes: list[Lane]
    ticks: list[tuple[float, str]]
    seconds: float


def timeline(report: Report) -> Timeline:
    """Return the lanes of a run: its phases, its nodes, and the workers of pytest-xdist."""
    moments = [*_moments(report)]
    if not moments:
        return Timeline([], [], 0.0)
    first = min(moment.started for moment in moments)
    whole = max(max(moment.started + moment.seconds for moment in moments) - first, 0.001)
    lanes: dict[str, Lane] = {"run": Lane("phases", kind="run")}
    lanes |= {node.name: Lane(node.name) for node in report.nodes}
    for moment in sorted(moments, key=lambda one: (one.started, -one.seconds)):
        lane = lanes.setdefault(moment.lane, Lane(moment.lane, kind="worker"))
        start = 100 * (moment.started - first) / whole
        width = max(100 * moment.seconds / whole, _SHORTEST)
        _add(lane, Bar(start, width, moment.kind, moment.label, moment.seconds, moment.failed))
    return Timeline([lane for lane in lanes.values() if lane.bars], [*_ticks(whole)], whole)


@dataclass(frozen=True)
class _Moment:
    lane: str
    kind: str
    label: str
    started: float
    seconds: float
    failed: bool = False


def _moments(report: Report) -> Iterator[_Moment]:
    for phase in report.phases:
        label = f"{phase.name}: {phase.detail}" if phase.detail else phase.name
        yield _Moment("run", phase.name, label, phase.started, phase.seconds, phase.failed)
    for span in report.spans:
        label = span.task or span.phase
        label += f" ({span.outcome})" if span.outcome not in ("ok", "") else ""
        failed = span.outcome == "failed"
        yield _Moment(span.node, span.phase, label, span.started, span.seconds, failed)
    for one in report.results:
        if not one.started:
            continue
        failed = one.outcome == "failed"
        moment = (readable(one.check), one.started, one.seconds, failed)
        for node in one.node.split(",") if one.node else ():
            yield _Moment(node, "test", *moment)
        worker = f"worker {one.worker}" if one.worker else "" if one.node else "tests"
        if worker:
            yield _Moment(worker, "test", *moment)


def _add(lane: Lane, bar: Bar) -> None:
    """Add a bar; one that would hide the bar before it joins that."""
    last = lane.bars[-1] if lane.bars else None
    near = last is not None and bar.start < last.start + last.width + _SHORTEST
    small = bar.width <= 3 * _SHORTEST
    if last and near and small and (last.kind, last.failed) == (bar.kind, bar.failed):
        last.width = max(last.width, bar.start + bar.width - last.start)
        last.seconds += bar.seconds
        first, _, more = last.label.partition(" and ")
        number = int(more.partition(" ")[0]) + 1 if more.endswith(" more") else 1
        last.label = f"{first} and {number} more"
    else:
        lane.bars.append(bar)


def _ticks(whole: float) -> Iterator[tuple[float, str]]:
    step = next((one for one in _TICKS if whole / one <= 8), whole)
    number = 0
    while number * step <= whole:
        yield 100 * number * step / whole, f"{number * step:g} s"
        number += 1


def durations(lanes: Sequence[Lane]) -> Iterable[tuple[str, str, float]]:
    """Return lane, kind and seconds of everything but single tests, for a table."""
    for lane in lanes:
        totals: dict[str, float] = {}
        for bar in lane.bars:
            totals[bar.kind] = totals.get(bar.kind, 0.0) + bar.seconds
        yield from ((lane.title, kind, seconds) for kind, seconds in totals.items())
