"""What is installed: one executable file, made of the program and the facts of one version."""

from __future__ import annotations

import ast
import io
import json
import re
import signal
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_kubecluster.kubelet.archive import SHEBANG
from pytest_kubecluster.kubelet.hollow import hollow_facts, render_hollow
from pytest_kubecluster.util.resources import provisioning
from tests.unit.kubelet.hollow.support import (
    NUMBERS,
    SECONDS,
    VERSION,
    Kubelet,
    Pki,
    Start,
    version_of,
)

MODULES = sorted((provisioning() / "hollow").glob("**/*.py"))
PACKED_LIBRARY = {"yaml"}


def test_facts_of_one_version_are_packed(program: Path) -> None:
    with zipfile.ZipFile(program) as archive:
        facts = json.loads(archive.read("hollow_common/facts.json"))
    assert facts == json.loads(json.dumps(hollow_facts(VERSION)))
    assert facts["git_version"] == "v1.7.5+coreos.1"


def test_every_module_is_packed(program: Path) -> None:
    with zipfile.ZipFile(program) as archive:
        names = set(archive.namelist())
    assert "__main__.py" in names
    programs = {"hollow_kubelet", "hollow_common"}
    packed = [path for path in MODULES if path.parent.name in programs and path.stem != "__main__"]
    assert {f"{path.parent.name}/{path.name}" for path in packed} < names
    assert "yaml/LICENSE" in names
    assert "yaml/representer.py" not in names, "it only reads"


def test_same_input_gives_the_same_bytes() -> None:
    assert render_hollow(VERSION) == render_hollow(VERSION)
    with zipfile.ZipFile(io.BytesIO(render_hollow(VERSION))) as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_is_written_for_python_3_9(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 9))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_imports_the_standard_library_and_pyyaml_only(path: Path) -> None:
    imported = {
        str(node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert imported <= sys.stdlib_module_names | PACKED_LIBRARY | {
        path.parent.name,
        "hollow_common",
    }


def test_runs_without_installed_packages(program: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(program), "kubelet", "--version"],
        capture_output=True, text=True, timeout=SECONDS, check=True,
    )  # fmt: skip
    assert done.stdout == "Kubernetes v1.7.5+coreos.1+hollow\n"


def test_runs_with_the_python_its_first_line_names(tmp_path: Path) -> None:
    program = tmp_path / "hyperkube"
    named = render_hollow(VERSION).replace(SHEBANG, f"#!{sys.executable} -I\n".encode(), 1)
    program.write_bytes(named)
    program.chmod(0o755)
    done = subprocess.run(
        [str(program), "kubelet", "--version"],
        capture_output=True, text=True, timeout=SECONDS, env={}, check=True,
    )  # fmt: skip
    assert done.stdout == "Kubernetes v1.7.5+coreos.1+hollow\n"


def test_is_smaller_than_a_quarter_of_a_megabyte(programs: Callable[[int], Path]) -> None:
    for number in NUMBERS:
        assert programs(number).stat().st_size < 256 * 1024
    assert render_hollow(version_of(7)) != render_hollow(version_of(8))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_with_status_1_when_terminated(start: Start, number: signal.Signals) -> None:
    kubelet = start().wait_healthy()
    kubelet.process.send_signal(number)
    assert kubelet.wait_ended() == 1, "dockershim's signal handler in the real kubelet does so"


def test_process_is_named_hyperkube(article_kubelet: Kubelet) -> None:
    proc = Path(f"/proc/{article_kubelet.process.pid}")
    assert (proc / "comm").read_text() == "hyperkube\n"
    words = (proc / "cmdline").read_text().rstrip("\0").split("\0")
    assert words[1:] == article_kubelet.command[1:]


def test_process_is_small_and_has_no_children(article_kubelet: Kubelet) -> None:
    proc = Path(f"/proc/{article_kubelet.process.pid}")
    resident = re.search(r"^VmRSS:\s+(\d+) kB", (proc / "status").read_text(), re.MULTILINE)
    assert resident
    assert int(resident[1]) < 40 * 1024
    children = [path.read_text() for path in proc.glob("task/*/children")]
    assert "".join(children) == ""


def test_creates_its_folders(article_kubelet: Kubelet) -> None:
    root = article_kubelet.log_file.parent / "root"
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in root.iterdir()} == {
        "pods": 0o750,
        "plugins": 0o750,
    }


def test_no_secret_is_logged(article_kubelet: Kubelet, pki: Pki) -> None:
    key = pki.client.data()[1]
    for secret in (key, key[:40], "PRIVATE KEY"):
        assert secret not in article_kubelet.log
