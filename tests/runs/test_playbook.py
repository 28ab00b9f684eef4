"""Somebody's own playbook, run on the booted nodes instead of the bundled one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.runs.conftest import NOTHING, Bench

ARTICLE = Path(__file__).parents[2] / "examples" / "article"
SUITE = ("--pyargs", "pytest_kubecluster.conformance", "-m", "not kube_disruptive")


def test_suite_says_what_is_wrong_with_the_articles_modes(bench: Bench) -> None:
    shutil.copytree(ARTICLE / "provisioning", bench.project / "provisioning")
    bench.options = ["--kube-cluster", "--kube-playbook=provisioning/playbook.yml"]
    status, output = bench.run(*SUITE, "-k", "readable_by_root_only", "--kube-workers=0")
    assert status == 1, output
    assert "ca_key_is_readable_by_root_only[master01]" in output
    assert re.search(r"ca\.key mode +0600 .*0644", output)


INVENTORY = """
- hosts: masters
  gather_facts: false
  tasks:
    - assert:
        that:
          - role == "master"
          - groups["role=master"] == groups["masters"] == ["master01"]
          - groups["role=worker"] == groups["workers"] == []
          - private_ipv4 == public_ipv4 == kube_spec.nodes[inventory_hostname].address
          - kube_files.kubeconfig is file
          - kube_pki.ca_cert is file
    - fail: {msg: "so far, so good"}
"""


def test_inventory_has_what_a_playbook_asks_for_and_a_failure_names_the_task(bench: Bench) -> None:
    bench.write("own.yml", INVENTORY)
    bench.write("test_it.py", "def test_it(kube_node): pass\n")
    status, output = bench.run("--kube-playbook=own.yml")
    assert status == 1, output
    assert "provisioning failed on master01" in output
    assert "so far, so good" in output
    assert bench.left() == NOTHING


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "own.yml does not exist"),
        ("a: [", "own.yml is not valid YAML"),
        ("just: a mapping\n", "own.yml is not a playbook: it must be a list of plays with hosts"),
        ("- name: no hosts\n", "own.yml is not a playbook"),
        ("", "own.yml is not a playbook"),
    ],
)
def test_what_is_no_playbook_boots_nothing(text: str | None, message: str, bench: Bench) -> None:
    if text is not None:
        bench.write("own.yml", text)
    status, output = bench.run("--kube-playbook=own.yml")
    assert status == pytest.ExitCode.USAGE_ERROR, output
    assert "--kube-playbook" in output
    assert message in output
    assert not bench.state.exists()


def test_playbook_that_leaves_no_kubelet_says_so(bench: Bench) -> None:
    bench.write("own.yml", "- hosts: all\n  gather_facts: false\n  tasks: []\n")
    bench.write("test_it.py", "def test_it(kube_node): pass\n")
    status, output = bench.run("--kube-playbook=own.yml")
    assert status == 1, output
    assert "master01: the kubelet has no unit: kubelet.service was not found" in output
    assert bench.left() == NOTHING
