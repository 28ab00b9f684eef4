from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from pytest_kubecluster.report.data import CertificateSeen, Report
from pytest_kubecluster.report.page import as_page
from pytest_kubecluster.util.plain import from_plain, to_plain
from tests.unit.report.page_reader import Element, read_page
from tests.unit.report.reports import DAY, EVIL, START, run, with_evil_names


@pytest.fixture(scope="module")
def page() -> Element:
    return read_page(as_page(run()))


def test_headline(page: Element) -> None:
    assert [one.text for one in page.all("h1")] == ["1 of 6 checks failed on 1 of 2 nodes"]
    facts = {
        one.all("dt")[0].text: one.all("dd")[0].text
        for one in page.all("header")[0].all("div")
        if one.all("dt")
    }
    assert facts["nodes and checks"] == "2 nodes, 3 checks"
    assert facts["kubelet"] == "v1.7.5_coreos.1, hollow"
    assert facts["control plane"] == "none"
    assert facts["command"] == "pytest --kube-cluster"


@pytest.mark.parametrize(
    ("report", "headline", "shape"),
    [
        (run(failing=()), "All 6 checks pass on 2 nodes", "passed"),
        (replace(run(failing=()), results=()), "No check was run", "empty"),
        (replace(run(), results=()), "The run failed", "failed"),
        (replace(run(), results=(), about=replace(run().about, error="no Docker\n  start it")), "no Docker", "failed"),
        (replace(run(), about=replace(run().about, interrupted="boot (booting)")), "Interrupted during boot (booting); 1 of 6 checks failed on 1 of 2 nodes", "interrupted"),
        (replace(run(failing=()), about=replace(run().about, failed=True)), "All 6 checks pass on 2 nodes, but the run failed", "failed"),
    ],
)  # fmt: skip
def test_headlines_of_other_runs(report: Report, headline: str, shape: str) -> None:
    page = read_page(as_page(report))
    assert [one.text for one in page.all("h1")] == [headline]
    assert page.all("body")[0]["class"] == shape


def test_failures_come_first_and_lead_to_the_difference(page: Element) -> None:
    groups = page.id("checks").all("div", "group")
    assert [one.all("h3")[0].text for one in groups] == [
        "Files on disk 1 failed, 1 ok", "systemd 2 ok", "Process and settings 2 ok",
    ]  # fmt: skip
    (cell,) = page.id("checks").all("td", "f")
    failure = page.id(cell.all("a")[0]["href"].lstrip("#"))
    assert failure.tag == "details"
    assert "check 0 worker01 Files on disk" in failure.all("summary")[0].text
    (row,) = failure.all("table")[0].all("tbody")[0].all("tr")
    assert [one.text for one in row.children if isinstance(one, Element)] == [
        "--cluster-domain", "cluster. local", "cluster. example", "/etc/systemd/system/kubelet.service; running process",
    ]  # fmt: skip
    assert [one.text for one in row.all("del")] == ["local"]
    assert [one.text for one in row.all("ins")] == ["example"]
    argv = failure.all("code", "argv")[0]
    assert ([one.text for one in argv.all("del")], [one.text for one in argv.all("ins")]) == (
        ["cluster.local"],
        ["cluster.example"],
    )


def test_failures_that_explain_others_come_first_and_journals_once() -> None:
    report = run(checks=4, differing=4)
    failures = read_page(as_page(report)).id("failures").all("details", "failure")
    groups = [one.all("span", "of")[0].text for one in failures]
    assert groups == ["systemd", "Process and settings", "Files on disk", "The kubelet's ports"]
    assert [len(one.all("ol", "journal")) for one in failures] == [1, 0, 0, 0]
    (link,) = failures[3].all("a")
    assert link["href"] == f"#{failures[0]['id']}"


def test_nodes_show_their_facts(page: Element) -> None:
    node = page.id("node-worker01")
    assert "a check fails" in node.all("summary")[0].text
    assert "17 times E1125 10:11:12.1 1 x.go:1] connection refused" in node.all("ol")[0].text
    diff = node.all("figure", "diff")[0]
    assert [one.text for one in diff.all("del")] == ["-Restart=always"]
    assert "all its checks pass" in page.id("node-master01").all("summary")[0].text


def test_picture_has_every_node_and_its_api_server(page: Element) -> None:
    for picture in page.id("cluster").all("div", "picture"):
        machines = picture.all("g", "machine")
        assert [one.classes for one in machines] == [
            {"machine", "ok", "master"},
            {"machine", "failed", "worker"},
        ]
        assert "10.17.4.2" in machines[1].text
        assert picture.all("path", "wire")[0]["d"]
    assert "https://10.17.4.1:443: nothing answers there" in page.id("cluster").all("ul")[0].text


def test_picture_of_a_control_plane() -> None:
    report = run(2, 1)
    about = replace(report.about, control_plane="hollow, 1.30.0")
    page = read_page(as_page(replace(report, about=about)))
    assert "nothing answers there" not in page.id("cluster").text
    machines = page.id("cluster").all("div", "wide")[0].all("g", "machine")
    assert ["etcd and API server" in one.text for one in machines] == [True, True, False]


@pytest.mark.parametrize(
    ("taint", "shown"),
    [
        ("a=b:NoSchedule", "taint a=b:NoSchedule"),
        ("node-role.kubernetes.io/master=:NoSchedule", "taint …/master:NoSchedule"),
        ("node-role.kubernetes.io/control-plane=:NoSchedule", "…/control-plane:NoSchedule"),
        ("x" * 30 + "=:NoSchedule", "x" * 25 + "…"),
    ],
)
def test_long_taints_are_cut_where_they_tell_least(taint: str, shown: str) -> None:
    report = run(1, 0)
    node = replace(report.nodes[0], taints=(taint,), labels=())
    page = read_page(as_page(replace(report, nodes=(node,))))
    assert page.id("cluster").all("text", "more")[0].text == shown


