from __future__ import annotations

import pytest

from pytest_kubecluster.machines.existing.role_patterns import DEFAULT_ROLES, RolePatterns


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("master01", "master"),
        ("k8s-control-1", "master"),
        ("role=master", "master"),
        ("kube_control_plane", "master"),
        ("worker-a", "worker"),
        ("kube_node", "worker"),
        ("loadbalancer", None),
    ],
)
def test_default_patterns_fit_the_usual_names(name: str, role: str | None) -> None:
    assert RolePatterns.parse(DEFAULT_ROLES).role_of([name]) == role


def test_first_pattern_that_fits_any_of_the_names_counts() -> None:
    patterns = RolePatterns.parse("cp*=master, lb=none  *=worker")
    assert patterns.role_of(["a", "cp1"]) == "master"
    assert patterns.role_of(["lb"]) == "none"
    assert patterns.role_of(["anything"]) == "worker"
    assert RolePatterns.parse("role=master=worker").role_of(["role=master"]) == "worker"


@pytest.mark.parametrize("text", ["master", "=master", "cp*=boss", "a=master b"])
def test_words_that_give_no_role_are_named(text: str) -> None:
    with pytest.raises(ValueError, match="gives no machine a role; write it as PATTERN=ROLE"):
        RolePatterns.parse(text)
