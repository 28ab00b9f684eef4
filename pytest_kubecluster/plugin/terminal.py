"""What a test run prints about its cluster."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

import pytest

from pytest_kubecluster.cluster.config import FOUND
from pytest_kubecluster.cluster.sources import Existing
from pytest_kubecluster.plugin.session import ClusterSession
from pytest_kubecluster.spec.defaults import BUNDLED_LAYOUTS, DEFAULT_VERSION
from pytest_kubecluster.spec.model import ClusterSpec

if TYPE_CHECKING:
    from pytest_kubecluster.spec.translate import Change
    from pytest_kubecluster.util.progress import Phase, Progress

_KUBELETS = {
    "real": "a real kubelet",
    "hollow": "the hollow kubelet",
    FOUND: "the kubelets that were found",
}

WAIVED = "waived: "
"""What the reason of a waived test's xfail marker begins with."""


class Terminal:
    """The terminal of a test run. Without pytest's terminal reporter, only errors are shown."""

    def __init__(self, config: pytest.Config) -> None:
        """Write where pytest writes."""
        self._config = config

    @property
    def verbosity(self) -> int:
        """How often -v was given, less -q; 0 without a terminal reporter."""
        verbosity: int = self._config.getoption("verbose", 0)
        return verbosity

    @property
    def _reporter(self) -> pytest.TerminalReporter | None:
        reporter: pytest.TerminalReporter | None = self._config.pluginmanager.getplugin(
            "terminalreporter"
        )
        return reporter

    def progress(self, *, in_place: bool) -> Progress:
        """Return the progress of a run, which reaches the terminal while pytest captures output."""
        from pytest_kubecluster.util.progress import Progress

        capture = self._config.pluginmanager.getplugin("capturemanager")
        return Progress(
            quiet=self.verbosity < 0 or self._reporter is None,
            verbose=self.verbosity > 0,
            in_place=in_place,
            uncaptured=capture.global_and_fixture_disabled if capture else nullcontext,
        )

    def end_line(self) -> None:
        """End a line that pytest has begun."""
        with suppress(OSError, ValueError):  # the terminal may be closed
            if self._reporter is not None:
                self._reporter.ensure_newline()

    def show_error(self, text: str) -> None:
        """Show an error. Ignores a terminal that was closed."""
        with suppress(OSError, ValueError):
            if self._reporter is None:
                print(f"kubecluster: {text}", file=sys.stderr)
                return
            self._reporter.ensure_newline()
            self._reporter.section("kubecluster", sep="!", red=True, bold=True)
            self._reporter.write_line(text)


def header(session: ClusterSession) -> str:
    """Return the header line: topology, machines, version and kubelet."""
    spec, settings = session.spec, session.settings
    kubelet = "as found" if settings.kind == FOUND else settings.kind
    if settings.real and settings.provisions:
        kubelet += f" ({settings.binary.path if settings.binary else 'to be downloaded'})"
    where = f"on {settings.machines.name}, {spec.network}"
    if isinstance(settings.machines, Existing):
        where = f"of {settings.machines.path}"
    bundled = settings.layout in BUNDLED_LAYOUTS[1:]
    shown = f", layout {settings.layout}" if bundled else ""
    version = f"hyperkube {spec.image_tag}{shown}"
    return f"kubecluster: {spec.summary()} {where}, {version}, kubelet {kubelet}"


def summary(
    session: ClusterSession, phases: Sequence[Phase], *, kept: str, verbosity: int
) -> list[str]:
    """Return how long each phase took, which kubelets were judged, and how to use a kept cluster.

    ``kept`` is the name of the cluster if it was kept.
    """
    total = sum(phase.seconds for phase in phases)
    shown = ", ".join(f"{phase.name} {phase.seconds:.1f} s" for phase in phases)
    lines = [f"{shown}; together {total:.1f} s, with {_KUBELETS[session.settings.kind]}"]
    lines += _changes(session.spec, verbose=verbosity > 0)
    if kept:
        lines += [
            f"cluster {kept} is kept",
            f"  enter a node:  kubecluster ssh {session.spec.nodes[0].name} --name {kept}",
            f"  run again:     pytest --kube-cluster --kube-reuse={kept}",
            f"  remove it:     kubecluster destroy {kept}",
        ]
    return lines


def _changes(spec: ClusterSpec, *, verbose: bool) -> list[str]:
    """Return what this version of the kubelet is configured with instead of the article's."""
    alike: dict[tuple[Change, ...], list[str]] = {}
    for node in spec:
        if node.kubelet.changes:
            alike.setdefault(node.kubelet.changes, []).append(node.name)
    if not alike:
        return []
    number, article = spec.version.number, DEFAULT_VERSION.number
    if not verbose:
        most = max(map(len, alike))
        things = "one change" if most == 1 else f"{most} changes"
        return [f"kubelet {number} is configured with {things} since {article} (-v lists them)"]
    lines = [f"changes of kubelet {number} since {article}:"]
    for changes, names in alike.items():
        lines += [f"  {', '.join(names)}", *(f"    {change}" for change in changes)]
    return lines


def waivers_not_needed(xpassed: Sequence[Any]) -> list[str]:
    """Return a line for each waived test that passes, from the reports of unexpected passes."""
    return [
        f"{report.nodeid.rpartition('::')[2]} passes: its waiver is not needed"
        for report in xpassed
        if getattr(report, "wasxfail", "").startswith(WAIVED)
    ]
