"""A box as Container Linux is one: no Python, a read-only /usr, and a kubelet-wrapper in there."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from pytest_kubecluster.machines.docker.image import ensure_image
from pytest_kubecluster.util.paths import cache_folder
from pytest_kubecluster.util.process import Commands
from tests.runs.conftest import NOTHING, Bench

SUITE = ("--pyargs", "pytest_kubecluster.conformance", "-m", "not kube_disruptive")
BOX = r"""
FROM {image}
RUN dpkg --purge --force-depends $(dpkg-query -W -f '${{Package}}\n' '*python3*') >/dev/null \
 && rm -rf /usr/lib/python3* \
 && mkdir /usr/lib/coreos \
 && printf '%s\n' '#!/bin/sh' \
      'touch /run/box-wrapper' 'exec "/opt/hyperkube/$KUBELET_IMAGE_TAG/hyperkube" kubelet "$@"' \
      >/usr/lib/coreos/kubelet-wrapper \
 && printf '%s\n' '#!/bin/sh' \
      'mount --bind /usr /usr && mount -o remount,bind,ro /usr' 'exec /usr/local/sbin/node-init' \
      >/box-init \
 && chmod 0755 /box-init /usr/lib/coreos/kubelet-wrapper
CMD ["/box-init"]
"""
TARBALL = (
    "tar --create --directory=/usr --transform='s,^,python/,S'"
    " bin/python3 $(cd /usr && echo bin/python3.?? lib/python3.??) | gzip -1"
)

TESTS = """
import re

PYTHON = "/opt/python/bin/python3"

def test_box_has_what_it_is_tested_for(kube_node):
    assert not kube_node.host.exists("python3")
    assert kube_node.run("touch", "/usr/lib/coreos/x").rc != 0
    assert kube_node.host.file("/run/box-wrapper").exists
    assert not kube_node.host.file("/usr/lib/coreos/kubelet-wrapper").contains("rkt")

def test_all_python_programs_run_on_the_installed_python(kube_node):
    assert kube_node.access.python == PYTHON
    assert kube_node.kubelet.command_line.launcher[0] == PYTHON

def test_provisioning_again_changes_nothing(kube_cluster):
    assert kube_cluster.provision().changed == {}

def test_half_a_python_is_repaired(kube_node, kube_cluster):
    kube_node.run("sh", "-c", "rm -r /opt/python/lib/python3.*/json && mkdir /opt/python.fresh")
    assert kube_node.run(PYTHON, "-c", "import json").rc != 0
    assert kube_cluster.provision().changed == {kube_node.name: 1}
    assert kube_node.run(PYTHON, "-c", "import json").rc == 0
    assert kube_node.host.check_output("ls -d /opt/python*") == "/opt/python"
"""


@pytest.fixture(scope="session")
def node_image(tmp_path_factory: pytest.TempPathFactory) -> str:
    logs = tmp_path_factory.mktemp("logs")
    return ensure_image("plain", Commands(logs), cache_folder(), print)


@pytest.fixture(scope="session")
def box(node_image: str) -> str:
    """A Docker image, which Docker keeps for the next time."""
    recipe = BOX.format(image=node_image)
    name = f"kubecluster-test:box-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    argv = ["docker", "build", "--quiet", "--tag", name, "-"]
    subprocess.run(argv, input=recipe, text=True, check=True)
    return name


@pytest.fixture(scope="session")
def tarball(node_image: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python that the node image has, in the layout of python-build-standalone."""
    path = tmp_path_factory.mktemp("python") / "python.tar.gz"
    argv = ["docker", "run", "--rm", "--network=none", "--entrypoint=/bin/sh", node_image]
    with path.open("wb") as file:
        subprocess.run([*argv, "-c", TARBALL], stdout=file, check=True)
    return path


def test_bare_box_passes_with_an_installed_python(box: str, tarball: Path, bench: Bench) -> None:
    bench.write("test_box.py", TESTS)
    checksum = hashlib.sha256(tarball.read_bytes()).hexdigest()
    bench.options += [f"--kube-box={box}", f"--kube-python={tarball}"]
    bench.options += [f"--kube-python-checksum=sha256:{checksum}"]
    status, output = bench.run("test_box.py", *SUITE)
    assert status == 0, output
    assert "failed" not in output


def test_bare_box_without_python_is_explained(box: str, bench: Bench) -> None:
    bench.write("test_it.py", "def test_it(kube_node): pass\n")
    status, output = bench.run(f"--kube-box={box}")
    assert status == 1, output
    assert "master01 has no Python 3.9 or newer, which Ansible and the checks need" in output
    assert "--kube-python=TARBALL" in output
    assert "Traceback" not in output
    assert bench.left() == NOTHING


def test_image_that_is_not_there_boots_nothing(bench: Bench) -> None:
    bench.write("test_it.py", "def test_it(kube_node): pass\n")
    status, output = bench.run("--kube-box=no-such-image:1")
    assert status == 1, output
    assert "Docker has no image no-such-image:1 (--kube-box)" in output
    assert "booting" not in output
    assert bench.left() == NOTHING
