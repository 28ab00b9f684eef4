"""What the kubecluster command does without a machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.plugin.support import command


def modes(folder: Path, *names: str) -> list[str]:
    return [f"{(folder / name).stat().st_mode & 0o777:o}" for name in names]


def test_render_leaves_a_folder_that_is_there_open_to_others(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o755)
    (tmp_path / "shared" / "mine").write_text("mine\n")
    status, output = command(tmp_path, "render", "shared", "--kube-workers=0", "--kube-masters=1")
    assert status == 0, output
    assert f"{tmp_path}/shared/master01/kubelet.service" in output
    names = (".", "mine", "pki", "master01", "master01/kubeconfig")
    assert modes(tmp_path / "shared", *names) == ["755", "644", "700", "700", "600"]
    command(tmp_path, "render", "new", "--kube-workers=0", "--kube-masters=1")
    assert modes(tmp_path, "new") == ["700"]


def test_render_names_a_path_that_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, output = command(tmp_path, "render", "file")
    assert (status, output) == (1, f"kubecluster: {tmp_path}/file cannot be created: File exists\n")


def test_invalid_arguments_are_usage_errors(tmp_path: Path) -> None:
    for words, message in (
        (("spec", "--json", "--from", "worker01"), "not allowed with argument"),
        (("explain", "worker09", "v"), "there is no node worker09; there are master01"),
        (("explain", "worker01", "vv"), "kubelet 1.7.5 has no flag --vv; did you mean --v?"),
        (("explain", "maxpods", "--kube-hyperkube=1.30.0"), "did you mean --max-pods?"),
        (("explain", "a", "b", "c"), "explain takes a setting, or a node and a setting"),
        (("spec", "worker01"), "unrecognized arguments: worker01"),
        (("doctor", "--kube-masters=1", "now"), "unrecognized arguments: now"),
        (("render", ""), "argument DIR: it is empty; write . for the current folder"),
    ):
        status, output = command(tmp_path, *words)
        assert (status, message in output) == (2, True), output


def test_empty_name_is_not_the_last_cluster(tmp_path: Path) -> None:
    for name in ("destroy", "status", "cis"):
        status, output = command(tmp_path, name, "")
        assert (status, "'' is not a cluster name" in output) == (1, True), output


def test_folder_that_was_removed_is_named(tmp_path: Path) -> None:
    script = f'mkdir gone; cd gone; rmdir ../gone; "{sys.executable}" -m pytest_kubecluster "$0"'
    for name in ("spec", "status"):
        done = subprocess.run(
            ["sh", "-c", script, name], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert done.stderr == (
            "kubecluster: the current folder cannot be used: No such file or directory\n"
        )


def test_version(tmp_path: Path) -> None:
    assert command(tmp_path, "--version") == (0, f"kubecluster {version('pytest-kubecluster')}\n")


def test_status_without_a_cluster_explains_how_to_boot_one(tmp_path: Path) -> None:
    status, output = command(tmp_path, "status", XDG_STATE_HOME=str(tmp_path / "state"))
    assert status == 1
    assert "no cluster is kept for this folder" in output
    assert "boot one with: kubecluster up" in output


def test_list_without_a_cluster(tmp_path: Path) -> None:
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    assert command(tmp_path, "list", **state) == (0, "no clusters\n")
    assert command(tmp_path, "list", "--json", **state) == (0, "[]\n")


def test_ascii_terminal_shows_every_help(tmp_path: Path) -> None:
    for words in (["--help"], ["spec", "--help"], ["matrix", "--help"], ["up", "--help"]):
        status, output = command(tmp_path, *words, PYTHONIOENCODING="ascii", LC_ALL="C")
        assert status == 0, output
        assert output.isascii()


def test_closed_output_pipe_causes_no_traceback(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pytest_kubecluster", "spec"]
    process = subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


def test_warnings_of_the_project_that_are_errors_do_not_stop_the_command(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    status, output = command(tmp_path, "spec", "--json")
    assert status == 0, output
    assert "worker01" in json.loads(output)["nodes"]


def test_doctor_names_what_is_missing_and_what_brings_it(tmp_path: Path) -> None:
    status, output = command(tmp_path, "doctor", PATH=str(tmp_path))
    assert status == 1
    assert "for 3 masters, 1 worker on docker, with hollow kubelets:\n" in output
    assert re.search(r"^ok +Python +3\.", output, re.MULTILINE), output
    assert re.search(r"^missing +vagrant +vagrant is not on the PATH$", output, re.MULTILINE)
    assert "vagrant: install it: https://developer.hashicorp.com/vagrant/install\n" in output
    assert re.search(r"\n\d requirements are missing\n$", output)


def test_help_shows_the_options_of_pytest(tmp_path: Path) -> None:
    status, output = command(tmp_path, "up", "--help", COLUMNS="100")
    assert status == 0
    assert "--kube-masters N" in output
    assert "--kube-reuse [NAME]" in output
    assert "--kube-masters" not in command(tmp_path, "gc", "--help")[1]


def test_explain_shows_what_a_setting_may_be(tmp_path: Path) -> None:
    status, output = command(tmp_path, "explain", "maxPods", "--kube-hyperkube=1.30.0")
    assert status == 0
    assert output.splitlines() == [
        "maxPods of kubelet 1.30.0",
        "  type:                a whole number (int32)",
        "  values:              0 or more",
        "  default:             110; an explicit zero in the configuration file means this default",
        "  flag:                --max-pods, deprecated",
        "  configuration field: maxPods",
    ]


def test_explain_shows_where_a_nodes_value_comes_from(tmp_path: Path) -> None:
    text = 'version = "1.30.0"\n[kubelet.settings]\nshutdownGracePeriod = "30s"\n'
    (tmp_path / "kubecluster.toml").write_text(text)
    status, output = command(tmp_path, "explain", "worker01", "shutdownGracePeriod")
    assert status == 0
    assert "  30s, set by kubecluster.toml [kubelet]" in output.splitlines()
    assert "  it is in /etc/kubernetes/kubelet.yaml" in output.splitlines()


@pytest.mark.parametrize("where", ["[kubelet.settings]", "[role.worker.settings]"])
def test_value_that_the_version_refuses_is_an_error_of_its_file(tmp_path: Path, where: str) -> None:
    text = f'version = "1.30.0"\n{where}\nimageGCLowThresholdPercent = 90\n'
    (tmp_path / "kubecluster.toml").write_text(text)
    status, output = command(tmp_path, "spec")
    assert status == 2
    assert "90 must be less than imageGCHighThresholdPercent" in output
    assert "imageGCLowThresholdPercent in kubecluster.toml" in output
    assert "Traceback" not in output
