from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.kubelet.hollow.support import (
    FAILS,
    LOCKED,
    NUMBERS,
    Ended,
    Run,
    needed,
    run_program,
    start_error,
)


@pytest.mark.parametrize(
    "words", [["--version"], ["kubelet", "--version"], ["kubelet", "word", "--version"]]
)
def test_version_ends_in_hollow(program: Path, words: list[str]) -> None:
    done = run_program(program, *words)
    assert (done.returncode, done.stdout) == (0, "Kubernetes v1.7.5+coreos.1+hollow\n")


def test_raw_version(program: Path) -> None:
    done = run_program(program, "kubelet", "--version=raw")
    assert done.returncode == 0
    assert done.stdout.startswith(
        'version.Info{Major:"1", Minor:"7+", GitVersion:"v1.7.5+coreos.1+hollow", GitCommit:""'
    )


def test_runs_as_kubelet_by_the_name_kubelet(program: Path, tmp_path: Path) -> None:
    link = tmp_path / "kubelet"
    link.symlink_to(program)
    assert run_program(link, "--version").stdout == "Kubernetes v1.7.5+coreos.1+hollow\n"
    assert run_program(link, "--nope").stderr.startswith("Error: unknown flag: --nope\n")


def test_help(program: Path) -> None:
    done = run_program(program, "kubelet", "--help")
    assert done.returncode == 0
    assert re.search(r"^      --cadvisor-port int32 +\(default 4194\)$", done.stderr, re.MULTILINE)
    assert re.search(r"^  -v, --v Level$", done.stderr, re.MULTILINE)
    assert "--api-servers" not in done.stderr, "help hides what is deprecated"
    assert "--experimental-dockershim" not in done.stderr


def test_help_of_hyperkube(program: Path) -> None:
    done = run_program(program, "--help")
    assert done.returncode == 0
    assert "hyperkube <server> [flags]" in done.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "no server specified"),
        (["nope"], "Server not found: nope"),
        (["--address=1.2.3.4", "kubelet"], "unknown flag: --address"),
        (
            ["--v=x", "kubelet"],
            'invalid argument "x" for --v=x: strconv.Atoi: parsing "x": invalid syntax',
        ),
    ],
)
def test_hyperkube_refuses(program: Path, words: list[str], problem: str) -> None:
    done = run_program(program, *words)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {problem}\n")
    assert done.stderr.endswith(f"Error: {problem}\n")


def test_a_refusal_is_printed_twice_with_the_usage_between(program: Path) -> None:
    done = run_program(program, "kubelet", "--no-such-flag")
    assert (done.returncode, done.stdout) == (1, "")
    first, usage, last = done.stderr.partition("\n\n")[0], done.stderr, done.stderr.splitlines()[-1]
    assert first == last == "Error: unknown flag: --no-such-flag"
    assert "\nAvailable Flags:\n" in usage


def test_a_taint_without_effect_panics_like_the_real_kubelet(program: Path) -> None:
    done = run_program(program, "kubelet", "--register-with-taints=a=b")
    assert done.returncode == 2
    assert done.stderr.startswith("panic: runtime error: index out of range")


def test_deprecated_flags_warn_and_go_on(program: Path) -> None:
    done = run_program(program, "kubelet", "--register-schedulable=true", "--version")
    assert done.returncode == 0
    assert done.stderr == (
        "Flag --register-schedulable has been deprecated, will be removed in a future version\n"
    )


def test_an_error_at_the_start_is_printed_twice(program: Path) -> None:
    status, lines = start_error(program, "--require-kubeconfig", "--kubeconfig=/nonexist")
    problem = "invalid kubeconfig: stat /nonexist: no such file or directory"
    assert status == 1
    assert lines[-2:] == [f"Error: failed to run Kubelet: {problem}"] * 2


@pytest.mark.parametrize("number", NUMBERS)
def test_version_and_help(run: Run, number: int) -> None:
    assert run(number, "--version") == Ended(0, f"Kubernetes v1.{number}.0+hollow\n", "")
    shown = run(number, "--help")
    assert shown.status == 0
    text, other = (shown.out, shown.err) if number >= 10 else (shown.err, shown.out)
    assert other == ""
    assert re.search(r"^      --node-ip string$", text, re.MULTILINE)
    assert ("(DEPRECATED: This parameter" in text) == (number >= 10)


def said(number: int, parsed: str) -> tuple[int, str]:
    """The exit status and message of a minor for a problem with its command line."""
    if number < 10:
        return 1, f"Error: {parsed}"
    if number < 21:
        return 255, parsed
    if number < 24:
        return 1, f'"Failed to parse kubelet flag" err="{parsed}"'
    if number < 25:
        return 1, f"Error: failed to parse kubelet flag: {parsed}"
    return 1, f'"command failed" err="failed to parse kubelet flag: {parsed}"'


@pytest.mark.parametrize("number", NUMBERS)
def test_an_unknown_flag(run: Run, number: int) -> None:
    ended = run(number, "--nope")
    assert (ended.status, ended.problem) == said(number, "unknown flag: --nope")
    assert ended.out == ""
    assert ("Flags:\n" in ended.err) == (number < 25), "usage is shown with the error"


@pytest.mark.parametrize("number", NUMBERS)
def test_positional_arguments(run: Run, number: int) -> None:
    ended = run(number, *needed(number), FAILS, "word")
    if number < 11:
        assert LOCKED in ended.problem
    elif number < 21:
        assert (ended.status, ended.problem) == (255, "unknown command: word")
    elif number < 24:
        assert (ended.status, ended.problem) == (1, '"Unknown command" command="word"')
    else:
        assert ended.status == 1
        assert "unknown command word" in ended.problem


@pytest.mark.parametrize("number", NUMBERS)
def test_a_failure_of_the_kubelet_itself(run: Run, number: int) -> None:
    problem = f"failed to run Kubelet: {LOCKED}"
    escaped = problem.replace('"', '\\"')
    ended = run(number, *needed(number), FAILS)
    if number < 10:
        assert (ended.status, ended.problem) == (1, f"Error: {problem}")
    elif number < 21:
        assert (ended.status, ended.problem) == (255, problem)
    elif number < 24:
        assert (ended.status, ended.problem) == (1, f'"Failed to run kubelet" err="{escaped}"')
    elif number < 25:
        assert (ended.status, ended.problem) == (1, f"Error: {problem}")
    else:
        assert (ended.status, ended.problem) == (1, f'"command failed" err="{escaped}"')


@pytest.mark.parametrize("number", [9, 10, 16])
def test_launched_as_hyperkube_or_by_its_own_name(programs: Any, number: int) -> None:
    link = programs(number).with_name("kubelet")
    link.symlink_to(programs(number))
    for words in ([programs(number), "kubelet", "--version"], [link, "--version"]):
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
        assert done.stdout == f"Kubernetes v1.{number}.0+hollow\n"


def test_hyperkube_of_1_10(run: Run) -> None:
    nope = 'unknown command "nope" for "hyperkube"'
    assert run(10, "nope", name="hyperkube") == Ended(
        1, "", f"Error: {nope}\nRun 'hyperkube --help' for usage.\n{nope}\n"
    )
    assert run(10, name="hyperkube").status == 1
    assert run(10, "--help", name="hyperkube").status == 0
    assert run(10, "--v=2", "kubelet", "--version", name="hyperkube").out.startswith("Kubernetes v")
    assert run(10, "--nope", name="hyperkube").err.startswith("Error: unknown flag: --nope\n")
