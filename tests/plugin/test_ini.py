"""The keys of a configuration file with the types that TOML has."""

from __future__ import annotations

import pytest

from pytest_kubecluster.cluster.config import Settings
from pytest_kubecluster.plugin.settings import read_settings

NATIVE = tuple(map(int, pytest.__version__.split(".")[:2])) >= (9, 0)
pytestmark = pytest.mark.skipif(not NATIVE, reason="pytest reads [tool.pytest] from 9.0 on")


def settings(pytester: pytest.Pytester, toml: str, *args: str) -> Settings:
    pytester.makepyprojecttoml(f"[tool.pytest]\n{toml}\n")
    return read_settings(pytester.parseconfig(*args))


def test_numbers_lists_and_booleans(pytester: pytest.Pytester) -> None:
    found = settings(
        pytester,
        """
        kube_masters = 1
        kube_workers = "2"
        kube_timeout = 12.5
        kube_tolerate = ["swap", "cgroup-v1"]
        kube_roles = ["edge*=worker", "lb*=none"]
        kube_disturb = true
        kube_reuse = true
        """,
    )
    assert (found.masters, found.workers, found.timeout) == (1, 2, 12.5)
    assert found.tolerate == {"swap", "cgroup-v1"}
    assert [pattern for pattern, _ in found.roles.pairs] == ["edge*", "lb*"]
    assert found.disturb
    assert found.reuse == ""


def test_words_and_false(pytester: pytest.Pytester) -> None:
    found = settings(
        pytester, 'kube_disturb = "no"\nkube_reuse = false\nkube_tolerate = "swap,cgroup-v1"'
    )
    assert not found.disturb
    assert found.reuse is None
    assert found.tolerate == {"swap", "cgroup-v1"}


def test_file_of_pytests_own(pytester: pytest.Pytester) -> None:
    pytester.makefile(".toml", pytest="[pytest]\nkube_masters = 2\n")
    assert read_settings(pytester.parseconfig()).masters == 2


def test_option_wins(pytester: pytest.Pytester) -> None:
    assert settings(pytester, "kube_masters = 5", "--kube-masters=1").masters == 1
    assert settings(pytester, "kube_masters = 5", "-o", "kube_masters=4").masters == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("kube_masters = [1, 2]", r"ini key kube_masters: must be one value \(N\), not a list"),
        ("kube_masters = true", "ini key kube_masters: must be N, not true"),
        ("kube_masters = {}", "ini key kube_masters: must be a value, not a table"),
        ("kube_hyperkube = 1.30", "ini key kube_hyperkube: must be text, since the number 1.3 may"),
        ("kube_tolerate = ['noise']", "ini key kube_tolerate: invalid choice 'noise'"),
    ],
)
def test_wrong_type_is_refused(line: str, message: str, pytester: pytest.Pytester) -> None:
    with pytest.raises(pytest.UsageError, match=message):
        settings(pytester, line)
