from __future__ import annotations

from dataclasses import replace

from pytest_kubecluster.report.results import OWN, Result
from pytest_kubecluster.report.summary import first_failures, node_table
from tests.unit.report.reports import DOMAIN, run


def test_table_of_nodes_and_evidence() -> None:
    results = [
        *run(checks=3).results,
        Result("test_mine", "master01", "skipped", "no", group=OWN),
        Result("test_new", "worker01", "passed", group="news"),
        Result("test_whole", "", "failed", group=OWN),
    ]
    assert node_table(results, ["master01", "worker01"]) == [
        "node      files          systemd  process  own tests       news",
        "master01  ok             ok       ok       not applicable  not run",
        "worker01  1 of 1 failed  ok       ok       not run         ok",
    ]


def test_no_table_without_a_test_of_a_node() -> None:
    assert node_table([Result("test_whole", "", "passed")], ["master01"]) == []


def test_of_many_nodes_those_that_pass_are_one_line() -> None:
    report = run(3, 40, checks=1, failing=("worker07",))
    assert node_table(report.results, [node.name for node in report.nodes])[1:] == [
        "worker07     1 of 1 failed",
        "and 42 more  ok",
    ]


def test_first_failure_of_each_node() -> None:
    missing = replace(DOMAIN, actual=None)
    results = [
        Result("test_ok", "master01", "passed"),
        Result("test_port", "worker01", "failed", "no answer", group="ports"),
        Result(
            "test_domain", "worker01", "failed", "x", group="process", differences=(missing, DOMAIN)
        ),
        Result("test_later", "worker01", "failed", "later"),
        Result("test_both", "worker02,worker03", "failed", "\n  assert 1 == 2\nmore" + "x" * 200),
    ]
    nodes = ["master01", "worker01", "worker02", "worker03"]
    assert list(first_failures(results, nodes)) == [
        "worker01: domain: --cluster-domain is absent, expected cluster.local (and 1 more)",
        "worker02: both: assert 1 == 2",
        "worker03: both: assert 1 == 2",
    ]
