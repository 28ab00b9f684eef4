from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.spec.benchmarks import (
    Waiver,
    benchmark_for,
    benchmarks,
    check_waivers,
    waiver_of,
)
from pytest_kubecluster.spec.specfile import SpecFileError, find_spec_file
from pytest_kubecluster.spec.version import NEWEST, OLDEST, KubeVersion


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("1.7.5", "cis-1.1"),
        ("1.8.0", "cis-1.2"),
        ("1.10.13", "cis-1.2"),
        ("1.12.0", "cis-1.3"),
        ("1.14.0", "cis-1.4"),
        ("1.15.0", "cis-1.5"),
        ("1.18.0", "cis-1.6"),
        ("1.21.0", "cis-1.20"),
        ("1.23.0", "cis-1.23"),
        ("1.24.0", "cis-1.24"),
        ("1.25.0", "cis-1.7"),
        ("1.26.0", "cis-1.8"),
        ("1.27.0", "cis-1.9"),
        ("1.28.0", "cis-1.10"),
        ("1.31.0", "cis-1.11"),
        ("1.32.0", "cis-1.12"),
        ("1.36.0", "cis-1.12"),
    ],
)
def test_each_version_has_the_benchmark_of_kube_bench(version: str, name: str) -> None:
    assert benchmark_for(KubeVersion.parse(version)).name == name


def test_benchmarks_follow_each_other_without_a_gap() -> None:
    firsts = [one.first for one in benchmarks().values()]
    assert firsts == sorted(set(firsts))
    assert firsts[0] == OLDEST
    assert firsts[-1] <= NEWEST


@pytest.mark.parametrize("name", benchmarks())
def test_checks_are_numbered_and_each_says_what_it_looks_at(name: str) -> None:
    for number, check in benchmarks()[name].checks.items():
        looks_at = [check.file, check.settings, check.gate, check.unit, check.proxy]
        assert len(list(filter(None, looks_at))) == 1
        assert (check.id, check.benchmark) == (number, name)
        assert check.title
        assert check.remedy
        assert "{mode}" not in check.title + check.remedy


@pytest.mark.parametrize("name", benchmarks())
def test_a_name_is_one_check_of_a_benchmark(name: str) -> None:
    names = [check.name for check in benchmarks()[name].checks.values()]
    assert len(names) == len(set(names))


def test_numbers_of_a_check_differ_between_benchmarks_and_its_name_does_not() -> None:
    old, new = benchmarks()["cis-1.24"], benchmarks()["cis-1.7"]
    assert old.checks["4.2.6"].name == "protect-kernel-defaults"
    assert new.checks["4.2.6"].name == "make-iptables-util-chains"
    waiver = Waiver("make-iptables-util-chains", "ours")
    assert waiver_of(old.checks["4.2.7"], (waiver,)) == waiver
    assert waiver_of(new.checks["4.2.6"], (waiver,)) == waiver
    assert waiver_of(new.checks["4.2.7"], (waiver,)) is None


@pytest.mark.parametrize(
    ("waivers", "words"),
    [
        (["4.2.16"], ["cis-1.11", "no check 4.2.16", "4.2.1 to 4.2.15"]),
        (["2.1.9"], ["cis-1.11", "no check 2.1.9", "cis-1.1 (keep-terminated-pod-volumes)"]),
        (["hostname-overide"], ["no benchmark has", "did you mean hostname-override?"]),
        (["nothing"], ["no benchmark has", "numbers of cis-1.11 are 4.1.1 to 4.3.1"]),
        (["4.2.1", "anonymous-auth"], ["4.2.1 and anonymous-auth are the same check"]),
    ],
)
def test_waiver_of_a_check_that_there_is_not(waivers: list[str], words: list[str]) -> None:
    given = tuple(Waiver(one, "ours") for one in waivers)
    with pytest.raises(ValueError, match="check") as raised:
        check_waivers(given, KubeVersion(1, 30, 0))
    for word in words:
        assert word in str(raised.value)


def test_name_of_another_benchmark_is_no_mistake() -> None:
    check_waivers((Waiver("protect-kernel-defaults", "ours"),), KubeVersion(1, 30, 0))


def spec_file(folder: Path, text: str) -> list[str]:
    (folder / "kubecluster.toml").write_text(text)
    file = find_spec_file(folder)
    list(file.steps(cluster_spec(1, 1, version=KubeVersion(1, 30, 0))))
    return [f"{one.check}: {one.reason}" for one in file.waivers]


def test_waivers_of_a_spec_file(tmp_path: Path) -> None:
    text = '[cis.waivers]\n"4.2.6" = "the CNI needs it"\nhostname-override = "Vagrant names them"\n'
    assert spec_file(tmp_path, text) == [
        "4.2.6: the CNI needs it",
        "hostname-override: Vagrant names them",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '[cis.waivers]\n"4.2.6" = ""\n',
            "cis.waivers: 4.2.6: invalid value '' (must be the reason)",
        ),
        ('[cis.waivers]\n"4.2.6" = true\n', "4.2.6: invalid value True (must be the reason)"),
        ('[cis.waivers]\n4.2.6 = "why"\n', "a number has to be quoted"),
        ('[cis.waivers]\n"4.2.99" = "why"\n', "cis.waivers: 4.2.99: cis-1.11"),
        ('[cis]\nwaiver = "4"\n', "unknown key cis.waiver; known are waivers"),
        ("cis = 4\n", "cis must be a table"),
    ],
)
def test_waivers_that_are_wrong(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SpecFileError) as raised:
        spec_file(tmp_path, text)
    assert words in str(raised.value)
