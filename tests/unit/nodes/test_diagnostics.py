from __future__ import annotations

from dataclasses import replace

from pytest_kubecluster.nodes.diagnostics import FileDiff, NodeFacts, facts_text
from pytest_kubecluster.nodes.journal import JournalLine
from pytest_kubecluster.nodes.verdict.difference import Difference, Evidence

FLAG = Difference("--max-pods", "110", "50", Evidence.PROCESS)
MODE = Difference("/etc/x mode", "0600", "0644", Evidence.FILES)
UNIT = Difference("unit ActiveState", "active", "failed", Evidence.SYSTEMD)
GOOD = NodeFacts(
    "worker01",
    unit="active (running), enabled, 0 restarts, result success",
    argv=("kubelet", "--max-pods=50"),
    journal=(JournalLine("it was refused", 3),),
)


def test_node_as_specified_has_nothing_to_say() -> None:
    assert facts_text(GOOD) == ""


def test_differences_come_first() -> None:
    lines = facts_text(replace(GOOD, differences=(FLAG,))).splitlines()
    assert [line.split() for line in lines] == [
        ["expected", "actual"],
        ["--max-pods", "110", "50"],
        ["argv:", "kubelet", "--max-pods=50"],
    ]


def test_files_bring_their_diff_and_no_command_line() -> None:
    facts = replace(GOOD, differences=(MODE,), diffs=(FileDiff("/etc/y", ("-a", "+b")),))
    text = facts_text(facts)
    assert "diff of /etc/y, expected and actual:\n  -a\n  +b" in text
    assert "argv:" not in text
    assert "journal" not in text


def test_unit_that_failed_brings_systemds_account_and_the_journal() -> None:
    text = facts_text(replace(GOOD, differences=(UNIT,), healthy=False))
    assert "unit:  active (running), enabled, 0 restarts" in text
    assert text.endswith("journal:\n  it was refused (3 times)")


def test_kubelet_that_restarted_is_told_although_it_is_as_specified() -> None:
    assert facts_text(replace(GOOD, healthy=False)).startswith("unit:  active")


def test_what_the_failure_shows_is_not_repeated() -> None:
    facts = replace(GOOD, differences=(FLAG,), healthy=False)
    shown = facts_text(facts) + "it was refused"
    assert facts_text(facts, shown).splitlines()[0].startswith("unit:")
    assert "journal" not in facts_text(facts, shown)
    problem = NodeFacts("worker01", problem="it does not answer")
    assert facts_text(problem) == "it does not answer"
    assert facts_text(problem, "Error: it does not answer") == ""


def test_account_of_the_api_server_is_shown_where_it_bears_on_the_failure() -> None:
    ready = replace(GOOD, registered=("Ready=True, MemoryPressure=False", "event: Starting"))
    assert facts_text(ready) == ""
    assert "API server: Ready=True" in facts_text(ready, "Node object worker01 version 1.7.5")
    assert "API server: Ready=True" in facts_text(replace(ready, differences=(FLAG,)))
    gone = replace(GOOD, registered=("Ready=Unknown: NodeStatusUnknown",))
    assert facts_text(gone) == "API server: Ready=Unknown: NodeStatusUnknown"
