"""The terminal of a test run, and what it shows of the cluster besides the summary."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

import pytest

from pytest_kubecluster.cluster.config import FOUND
from pytest_kubecluster.cluster.sources import Existing
from pytest_kubecluster.plugin.session import ClusterSession
from pytest_kubecluster.spec.control_plane import loss_note
from pytest_kubecluster.spec.defaults import BUNDLED_LAYOUTS

if TYPE_CHECKING:
    from pytest_kubecluster.util.progress import Progress


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

    def show_line(self, text: str) -> None:
        """Show a line. Ignores a terminal that was closed, and none at all."""
        with suppress(OSError, ValueError):
            if self._reporter is not None:
                self._reporter.ensure_newline()
                self._reporter.write_line(f"kubecluster: {text}")

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
    plane = _control_plane(session)
    return f"kubecluster: {spec.summary()} {where}, {version}, kubelet {kubelet}{plane}"


def _control_plane(session: ClusterSession) -> str:
    """Return the kind of the control plane, and whether it survives the loss of a master."""
    plane = session.spec.control_plane
    if plane is None:
        return ""
    version = "" if plane.version.number == session.spec.version.number else f" {plane.version}"
    note = loss_note(session.spec)
    kind = "hollow" if plane.hollow else "real"
    return f", control plane {kind}{version}{f' ({note})' if note else ''}"


def waivers_not_needed(xpassed: Sequence[Any]) -> list[str]:
    """Return a line for each waived test that passes, from the reports of unexpected passes."""
    return [
        f"{report.nodeid.rpartition('::')[2]} passes: its waiver is not needed"
        for report in xpassed
        if getattr(report, "wasxfail", "").startswith(WAIVED)
    ]
