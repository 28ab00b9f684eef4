"""The plugin follows pytest's own conventions for options, ini keys, paths and hooks."""

from __future__ import annotations

import os
from pathlib import Path
from textwrap import dedent

import pytest

from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.plugin.options import bind_bare_options
from pytest_kubecluster.plugin.settings import read_settings

PLAYBOOK = "- hosts: all\n"
NEEDS_NODE = "def test_it(kube_node): assert kube_node\n"


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "state"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text))
    return path


# ------------------------------------------------------------------------------------------- paths


def test_paths_of_options_start_where_pytest_was_started(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\n")
    playbook = write(pytester.path / "sub" / "site.yml", PLAYBOOK)
    monkeypatch.chdir(playbook.parent)
    config = pytester.parseconfig("--kube-playbook=site.yml", "--kube-report=report")
    assert config.rootpath == pytester.path
    settings = read_settings(config)
    assert (settings.playbook, settings.report) == (playbook, playbook.with_name("report"))


def test_paths_of_ini_keys_start_at_the_ini_file(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\nkube_playbook = site.yml\nkube_report = report\n")
    playbook = write(pytester.path / "site.yml", PLAYBOOK)
    monkeypatch.chdir(pytester.mkdir("sub"))
    settings = read_settings(pytester.parseconfig())
    assert (settings.playbook, settings.report) == (playbook, pytester.path / "report")


@pytest.mark.parametrize("start", [".", "sub", "sub/deeper"])
def test_spec_file_is_found_upwards(
    start: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(pytester.path / "kubecluster.toml", "masters = 2\n")
    # An ini file in between does not end the search.
    write(pytester.path / "sub" / "pytest.ini", "[pytest]\n")
    (pytester.path / "sub" / "deeper").mkdir()
    monkeypatch.chdir(pytester.path / start)
    assert read_settings(pytester.parseconfig()).masters == 2


def test_nearest_spec_file_counts(pytester: pytest.Pytester) -> None:
    write(pytester.path / "kubecluster.toml", "masters = 2\n")
    write(pytester.path / "sub" / "kubecluster.toml", "masters = 3\n")
    write(pytester.path / "sub" / "test_it.py", "")
    assert read_settings(pytester.parseconfig("sub/test_it.py")).masters == 3
    assert read_settings(pytester.parseconfig("sub/test_it.py::test_it")).masters == 3
    assert read_settings(pytester.parseconfig()).masters == 2


# ------------------------------------------------------------------------------- ini keys and options


@pytest.mark.parametrize("text", ["true", "True", "1", "on", "yes"])
def test_ini_booleans_are_true_as_pytest_reads_them(text: str, pytester: pytest.Pytester) -> None:
    pytester.makeini(f"[pytest]\nkube_disturb = {text}\nkube_provision = {text}\n")
    settings = read_settings(pytester.parseconfig())
    assert (settings.disturb, settings.provision) == (True, True)


@pytest.mark.parametrize("text", ["false", "0", "off", "no"])
def test_ini_booleans_are_false_as_pytest_reads_them(text: str, pytester: pytest.Pytester) -> None:
    pytester.makeini(
        f"[pytest]\nkube_disturb = {text}\nkube_inventory = hosts\nkube_provision = {text}\n"
    )
    settings = read_settings(pytester.parseconfig())
    assert (settings.disturb, settings.provision) == (False, False)


def test_ini_boolean_that_is_neither_is_named(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nkube_disturb = maybe\n")
    with pytest.raises(pytest.UsageError, match="ini key kube_disturb: "):
        read_settings(pytester.parseconfig())


def test_empty_ini_keys_set_nothing(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nkube_masters =\nkube_reuse =\nkube_box =\n")
    settings = read_settings(pytester.parseconfig())
    assert (settings.masters, settings.reuse, settings.box) == (3, None, None)


@pytest.mark.parametrize("flag", ["--kube-reuse", "--kube-provision", "--kube-disturb"])
def test_option_with_an_optional_value_leaves_a_test_path_alone(
    flag: str, pytester: pytest.Pytester
) -> None:
    write(pytester.path / "tests" / "conftest.py", "seen = True\n")
    write(pytester.path / "tests" / "test_it.py", "def test_it(): pass\n")
    write(pytester.path / "test_other.py", "def test_other(): assert False\n")
    config = pytester.parseconfig("--kube-cluster", flag, "tests/")
    assert config.args == ["tests/"]
    # The conftest.py there is an initial one.
    assert config.pluginmanager.has_plugin(str(pytester.path / "tests" / "conftest.py"))
    pytester.runpytest(flag, "tests").assert_outcomes(passed=1)


def test_values_of_bare_options(pytester: pytest.Pytester) -> None:
    config = pytester.parseconfig("--kube-reuse", "--kube-disturb")
    settings = read_settings(config)
    assert (settings.reuse, settings.keep, settings.disturb) == ("", "always", True)
    settings = read_settings(pytester.parseconfig("--kube-reuse=mine", "--kube-disturb=no"))
    assert (settings.reuse, settings.disturb) == ("mine", False)
    assert read_settings(pytester.parseconfig()).reuse is None


def test_bare_options_behind_two_dashes_are_left_alone() -> None:
    args = ["--kube-reuse", "--", "--kube-reuse"]
    assert bind_bare_options(args)
    assert args == ["--kube-reuse=", "--", "--kube-reuse"]
    assert not bind_bare_options(["--kube-reuse=mine", "tests"])


def test_bare_option_in_addopts_leaves_a_test_path_alone(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\naddopts = --kube-reuse\n")
    write(pytester.path / "tests" / "test_it.py", "def test_it(): pass\n")
    config = pytester.parseconfig("tests")
    assert (config.args, read_settings(config).reuse) == (["tests"], "")


# ---------------------------------------------------------------------------- pytest's other switches


@pytest.mark.parametrize("option", ["--setup-plan", "--collect-only"])
@pytest.mark.parametrize("xdist", [[], ["-n1"]])
def test_nothing_boots_where_no_test_runs(
    option: str, xdist: list[str], pytester: pytest.Pytester, own_state: Path
) -> None:
    pytester.makepyfile(NEEDS_NODE)
    result = pytester.runpytest_subprocess("--kube-cluster", option, *xdist)
    assert result.ret == 0, result.stdout.str()
    assert not own_state.exists()


def test_works_without_a_terminal_reporter(pytester: pytest.Pytester, own_state: Path) -> None:
    pytester.makepyfile("def test_it(kube_spec): assert 'worker01' in kube_spec\n")
    result = pytester.runpytest_subprocess("--kube-cluster", "-p", "no:terminal")
    assert (result.ret, result.stdout.str(), result.stderr.str()) == (0, "", "")


def test_boot_error_without_a_terminal_reporter_goes_to_standard_error(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{pytester.path}/no.sock")
    pytester.makepyfile(NEEDS_NODE)
    result = pytester.runpytest_subprocess("--kube-cluster", "-p", "no:terminal")
    assert result.ret == 1
    assert "Docker does not answer" in result.stderr.str()
    assert "interrupted" not in result.stdout.str() + result.stderr.str()
    assert "Traceback (most" not in result.stdout.str() + result.stderr.str()


def test_interrupted_summary_ends_without_a_traceback(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_terminal_summary(): raise KeyboardInterrupt")
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest_subprocess("--kube-cluster")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    result.stderr.fnmatch_lines(["Exit: interrupted"])


def test_ascii_locale(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LC_ALL", "C"), ("PYTHONCOERCECLOCALE", "0"), ("PYTHONUTF8", "0")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{pytester.path}/no.sock")
    (pytester.path / "kubecluster.toml").write_text("# Grüße\nmasters = 1\n", encoding="utf-8")
    pytester.makepyfile(NEEDS_NODE)
    for args, status in ((["--help"], 0), (["--kube-cluster", "-v"], 1), (["--kube-cluster", "--kube-playbook=ü.yml"], 4)):  # fmt: skip
        result = pytester.runpytest_subprocess(*args)
        output = result.stdout.str() + result.stderr.str()
        assert result.ret == status, output
        assert "interrupted during" not in output
        assert "Traceback (most" not in output
        assert "UnicodeEncodeError" not in output


def test_disruptive_tests_come_last_whatever_other_plugins_do(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        def pytest_collection_modifyitems(items):
            items.reverse()
        """
    )
    pytester.makepyfile(
        """
        import pytest
        def test_a(): ...
        @pytest.mark.kube_disruptive
        def test_b(): ...
        """
    )
    result = pytester.runpytest("--collect-only", "-q")
    order = [line.partition("::")[2] for line in result.outlines if "::" in line]
    assert order == ["test_a", "test_b"]


# ------------------------------------------------------------------------------------------ the hook


def test_every_conftest_is_applied_the_nearest_last(pytester: pytest.Pytester) -> None:
    hook = """
        def pytest_kubecluster_spec(config, spec):
            return spec.with_flags({flags!r})
    """
    write(pytester.path / "conftest.py", hook.format(flags={"v": "1", "max-pods": "50"}))
    write(pytester.path / "sub" / "conftest.py", hook.format(flags={"v": "2"}))
    write(
        pytester.path / "sub" / "test_it.py",
        """
        def test_it(kube_spec):
            flags = kube_spec["worker01"].kubelet.flags
            assert (flags["v"], flags["max-pods"]) == ("2", "50")
        """,
    )
    pytester.runpytest_subprocess("sub").assert_outcomes(passed=1)


def test_hook_that_returns_nothing_leaves_the_spec(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_kubecluster_spec(spec): pass\n")
    pytester.makepyfile("def test_it(kube_spec): assert len(kube_spec.nodes) == 4\n")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 'a spec'", "returned str instead of a ClusterSpec or None"),
        ("return spec['nobody']", "raised UnknownNameError: there is no node 'nobody'"),
        ("raise RuntimeError('it broke')", "raised RuntimeError: it broke"),
    ],
)
def test_hook_that_fails_is_one_clear_message(
    body: str, message: str, pytester: pytest.Pytester, own_state: Path
) -> None:
    conftest = pytester.makeconftest(f"def pytest_kubecluster_spec(config, spec):\n    {body}\n")
    pytester.makepyfile(NEEDS_NODE)
    result = pytester.runpytest_subprocess("--kube-cluster")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"pytest_kubecluster_spec in {conftest} {message}" in result.stderr.str()
    assert "Traceback (most" not in result.stdout.str() + result.stderr.str()
    assert not own_state.exists()


def test_node_is_in_the_spec_by_its_name() -> None:
    spec = cluster_spec()
    assert "worker01" in spec
    assert spec["worker01"] in spec
    assert "worker09" not in spec
    assert 1 not in spec


# -------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "option",
    ["playbook", "inventory", "vagrantfile", "kubelet", "sudo-password", "python", "mirror"],
)
@pytest.mark.parametrize("name", ["~nosuchuser/x", "loop", "fifo", "/dev/zero", "nothing/here"])
def test_bad_paths_are_named_and_never_block(
    option: str, name: str, pytester: pytest.Pytester, own_state: Path
) -> None:
    (pytester.path / "loop").symlink_to("loop")
    os.mkfifo(pytester.path / "fifo")
    more = ["--kube-kubelet=download"] if option == "mirror" else []
    with pytest.raises(pytest.UsageError) as raised:
        pytester.parseconfigure("--kube-cluster", f"--kube-{option}={name}", *more)
    assert f"--kube-{option}: " in str(raised.value)
    assert len(str(raised.value).splitlines()) <= 2
    assert not own_state.exists()


@pytest.mark.parametrize("option", ["playbook", "kubelet", "sudo-password", "python"])
def test_folder_where_a_file_belongs(option: str, pytester: pytest.Pytester) -> None:
    pytester.mkdir("folder")
    with pytest.raises(pytest.UsageError, match=f"--kube-{option}: .*folder"):
        pytester.parseconfigure("--kube-cluster", f"--kube-{option}=folder")


@pytest.mark.parametrize("name", ["file", "file/below", "~nosuchuser/x", "loop", "/dev/null"])
def test_report_that_cannot_be_written_is_an_error_before_anything_boots(
    name: str, pytester: pytest.Pytester, own_state: Path
) -> None:
    (pytester.path / "file").touch()
    (pytester.path / "loop").symlink_to("loop")
    with pytest.raises(pytest.UsageError, match="--kube-report: "):
        pytester.parseconfigure("--kube-cluster", f"--kube-report={name}")
    assert not own_state.exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("masters=1000000000", "--kube-masters: invalid number 1000000000: must be at most 1000"),
        ("workers=16777216", "--kube-workers: invalid number 16777216: must be at most 1000"),
        ("masters=" + "9" * 5000, "must be at most 1000"),
        ("forks=0", "--kube-forks: invalid number 0: must be at least 1"),
        ("network=255.255.255.255/32", "240.0.0.0/4 is reserved for future use"),
        ("network=224.0.0.0/24", "224.0.0.0/4 is reserved for multicast"),
        ("network=0.0.0.0/8", "0.0.0.0/8 is reserved for this host"),
        ("network=127.0.0.0/8", "127.0.0.0/8 is reserved for loopback"),
        ("network=169.254.0.0/16", "169.254.0.0/16 is reserved for link-local addresses"),
        ("network=0.0.0.0/0", "is reserved"),
    ],
)
def test_impossible_numbers_and_networks(
    option: str, message: str, pytester: pytest.Pytester
) -> None:
    with pytest.raises(pytest.UsageError) as raised:
        read_settings(pytester.parseconfig(f"--kube-{option}"))
    assert message in str(raised.value)


def test_ci_is_told_why_a_cluster_did_not_boot(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = pytester.path / "summary.md"
    for name, value in {
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(summary),
        "XDG_STATE_HOME": str(pytester.path / "state"),
        "PATH": str(pytester.path),
    }.items():
        monkeypatch.setenv(name, value)
    pytester.makepyfile("def test_it(kube_node): ...\n")
    result = pytester.runpytest_subprocess("--kube-cluster", "--junit-xml=junit.xml")
    assert result.ret == 1
    (line,) = (line for line in result.outlines if line.startswith("::error "))
    assert line.startswith("::error title=kubecluster%3A the cluster cannot be used::this host")
    assert "%0A  - vagrant is not on the PATH" in line
    assert "### ❌ kubecluster: the cluster cannot be used" in summary.read_text()
    junit = (pytester.path / "junit.xml").read_text()
    assert '<property name="kubecluster.kubelet" value="hollow" />' in junit


def test_nothing_is_told_outside_of_github(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
    pytester.makepyfile("def test_it(kube_spec): assert 0\n")
    result = pytester.runpytest_subprocess("--kube-cluster")
    assert result.ret == 1
    assert "::error" not in result.stdout.str()
    assert not (pytester.path / "summary.md").exists()
