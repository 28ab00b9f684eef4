"""Times whole runs, several times each, and prints the numbers side by side.

    python tests/benchmark/run.py [REPEATS]

Nothing asserts a time: a machine has good days and bad ones.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time

from rich.console import Console
from rich.table import Table

CONFORMANCE = ["--pyargs", "pytest_kubecluster.conformance"]
RUNS = {
    "four nodes, all checks": [*CONFORMANCE],
    "four nodes, checks that only look": [*CONFORMANCE, "-m", "not kube_disruptive"],
    "one node, checks that only look": [
        *CONFORMANCE, "-m", "not kube_disruptive", "--kube-masters=1", "--kube-workers=0",
    ],
}  # fmt: skip
PHASES = ("boot", "provision", "start", "destroy")


def main(repeats: int = 3) -> None:
    """Run, and print medians in seconds."""
    table = Table("run", "whole", *PHASES, "the rest")
    for name, args in RUNS.items():
        timed = [timed_run(args) for _ in range(repeats)]
        medians = {key: statistics.median(one[key] for one in timed) for key in timed[0]}
        table.add_row(name, *(f"{medians[key]:.1f}" for key in ("whole", *PHASES, "rest")))
    Console().print(table)


def timed_run(args: list[str]) -> dict[str, float]:
    """Run pytest once and return its seconds, by phase."""
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--kube-cluster", *args]
    with tempfile.TemporaryDirectory(prefix="kubecluster-benchmark-") as folder:
        started = time.monotonic()
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
        whole = time.monotonic() - started
    if done.returncode != 0:
        sys.exit(done.stdout)
    found = {
        phase: float(match[1])
        for phase in PHASES
        if (match := re.search(rf"kubecluster: {phase} +([\d.]+) s", done.stdout))
    }
    return {**found, "whole": whole, "rest": whole - sum(found.values())}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
