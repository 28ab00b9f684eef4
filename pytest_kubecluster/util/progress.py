"""Progress of a run: one line for each phase, and the time it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.status import Status


def count(number: int, noun: str) -> str:
    """Return ``1 node``, ``2 nodes``."""
    return f"{number} {noun}{'s' * (number != 1)}"


@dataclass
class Phase:
    """A part of the run that took ``seconds``; ``detail`` is its result."""

    name: str
    seconds: float = 0.0
    detail: str = ""


@dataclass
class Progress:
    """Show steps on ``stream`` (default: standard output), on a terminal in place.

    ``quiet`` shows nothing; ``verbose`` also shows each step as a line; without ``in_place`` a
    terminal gets lines, too. ``uncaptured`` returns a context in which output is not captured.
    """

    stream: TextIO | None = None
    quiet: bool = False
    verbose: bool = False
    in_place: bool = True
    uncaptured: Callable[[], AbstractContextManager[None]] = nullcontext
    phases: list[Phase] = field(default_factory=list)
    _status: Status | None = None

    def __post_init__(self) -> None:
        self._console = Console(file=self.stream, highlight=False, soft_wrap=True)

    @contextmanager
    def phase(self, name: str, doing: str) -> Iterator[Phase]:
        """Time a phase. ``doing`` is shown while it runs, the phase's ``detail`` afterwards."""
        phase = Phase(name)
        self.phases.append(phase)
        started = time.monotonic()
        with self.uncaptured():
            if self._console.is_terminal and self.in_place and not self.quiet:
                self._status = self._console.status(escape(f"{name}: {doing}"))
                self._write(self._status.start)
            try:
                yield phase
            except BaseException:
                phase.detail = "failed"
                raise
            finally:
                phase.seconds = time.monotonic() - started
                if self._status:
                    self._write(self._status.stop)
                    self._status = None
                self._line(f"{name:<10} {phase.seconds:5.1f} s  {phase.detail or doing}")

    def step(self, text: str) -> None:
        """Show what the current phase does."""
        if self._status:
            status = escape(f"{self.phases[-1].name}: {text}")
            self._write(partial(self._status.update, status))
        elif self.verbose:
            self._line(text)

    def say(self, text: str) -> None:
        """Show a line, above the current phase."""
        with self.uncaptured():
            self._line(text)

    def warn(self, text: str) -> None:
        """Show a separate line, even if ``quiet``."""
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