def test_timeline_has_a_lane_for_the_run_and_for_each_node(page: Element) -> None:
    lanes = page.id("timeline").all("div", "lane")[1:]
    assert [one.all("span")[0].text for one in lanes] == ["phases", "master01", "worker01"]
    kinds = [bar["class"] for bar in lanes[2].all("rect")]
    assert (kinds[0], kinds[1], kinds[-1]) == ("b-boot", "b-provision", "b-test")
    assert "kubelet : task 0 (changed): 900 ms" in lanes[2].text


def test_certificates_are_a_tree(page: Element) -> None:
    (tree,) = [
        one
        for one in page.id("certificates").children
        if isinstance(one, Element) and one.tag == "ul"
    ]
    tops = [one for one in tree.children if isinstance(one, Element)]
    assert ["CN=kube-ca" in one.text for one in tops] == [True, False]
    assert "CN=kubelet server client" in tops[0].all("ul")[0].text
    assert "expired" in tops[1].text


def test_many_serving_certificates_are_asked_for() -> None:
    report = run(3, 1)
    own = [
        CertificateSeen(
            node.name,
            f"CN={node.name}",
            f"CN={node.name}",
            START,
            START + DAY,
            used={"serving certificate": (node.name,)},
        )
        for node in report.nodes
    ]
    section = read_page(as_page(replace(report, certificates=(*report.certificates, *own)))).id(
        "certificates"
    )
    (details,) = section.all("details")
    assert details.all("summary")[0].text == "4 serving certificates that no CA signed"
    assert "CN=worker01" in details.text
    assert "CN=kube-ca" not in details.text


def test_cis_checks_are_a_table_of_their_own(page: Element) -> None:
    section = page.id("cis")
    assert (
        "cis-1.1: 1 ok, 1 failed, 4 not judged (no part of this run's verdict"
        in section.all("summary")[0].text
    )
    rows = section.all("tbody")[0].all("tr")
    assert "2.1.2 No AlwaysAllow Set it to Webhook." in rows[0].text
    assert [one.text for one in rows[0].all("td")] == ["ok", "failed"]
    assert rows[2].all("small")[0].text == "waived: ours"
    failure = page.id(rows[0].all("a")[0]["href"][1:])
    assert [one.text for one in failure.all("ins")] == ["AlwaysAllow"]


def test_version_has_reasons(page: Element) -> None:
    assert (
        "--network-plugin is gone dockershim is gone KEP-2221 master01" in page.id("version").text
    )


def test_page_refers_to_no_other_file(page: Element) -> None:
    for element in page.all("*"):
        assert not {"src", "srcset", "data", "action", "poster"} & element.attributes.keys()
        assert (element["href"] or "#").startswith("#"), element["href"]
    assert not page.all("link")
    text = as_page(run())
    assert "url(" not in text
    assert "@import" not in text


def test_links_lead_somewhere_and_ids_are_unique(page: Element) -> None:
    ids = [one["id"] for one in page.all("*") if one["id"]]
    assert len(ids) == len(set(ids))
    targets = {one["href"][1:] for one in page.all("*") if one["href"]}
    targets |= {name for one in page.all("*") for name in one["aria-labelledby"].split()}
    assert targets <= set(ids)


def test_names_with_html_are_text() -> None:
    page = read_page(as_page(with_evil_names()))
    assert len(page.all("script")) == 1
    assert page.text.count(EVIL) > 20
    assert [
        one for one in page.all("*") if one.tag not in ("script",) and "alert" in one["onclick"]
    ] == []


def test_headings_do_not_skip_levels(page: Element) -> None:
    levels = [int(one.tag[1]) for one in page.all("*") if one.tag in ("h1", "h2", "h3", "h4", "h5")]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels


def test_table_heads_have_scopes(page: Element) -> None:
    assert {one["scope"] for one in page.all("th")} == {"row", "col"}


@pytest.mark.parametrize("failing", [1, 50])
def test_page_of_fifty_nodes_and_checks_stays_small(failing: int) -> None:
    names = tuple(f"worker{n:02}" for n in range(1, failing + 1))
    text = as_page(run(3, 50, checks=50, failing=names, differing=50))
    assert len(text.encode()) < 2_000_000
    page = read_page(text)
    assert len(page.id("checks").all("td", "f")) == 50 * failing
    assert len(page.id("failures").all("details", "failure")) == 50


def test_report_survives_json() -> None:
    report = with_evil_names()
    assert from_plain(Report, to_plain(report)) == report


def test_check_that_applies_nowhere_names_its_reason_once() -> None:
    report = run(failing=(), checks=1)
    skipped = tuple(
        replace(one, outcome="skipped", reason="no such thing") for one in report.results
    )
    row = (
        read_page(as_page(replace(report, results=skipped)))
        .id("checks")
        .all("tbody")[0]
        .all("tr")[0]
    )
    assert [one.text for one in row.all("td")] == ["not applicable"]
    assert row.all("th")[0].all("small")[0].text == "no such thing"


def test_check_that_applies_to_some_nodes_names_the_others() -> None:
    report = run(failing=(), checks=1)
    results = (
        replace(report.results[0], outcome="skipped", reason="no such thing"),
        report.results[1],
    )
    row = (
        read_page(as_page(replace(report, results=results)))
        .id("checks")
        .all("tbody")[0]
        .all("tr")[0]
    )
    assert [one.classes for one in row.all("td")] == [{"s"}, {"p"}]
    assert "Not applicable to master01: no such thing." in row.all("th")[0].text
