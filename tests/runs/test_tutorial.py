"""The tutorial, command by command, and what CI is told of its failing run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from tests.runs.conftest import Bench

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
FAILS = " # fails"


def blocks() -> Iterator[tuple[str, str]]:
    """Yield the commands of each block that a reader types, and the output that is shown for it."""
    found = re.findall(r"```(sh|text)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for (kind, text), (following, shown) in zip(found, [*found[1:], ("", "")], strict=True):
        if kind == "sh":
            yield text, shown if following == "text" else ""


def pattern(line: str) -> str:
    """Return a pattern for a line of output, whose numbers and widths may differ."""
    words = (re.escape(word) for word in line.split())
    return r"\s+".join(re.sub(r"\d+\\\.\d+|(?<=first\\-nodes\\-)\w+", r"[\\w.]+", w) for w in words)


def test_tutorial(bench: Bench) -> None:
    bench.environment["PATH"] = f"{Path(sys.executable).parent}:{bench.environment['PATH']}"
    here = bench.path / "here"
    here.write_text(str(bench.project))
    ran = []
    for commands, shown in blocks():
        for command in commands.splitlines():
            environment = dict(bench.environment)
            if command.startswith("pytest") and command.endswith(FAILS):
                environment |= {
                    "GITHUB_ACTIONS": "true",
                    "GITHUB_STEP_SUMMARY": str(bench.path / "summary.md"),
                    "PYTEST_ADDOPTS": "--junit-xml=junit.xml --kube-report=report",
                }
            done = subprocess.run(
                ["bash", "-c", f"cd {here.read_text()}\n{command}\ns=$?; pwd >{here}; exit $s"],
                env=environment,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            output = done.stdout + done.stderr
            assert (done.returncode != 0) == command.endswith(FAILS), f"{command}\n{output}"
            ran.append(command)
        for line in shown.splitlines():
            assert re.search(pattern(line), output), f"{line}\n{output}"
        if "GITHUB_ACTIONS" in environment:
            check_annotations(output)
    assert len(ran) >= 12, ran
    check_ci_files(Path(here.read_text().strip()), bench.path / "summary.md")


def check_annotations(output: str) -> None:
    lines = re.findall(r"^::error file=(\S+),line=(\d+),title=(.*?)::(.*)$", output, re.MULTILINE)
    assert [line[:3] for line in lines] == [
        ("test_nodes.py", "5", "test_nodes.py%3A%3Atest_kubelet_is_as_specified[worker01]"),
        ("test_nodes.py", "13", "test_nodes.py%3A%3Atest_worker_is_in_zone_a[worker01]"),
    ], output
    assert "does not match its spec: 2 differences%0A" in lines[0][3]


def check_ci_files(project: Path, summary: Path) -> None:
    text = summary.read_text()
    assert text.startswith("### ❌ kubecluster: 3 passed, 2 failed with hollow kubelets 1.30.0\n")
    assert "\n| provider | docker |\n" in text
    assert "<summary>worker01: kubelet is as specified</summary>" in text
    suite = ElementTree.parse(project / "junit.xml").getroot()[0]
    properties = {one.get("name"): one.get("value") for one in suite.findall("properties/*")}
    assert properties["kubecluster.kubelet"] == "hollow"
    assert properties["kubecluster.version"] == "1.30.0"
    assert properties["kubecluster.layout"] == "classic"
    nodes = [one.get("value") for one in suite.findall("testcase/properties/*[@name='node']")]
    assert nodes == ["master01", "master01", "worker01", "worker01", "worker01"]
    failures = project / "report" / "failures"
    names = sorted(path.name for path in failures.iterdir())
    assert names == [
        "test_nodes.py-test_kubelet_is_as_specified-worker01",
        "test_nodes.py-test_worker_is_in_zone_a-worker01",
    ]
    facts = failures / names[0] / "worker01.txt"
    assert "+  --node-labels=zone=b" in facts.read_text()
    assert facts.stat().st_mode & 0o777 == 0o600
