"""Installed, but not asked for: the plugin does nothing, and is not noticed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_suite_that_knows_nothing_of_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = pytester.path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    pytester.makepyfile("def test_it(): pass\n")
    result = pytester.runpytest_subprocess("-Werror", "--strict-markers", "--strict-config")
    result.assert_outcomes(passed=1)
    # The list of installed plugins is pytest's own line.
    said = [line for line in result.outlines if not line.startswith(("plugins:", "rootdir:"))]
    assert not any("kube" in line for line in said)
    assert not state.exists()


def test_invalid_ini_value_is_ignored_without_a_cluster(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nkube_masters = several\n")
    pytester.makepyfile("def test_it(): pass\n")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_what_needs_a_cluster_is_skipped_with_the_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_node(kube_node): assert False
        def test_all(kube_nodes, kube_masters, kube_workers): assert False
        def test_cluster(kube_cluster): assert False
        def test_spec(kube_spec): assert len(kube_spec.nodes) == 4
        """
    )
    result = pytester.runpytest_subprocess("-rs")
    result.assert_outcomes(passed=1, skipped=6)
    result.stdout.fnmatch_lines(["SKIPPED*needs a cluster: run with --kube-cluster"])


@pytest.mark.parametrize("own", ["kube_vagrantfile = .", "kube_inventory = hosts"])
def test_own_machines_are_not_asked_for(own: str, pytester: pytest.Pytester) -> None:
    pytester.makeini(f"[pytest]\n{own}\n")
    pytester.makepyfile("def test_node(kube_node, kube_worker): assert False")
    # Neither is there: whoever reads one fails.
    result = pytester.runpytest_subprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*needs a cluster: run with --kube-cluster"])
    assert pytester.runpytest_subprocess("--kube-cluster").ret == pytest.ExitCode.USAGE_ERROR


def test_items_are_named_after_their_nodes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_node(kube_node): ...
        def test_master(kube_master): ...
        def test_worker(kube_worker): ...
        """
    )
    result = pytester.runpytest("--collect-only", "-q", "--kube-masters=2", "--kube-workers=1")
    names = {line.partition("::")[2] for line in result.outlines if "::" in line}
    assert names == {
        *(f"test_node[{node}]" for node in ("master01", "master02", "worker01")),
        *(f"test_master[{node}]" for node in ("master01", "master02")),
        "test_worker[worker01]",
    }


def test_master_only_cluster_has_no_worker_items(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_worker(kube_worker): ...\n")
    result = pytester.runpytest("--kube-workers=0", "-rs")
    result.assert_outcomes(skipped=1)


def test_disruptive_tests_come_last(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.kube_disruptive
        def test_a(): ...
        def test_b(): ...
        """
    )
    result = pytester.runpytest_subprocess("--collect-only", "-q", "--strict-markers")
    order = [line.partition("::")[2] for line in result.outlines if "::" in line]
    assert order == ["test_b", "test_a"]


def test_hook_changes_the_spec(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        def pytest_kubecluster_spec(config, spec):
            return spec.with_flags({"v": "4"}, role="worker")
        """
    )
    pytester.makepyfile(
        """
        def test_spec(kube_spec, kube_files):
            assert kube_spec["worker01"].kubelet.flags["v"] == "4"
            assert "v" not in kube_spec["master01"].kubelet.flags
            assert b"--v=4" in kube_files["worker01"]["kubelet.service"]
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_hook_that_asks_for_the_impossible(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        def pytest_kubecluster_spec(config, spec):
            return spec.with_flags({"fail-swap-on": "false"}, node="master02")
        """
    )
    pytester.makepyfile("def test_spec(kube_spec): ...\n")
    result = pytester.runpytest_subprocess("--kube-cluster")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*master02: kubelet 1.7.5 has no flag --fail-swap-on*"])


def test_certificates_without_a_cluster_leave_no_trace(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from pathlib import Path
        def test_pki(kube_pki):
            assert kube_pki.ca_key_path.exists()
            Path("where").write_text(str(kube_pki.directory))
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    assert not Path((pytester.path / "where").read_text()).exists()


def test_works_without_xdist(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_spec(kube_spec): assert kube_spec\n")
    pytester.runpytest_subprocess("-p", "no:xdist").assert_outcomes(passed=1)


def test_plugin_imports_little() -> None:
    code = "import sys, pytest_kubecluster.plugin; print(*sorted(sys.modules))"
    modules = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    heavy = {"cryptography", "jinja2", "rich", "testinfra", "vagrant", "psutil", "yaml", "xdist"}
    assert heavy.isdisjoint(modules)
    ours = {name.removeprefix("pytest_kubecluster.") for name in modules if "kubecluster." in name}
    assert ours == {
        "cluster",
        "cluster.sources",
        "errors",
        "plugin",
        "plugin.fixtures",
        "plugin.items",
        "plugin.options",
        "plugin.parsing",
        "plugin.session",
        "spec",
        "spec.defaults",
        "spec.version",
        "util",
        "util.paths",
    }


@pytest.mark.parametrize("options", [[], ["-n2"]])
def test_no_warning_with_xdist(options: list[str], pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_spec(kube_spec): assert kube_spec\n")
    result = pytester.runpytest_subprocess("-Werror", *options)
    result.assert_outcomes(passed=1)
