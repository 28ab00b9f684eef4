"""The lines of a kubelet's journal that tell something, each once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_LINE = 240
_VARIES = re.compile(
    # What differs between two lines of the same message: klog's header, times, numbers, addresses.
    r"^[IWEF]\d{4} [\d:.]+ +\d+ |0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\d+(?:\.\d+)*(?:ms|µs|us|ns|s|m|h)?"
)
_LOUD = re.compile(r"^[EF]\d{4} |\b(?:error|fatal|panic|fail(?:ed|ure)?|refused)\b", re.IGNORECASE)


@dataclass(frozen=True)
class JournalLine:
    """A line, and how many lines of the same message there were."""

    text: str
    count: int = 1
    loud: bool = False
    """Whether it reports an error."""

    def __str__(self) -> str:
        return f"{self.text} ({self.count} times)" if self.count > 1 else self.text


def digest(journal: Iterable[str], most: int = 12) -> tuple[JournalLine, ...]:
    """Return the last ``most`` messages of a journal; lines that repeat become one, the latest."""
    last: dict[str, str] = {}
    counts: dict[str, int] = {}
    for line in journal:
        message = _VARIES.sub("#", line)
        last.pop(message, None)
        last[message] = line
        counts[message] = counts.get(message, 0) + 1
    kept: Sequence[str] = list(last)[-most:]
    return tuple(
        JournalLine(_short(last[one]), counts[one], bool(_LOUD.search(last[one]))) for one in kept
    )


def _short(line: str) -> str:
    return line if len(line) <= _LINE else f"{line[: _LINE - 1]}…"
