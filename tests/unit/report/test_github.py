"""What GitHub Actions is told, and the folders of failing tests, without a cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_kubecluster.report.data import About
from pytest_kubecluster.report.failures import folder_name, write_failure
from pytest_kubecluster.report.github import Annotation, step_summary
from pytest_kubecluster.report.results import Result

ABOUT = About("1 master", "1.30.0", "v1.30.0", "hollow", "docker", "classic")


def test_annotation_is_one_line_that_github_can_take_apart() -> None:
    one = Annotation("test_a.py::test_b[x,y]", "100% wrong:\r\n  expected, found\n", "a,b.py", 7)
    assert one.command() == (
        "::error file=a%2Cb.py,line=7,title=test_a.py%3A%3Atest_b[x%2Cy]::"
        "100%25 wrong:%0A  expected, found"
    )
    assert Annotation("boot", "no docker").command() == "::error title=boot::no docker"


def test_long_message_is_cut() -> None:
    command = Annotation("t", "\n".join(map(str, range(100)))).command()
    assert command.endswith("%0A19%0A… and 80 more lines")


def test_summary_shows_any_text_as_it_is() -> None:
    failure = Result("test_<b>", "master01", "failed", "a & b", text="```\n</pre>\n| x |")
    passed = Result("test_c", "master01", "passed")
    text = step_summary(replace(ABOUT, failed=True), "boot 1.0 s", [failure, passed], ["master01"])
    assert text.startswith("### ❌ kubecluster: 1 passed, 1 failed with hollow kubelets 1.30.0\n")
    assert "<summary>master01: &lt;b&gt;</summary>" in text
    assert "<pre>```\n&lt;/pre&gt;\n| x |</pre>" in text
    assert "master01  1 of 2 failed" in text


def test_summary_of_many_failures_stays_small() -> None:
    failures = [Result(f"test_{n}", "m", "failed", text="x" * 100_000) for n in range(300)]
    text = step_summary(replace(ABOUT, failed=True), "", failures, ["m"])
    assert len(text) < 200_000
    assert "… and 260 more" in text


def test_summary_of_a_cluster_that_did_not_boot() -> None:
    text = step_summary(replace(ABOUT, error="no Docker"), "", [], ["m"])
    assert text.startswith("### ❌ kubecluster: the cluster cannot be used\n")
    assert "<pre>no Docker</pre>" in text


@pytest.mark.parametrize(
    ("test", "name"),
    [
        ("test_a.py::test_b[worker01]", "test_a.py-test_b-worker01"),
        ("test_a.py::test_b[../../etc]", "test_a.py-test_b-..-..-etc"),
    ],
)
def test_folder_is_named_after_the_test(test: str, name: str) -> None:
    assert folder_name(test).startswith(name)
    assert "/" not in folder_name(test)


def test_folders_of_tests_differ() -> None:
    tests = ["a/test_x.py::test", "b/test_x.py::test", "test_x.py::test", "test_x.py::" + "é" * 300]
    names = [folder_name(test) for test in tests]
    assert len(set(names)) == 4
    assert max(map(len, names)) < 120


def test_failure_is_written_without_secrets_for_its_owner(tmp_path: Path) -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----"
    folder = write_failure(tmp_path / "report", "test_x.py::test", key, {"worker01": "unit: on"})
    assert "abc" not in (folder / "failure.txt").read_text()
    assert (folder / "worker01.txt").read_text() == "unit: on\n"
    assert {path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())} == {0}
