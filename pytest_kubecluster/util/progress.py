"""Progress of a run: one line for each phase, and the time it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TextIO

from rich.console import Console
from rich.status import Status
from rich.text import Text


def count(number: int, noun: str) -> str:
    """Return ``1 node``, ``2 nodes``."""
    return f"{number} {noun}{'s' * (number != 1)}"


@dataclass
class Phase:
    """A part of the run that took ``seconds``; ``detail`` is its result.

    ``started`` is in seconds since the epoch.
    """

    name: str
    seconds: float = 0.0
    detail: str = ""
    started: float = 0.0
    failed: bool = False


@dataclass(frozen=True)
class Span:
    """What one node did in a phase: booted, ran a task, became healthy.

    ``started`` is in seconds since the epoch.
    """

    phase: str
    node: str
    started: float
    seconds: float
    task: str = ""
    outcome: str = "ok"
    """``ok``, ``changed``, ``skipped`` or ``failed``."""


Event = dict[str, object]
"""Something that happened, as a JSON object: ``event`` is its kind."""


@dataclass
class Progress:
    """Show steps on ``stream`` (default: standard output), on a terminal in place.

    ``quiet`` shows nothing; ``verbose`` also shows each step as a line; without ``in_place`` a
    terminal gets lines, too. ``uncaptured`` returns a context in which output is not captured.
    ``on_event`` is called with everything that happens, whatever is shown.
    """

    stream: TextIO | None = None
    quiet: bool = False
    verbose: bool = False
    in_place: bool = True
    uncaptured: Callable[[], AbstractContextManager[None]] = nullcontext
    on_event: Callable[[Event], None] | None = None
    phases: list[Phase] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    doing: str = ""
    """What happens now; empty between phases."""
    _status: Status | None = None

    def __post_init__(self) -> None:
        self._console = Console(file=self.stream, highlight=False, soft_wrap=True)

    @contextmanager
    def phase(self, name: str, doing: str) -> Iterator[Phase]:
        """Time a phase. ``doing`` is shown while it runs, the phase's ``detail`` afterwards."""
        phase = Phase(name, started=time.time())
        self.phases.append(phase)
        self.doing = doing
        self.emit("phase", phase=name, status="started")
        started = time.monotonic()
        with self.uncaptured():
            if self._console.is_terminal and self.in_place and not self.quiet:
                self._status = self._console.status(_Running(self, name, started))
                self._write(self._status.start)
            try:
                yield phase
            except BaseException as error:
                phase.failed = True
                interrupted = isinstance(error, KeyboardInterrupt)
                phase.detail = f"interrupted: {self.doing}" if interrupted else "failed"
                raise
            finally:
                phase.seconds = time.monotonic() - started
                if self._status:
                    self._write(self._status.stop)
                    self._status = None
                self._line(f"{name:<10} {phase.seconds:5.1f} s  {phase.detail or doing}")
                self.doing = ""
                self.emit(
                    "phase",
                    phase=name,
                    status="failed" if phase.failed else "done",
                    seconds=round(phase.seconds, 3),
                    detail=phase.detail or doing,
                )

    def step(self, text: str) -> None:
        """Show what the current phase does."""
        self.doing = text
        if self.verbose and not self._status:
            self._line(text)

    def record(self, span: Span) -> None:
        """Note what a node did."""
        self.spans.append(span)
        self.emit(
            "node",
            phase=span.phase,
            node=span.node,
            **({"task": span.task} if span.task else {}),
            seconds=round(span.seconds, 3),
            verdict=span.outcome,
        )

    @contextmanager
    def on_node(self, phase: str, node: str) -> Iterator[None]:
        """Note what a node does in this context, and whether it fails."""
        began, started, outcome = time.time(), time.monotonic(), "failed"
        try:
            yield
            outcome = "ok"
        finally:
            self.record(Span(phase, node, began, time.monotonic() - started, outcome=outcome))

    def emit(self, event: str, **fields: object) -> None:
        """Report an event to whoever listens."""
        if self.on_event:
            self.on_event({"event": event, **fields})

    def say(self, text: str) -> None:
        """Show a line, above the current phase."""
        self.emit("message", text=text)
        with self.uncaptured():
            self._line(text)

    def warn(self, text: str) -> None:
        """Show a separate line, even if ``quiet``."""
        self.emit("warning", text=text)
        with self.uncaptured():
            self._line(text, always=True)

    def _line(self, text: str, *, always: bool = False) -> None:
        if always or not self.quiet:
            # Terminals and files may not be able to show every character.
            encoding = self._console.encoding
            shown = f"kubecluster: {text}".encode(encoding, "backslashreplace").decode(encoding)
            self._write(partial(self._console.print, shown, markup=False))

    @staticmethod
    def _write(write: Callable[[], object]) -> None:
        """Write, if that is possible: a terminal that was closed must not stop a removal."""
        with suppress(OSError, ValueError):
            write()


@dataclass(frozen=True)
class _Running:
    """What a phase does, and for how long it has run; drawn anew several times a second."""

    progress: Progress
    name: str
    started: float

    def __rich__(self) -> Text:
        seconds = time.monotonic() - self.started
        text = Text(f"{self.name}: {self.progress.doing}", overflow="ellipsis", no_wrap=True)
        return text.append(f"  {seconds:.0f} s", style="dim")
