"""The projects in examples/, copied as a user would, with the plugin installed from its wheel."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from pytest_kubecluster.machines.docker.image import ensure_image
from pytest_kubecluster.util.paths import cache_folder
from pytest_kubecluster.util.process import Commands
from tests.runs.conftest import NOTHING, Bench, docker, passed

CHECKOUT = Path(__file__).parents[2]
SUITE = (".", "--pyargs", "pytest_kubecluster.conformance")
# Kills and reboots take half a minute.
QUICK = ("-k", "not test_recovery", "-rs")

Example = Callable[[str], Bench]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a virtual environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(CHECKOUT)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    home = folder / "venv"
    venv.create(home, with_pip=True)
    python = str(home / "bin" / "python")
    ask = [python, "-I", "-c"]
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.check_output([*ask, code], text=True).strip())
    # The dependencies are this environment's; the plugin is the wheel's, which comes first.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    code = "import pytest_kubecluster.util.resources as it; print(it.__file__, it.provisioning())"
    module, data = subprocess.check_output([*ask, code], text=True).split()
    assert Path(module) == site / "pytest_kubecluster" / "util" / "resources.py"
    assert Path(data) == site / "pytest_kubecluster" / "provisioning"
    assert (Path(data) / "image" / "node-init").stat().st_mode & 0o111
    return home / "bin"


@pytest.fixture
def example(bench: Bench, installed: Path) -> Example:
    """Copy an example into the bench, to a folder with a blank in its path."""

    def copy(name: str) -> Bench:
        bench.project = bench.path / "my projects" / bench.project.name
        # What runs by hand left in the checkout is not the example's.
        left = shutil.ignore_patterns(".vagrant", "tls", "kubeconfig.j2", "__pycache__", ".*_cache")
        shutil.copytree(CHECKOUT / "examples" / name, bench.project, ignore=left)
        bench.pytest = [str(installed / "python"), "-I", "-m", "pytest"]
        bench.options = ["--kube-cluster"]
        # In a separate virtual environment, Ansible's programs are in the same folder.
        path = [str(installed), sysconfig.get_path("scripts"), bench.environment["PATH"]]
        bench.environment["PATH"] = ":".join(path)
        return bench

    return copy


def test_article(example: Example) -> None:
    bench = example("article")
    status, output = bench.run(*SUITE, *QUICK)
    assert status == 0, output
    assert "kubecluster: 3 masters, 1 worker on docker" in output
    assert passed(output) >= 180
    assert "site-packages/pytest_kubecluster/conformance/test_files.py" in output


def test_own_vagrantfile(example: Example, tmp_path: Path) -> None:
    bench = example("own-vagrantfile")
    commands = Commands(tmp_path)
    bench.environment["VAGRANT_HOME"] = str(tmp_path / "vagrant")
    bench.environment["NODE_IMAGE"] = ensure_image("plain", commands, cache_folder(), print)
    validate = ["vagrant", "validate", "--ignore-provider"]
    subprocess.run(
        validate, cwd=bench.project, env=bench.environment, check=True, capture_output=True
    )
    status, output = bench.run()
    assert status == 0, output
    for line in (
        r"kubecluster: 1 master, 1 worker of .*/my projects/\S+, hyperkube v1\.30\.0, kubelet hollow",
        r"kubecluster: boot +\S+ s  2 machines booted, 0 up already",
        r"kubecluster: provision +\S+ s  12 changes on 2 nodes",
        r"kubecluster: destroy +\S+ s  2 machines removed",
        r"= 6 passed in",
    ):
        assert re.search(line, output), f"{line}\n{output}"
    key = bench.project / ".vagrant" / "id_ed25519"
    assert key.stat().st_mode & 0o077 == 0
    # Vagrant names containers after the project's folder.
    assert docker("ps", "--all", "--quiet", "--filter", f"name={bench.project.name}") == []


@pytest.fixture
def machines(example: Example, installed: Path) -> Iterator[tuple[Bench, IPv4Network]]:
    """Machines that are what the example of an inventory wants, and their network."""
    bench = example("inventory")
    folder = bench.path / "machines"
    folder.mkdir()
    wanted = (bench.project / "kubecluster.toml").read_text()
    (folder / "kubecluster.toml").write_text(f"masters = 1\nworkers = 2\n{wanted}")

    def kubecluster(*words: str) -> str:
        argv = [str(installed / "kubecluster"), *words]
        return subprocess.check_output(argv, cwd=folder, env=bench.environment, text=True)

    kubecluster("up", bench.project.name)
    try:
        (cluster,) = json.loads(kubecluster("list", "--json"))
        yield bench, IPv4Network(cluster["network"])
    finally:
        kubecluster("destroy", bench.project.name)
        assert bench.left() == NOTHING


def test_inventory(machines: tuple[Bench, IPv4Network]) -> None:
    bench, network = machines
    keys = bench.state / "kubecluster" / "clusters" / bench.project.name / "ssh"
    replace(
        bench.project / "inventory.ini",
        {
            "192.0.2.11": str(network[101]),
            "192.0.2.21": str(network[201]),
            "192.0.2.22": str(network[202]),
            "10.0.0.22": str(network[202]),
        },
    )
    hosts = bench.project / "group_vars" / "all.yml"
    replace(hosts, {"~/.ssh/id_ed25519": str(keys / "id_ed25519")})

    status, output = bench.run(*SUITE)
    assert status == 1
    assert "master01 cannot be reached over ssh: Host key verification failed" in output
    assert "ansible_ssh_common_args: -o StrictHostKeyChecking=accept-new" in output

    known = f"-o UserKnownHostsFile={keys / 'known_hosts'}"
    replace(
        hosts,
        {"# ansible_ssh_common_args: -J jump.example.org": f"ansible_ssh_common_args: {known}"},
    )
    status, output = bench.run(*SUITE, "-rs")
    assert status == 0, output
    for line in (
        r"kubecluster: 1 master, 2 workers of .*/inventory\.ini, hyperkube v1\.30\.0, kubelet as found",
        r"kubecluster: leave +\S+ s  the machines are left as they were",
        r"SKIPPED \[12\] .*disturbs a machine that this run did not boot",
    ):
        assert re.search(line, output), f"{line}\n{output}"
    assert passed(output) >= 108

    # A difference is reported for the machine that has it.
    replace(bench.project / "kubecluster.toml", {"10.32.0.10": "10.32.0.11"})
    status, output = bench.run(*SUITE, "-k", "worker02")
    assert status == 1
    assert re.search(r"^E .*10\.32\.0\.11 .*10\.32\.0\.10", output, re.MULTILINE), output


def replace(path: Path, texts: dict[str, str]) -> None:
    text = path.read_text()
    for old, new in texts.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def test_article_with_fewer_masters(example: Example) -> None:
    bench = example("article")
    status, output = bench.run("--kube-masters=1", *QUICK)
    assert status == 0, output
    assert passed(output) == 14
