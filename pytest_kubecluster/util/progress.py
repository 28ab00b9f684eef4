"""What a person sees while a cluster is made: one line a step, and where the time went."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.status import Status


def count(number: int, noun: str) -> str:
    """Return ``1 node``, ``2 nodes``."""
    return f"{number} {noun}{'s' * (number != 1)}"


@dataclass
class Phase:
    """A stretch of the run that took ``seconds``."""

    name: str
    seconds: float = 0.0
    detail: str = ""


@dataclass
class Progress:
    """Shows steps on ``stream``: in place on a terminal, as plain lines otherwise.

    ``quiet`` shows nothing; ``verbose`` also shows each detail as a line of its own; without
    ``in_place`` a terminal gets plain lines too. ``uncaptured`` gives a context in which writing to
    the stream reaches the person.
    """

    stream: TextIO
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
        """Time a phase; ``doing`` says what happens, the phase's ``detail`` what came of it."""
        phase = Phase(name)
        self.phases.append(phase)
        started = time.monotonic()
        with self.uncaptured():
            if self._console.is_terminal and self.in_place and not self.quiet:
                self._status = self._console.status(f"{name}: {doing}")
                self._status.start()
            try:
                yield phase
            except BaseException:
                phase.detail = "failed"
                raise
            finally:
                phase.seconds = time.monotonic() - started
                if self._status:
                    self._status.stop()
                    self._status = None
                self._line(f"{name:<10} {phase.seconds:5.1f} s  {phase.detail or doing}")

    def step(self, text: str) -> None:
        """Show what is being done right now."""
        if self._status:
            self._status.update(escape(f"{self.phases[-1].name}: {text}"))
        elif self.verbose:
            self._line(text)

    def say(self, text: str) -> None:
        """Show a line of its own, above whatever is going on."""
        with self.uncaptured():
            self._line(text)

    def _line(self, text: str) -> None:
        if not self.quiet:
            self._console.print(f"kubecluster: {text}", markup=False)
