from __future__ import annotations

import re

import pytest
from hollow_common.errors import Refusal
from hollow_common.labels import check_labels
from hollow_common.taints import parse_taints

from tests.unit.kubelet.hollow.support import FAILS, LOCKED, NUMBERS, Play, Run, needed

MASTER = "--node-labels=node-role.kubernetes.io/master="
UNKNOWN = "unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: "


@pytest.mark.parametrize("number", NUMBERS)
def test_labels_in_the_domain_of_kubernetes(run: Run, number: int) -> None:
    ended = run(number, *needed(number), FAILS, MASTER)
    refused = UNKNOWN + "[node-role.kubernetes.io/master]"
    assert (refused in ended.problem) == (number >= 16)
    assert (LOCKED.replace('"', "") in ended.problem.replace('\\"', "").replace('"', "")) == (
        number < 16
    )
    warned = re.findall(r"^W.*in (1\.\d+), --node-labels", ended.err, re.MULTILINE)
    assert set(warned) == {13: {"1.15"}, 14: {"1.16"}, 15: {"1.16"}}.get(number, set())


@pytest.mark.parametrize(
    ("label", "first_refusing", "last_refusing"),
    [
        ("kubernetes.io/role=x", 16, 36),
        ("foo.k8s.io/x=y", 16, 36),
        ("topology.kubernetes.io/zone=a", 16, 16),
        ("failure-domain.kubernetes.io/zone=a", 17, 36),
        ("node.kubernetes.io/x=y", 37, 36),
        ("a.kubelet.kubernetes.io/x=y", 37, 36),
        ("kubernetes.io/hostname=x", 37, 36),
        ("mykubernetes.io/x=y", 37, 36),
        ("x=-", 25, 36),
        ("a/b/c=x", 25, 36),
    ],
)
def test_refused_labels(play: Play, label: str, first_refusing: int, last_refusing: int) -> None:
    key, _, value = label.partition("=")
    for number in NUMBERS:
        play(number)
        refused = False
        try:
            check_labels({key: value})
        except Refusal:
            refused = True
        assert refused == (first_refusing <= number <= last_refusing), number


@pytest.mark.parametrize("number", NUMBERS)
def test_taints_need_no_value_from_1_15_on(play: Play, number: int) -> None:
    play(number)
    for spec in ("a=:NoSchedule", "a=b:NoSchedule"):
        assert parse_taints(spec)[0]["key"] == "a"
    if number >= 15:
        assert parse_taints("a:NoSchedule") == [{"key": "a", "effect": "NoSchedule"}]
    else:
        with pytest.raises(ValueError, match=r"^invalid taint spec: a:NoSchedule$"):
            parse_taints("a:NoSchedule")
    if 15 <= number < 23:
        assert parse_taints("a") == [{"key": "a", "effect": ""}]
    else:
        with pytest.raises(ValueError, match=r"^invalid taint spec: a$"):
            parse_taints("a")
