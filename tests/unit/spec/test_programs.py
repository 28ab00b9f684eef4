"""The collected flags of a control plane's programs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pytest_kubecluster.spec import programs
from pytest_kubecluster.spec.catalog import MINORS
from pytest_kubecluster.spec.control_plane import COMPONENTS
from pytest_kubecluster.spec.programs import program_flags
from pytest_kubecluster.spec.version import NEWEST, OLDEST

DATA = json.loads((Path(programs.__file__).parent / "data" / "control-plane.json").read_text())


@pytest.mark.parametrize(
    ("program", "flag", "first", "last"),
    [
        ("kube-apiserver", "portal-net", OLDEST, 8),
        ("kube-apiserver", "experimental-bootstrap-token-auth", OLDEST, 8),
        ("kube-apiserver", "enable-bootstrap-token-auth", 8, NEWEST),
        ("kube-apiserver", "audit-webhook-mode", OLDEST, NEWEST),
        ("kube-apiserver", "insecure-port", OLDEST, 23),
        ("kube-apiserver", "service-account-issuer", 10, NEWEST),
        ("kube-apiserver", "oidc-client-id", OLDEST, NEWEST),
        ("kube-apiserver", "logtostderr", OLDEST, 25),
        ("kube-apiserver", "v", OLDEST, NEWEST),
        ("kube-controller-manager", "cluster-signing-duration", 19, NEWEST),
        ("kube-controller-manager", "authentication-kubeconfig", 12, NEWEST),
        ("kube-scheduler", "authentication-kubeconfig", 13, NEWEST),
        ("kube-scheduler", "policy-config-file", OLDEST, 22),
    ],
)
def test_minors_that_have_a_flag(program: str, flag: str, first: int, last: int) -> None:
    having = [n for n in range(OLDEST, NEWEST + 1) if flag in program_flags(program, n)]
    assert having == list(range(first, last + 1))


def test_deprecations_are_those_of_the_minor() -> None:
    assert program_flags("kube-apiserver", 9)["insecure-port"].deprecated is None
    assert program_flags("kube-apiserver", 20)["insecure-port"].deprecated == (
        "This flag has no effect now and will be removed in v1.24."
    )


def test_every_minor_names_its_source() -> None:
    assert list(DATA["sources"]) == list(MINORS)
    for minor in range(OLDEST, NEWEST + 1):
        assert re.fullmatch(r"[\w-]+/\w+ \S+|1\.\d+ and 1\.\d+", programs.source(minor))


def test_what_no_source_tells_is_marked_and_taken_for_there() -> None:
    assert list(DATA["unsure"]) == ["1.22"]
    for program in COMPONENTS:
        unsure = DATA["unsure"]["1.22"][program]
        before, after = program_flags(program, 21), program_flags(program, 23)
        assert set(unsure) == (before.keys() ^ after.keys()) & set(unsure)
        assert set(unsure) <= program_flags(program, 22).keys()
