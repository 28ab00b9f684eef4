"""What GitHub Actions shows of a run: annotations at failing tests, and a summary in Markdown.

The forms are those of "Workflow commands for GitHub Actions" in GitHub's documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from pytest_kubecluster.nodes.verdict import difference_table
from pytest_kubecluster.report.data import About
from pytest_kubecluster.report.heatmap import readable
from pytest_kubecluster.report.results import Result
from pytest_kubecluster.report.summary import first_failures, node_table

_MOST_FAILURES = 40
_LONGEST = 4000
"""A summary of more than 1 MiB is not shown at all."""
_MESSAGE_LINES = 20


@dataclass(frozen=True)
class Annotation:
    """An error to show, at a line of a file of the repository if it has one."""

    title: str
    message: str
    file: str = ""
    line: int = 0

    def command(self) -> str:
        """Return the line of output that makes GitHub show it."""
        place = {"file": self.file, "line": str(self.line)} if self.file else {}
        values = {**place, "title": self.title}
        shown = ",".join(f"{name}={_property(value)}" for name, value in values.items())
        lines = self.message.strip().splitlines()
        more = [f"… and {len(lines) - _MESSAGE_LINES} more lines"] * (len(lines) > _MESSAGE_LINES)
        return f"::error {shown}::{_data(chr(10).join([*lines[:_MESSAGE_LINES], *more]))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def step_summary(about: About, phases: str, results: Sequence[Result], nodes: Sequence[str]) -> str:
    """Return the summary of a run as Markdown; ``phases`` is where the time went."""
    return "\n".join([*_lines(about, phases, results, nodes), ""])


def _lines(
    about: About, phases: str, results: Sequence[Result], nodes: Sequence[str]
) -> Iterator[str]:
    counts = {kind: sum(one.outcome == kind for one in results) for kind in ("passed", "failed")}
    bad = about.failed or about.error or about.interrupted
    yield f"### {'❌' if bad else '✅'} kubecluster: {_headline(about, counts)}\n"
    yield "| | |\n|---|---|"
    for name, value in described(about).items():
        yield f"| {name} | {_cell(value)} |"
    if phases:
        yield f"| time | {_cell(phases)} |"
    if about.error:
        yield from ("", *_block(about.error))
    if table := node_table(results, nodes):
        yield from ("", *_block("\n".join(table)))
    failures = [one for one in results if one.outcome == "failed"]
    if firsts := [*first_failures(results, nodes)]:
        yield "\n#### First failure of each node\n"
        yield from (f"- {escape(line)}" for line in firsts)
    if failures:
        yield "\n#### All failures\n"
    for one in failures[:_MOST_FAILURES]:
        where = f"{one.node}: " if one.node else ""
        yield f"<details><summary>{escape(where + readable(one.check))}</summary>\n"
        table = difference_table(one.differences) if one.differences else []
        yield from _block("\n".join(table) or one.text or one.reason)
        yield "\n</details>\n"
    if len(failures) > _MOST_FAILURES:
        yield f"… and {len(failures) - _MOST_FAILURES} more"


def described(about: About) -> dict[str, str]:
    """Return what was run on what, by name; empty values are left out."""
    values = {
        "cluster": about.cluster,
        "provider": about.provider,
        "network": about.network,
        "kubelet": about.kubelet,
        "version": about.version,
        "hyperkube": about.hyperkube,
        "layout": about.layout,
        "control plane": about.control_plane,
        "pytest-kubecluster": about.plugin,
    }
    return {name: value for name, value in values.items() if value}


def _headline(about: About, counts: dict[str, int]) -> str:
    if about.error:
        return "the cluster cannot be used"
    if about.interrupted:
        return f"interrupted during {about.interrupted}"
    shown = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    return f"{shown or 'no test ran'} with {about.kubelet} kubelets {about.version}"


def _cell(text: str) -> str:
    return escape(text, quote=False).replace("|", "\\|").replace("\n", " ")


def _block(text: str) -> list[str]:
    """Return a text as it is; HTML, since a text may have any fence in it."""
    shown = text if len(text) <= _LONGEST else f"… {text[-_LONGEST:]}"
    return [f"<pre>{escape(shown, quote=False)}</pre>"]
