"""A user's own playbook, run on the booted nodes instead of the bundled one."""

from __future__ import annotations

import base64
import re
import shutil
import tarfile
import textwrap
from pathlib import Path

import pytest

from tests.runs.conftest import NOTHING, Bench

ARTICLE = Path(__file__).parents[2] / "examples" / "article"
SUITE = ("--pyargs", "pytest_kubecluster.conformance", "-m", "not kube_disruptive")


def test_suite_reports_the_articles_unsafe_modes(bench: Bench) -> None:
    shutil.copytree(ARTICLE / "provisioning", bench.project / "provisioning")
    bench.options = ["--kube-cluster", "--kube-playbook=provisioning/playbook.yml"]
    status, output = bench.run(*SUITE, "-k", "readable_by_root_only", "--kube-workers=0")
    assert status == 1, output
    assert "ca_key_is_readable_by_root_only[master01]" in output
    assert re.search(r"ca\.key mode +readable by root only +0644", output)


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
def test_invalid_playbook_boots_nothing(text: str | None, message: str, bench: Bench) -> None:
    if text is not None:
        bench.write("own.yml", text)
    status, output = bench.run("--kube-playbook=own.yml")
    assert status == pytest.ExitCode.USAGE_ERROR, output
    assert "--kube-playbook" in output
    assert message in output
    assert not bench.state.exists()


def test_playbook_that_installs_no_kubelet_is_explained(bench: Bench) -> None:
    bench.write("own.yml", "- hosts: all\n  gather_facts: false\n  tasks: []\n")
    bench.write("test_it.py", "def test_it(kube_node): pass\n")
    status, output = bench.run("--kube-playbook=own.yml")
    assert status == 1, output
    assert "master01: the kubelet has no unit: kubelet.service was not found" in output
    assert bench.left() == NOTHING


TALKATIVE_CONFIGURATION = """
    [defaults]
    verbosity = 3
    force_color = true
    callback_result_format = yaml
    stdout_callback = default
    log_path = everything.log
    [diff]
    always = true
    context = 1000
"""
TALKATIVE_PLAYBOOK = """
    - name: Copy what the kubelet reads
      hosts: all
      become: true
      diff: true
      tasks:
        - name: Make sure the directory is present
          ansible.builtin.file: {path: /etc/kubernetes, state: directory, mode: "0755"}
        - name: Copy
          ansible.builtin.copy:
            src: "{{ item.value }}"
            dest: "/etc/kubernetes/{{ item.key }}"
            mode: "0600"
          loop: "{{ kube_files | dict2items }}"
        - name: Install the CA's key by its content
          ansible.builtin.copy:
            content: "{{ lookup('file', kube_pki.ca_key) }}"
            dest: /etc/kubernetes/other.key
            mode: "0600"
        - name: Read a key
          ansible.builtin.slurp: {src: /etc/kubernetes/kubeconfig}
          register: read
        - name: Show keys
          ansible.builtin.debug: {msg: "{{ [read, lookup('file', kube_files.kubeconfig)] }}"}
        - name: Copy a secret of the user's
          ansible.builtin.copy:
            content: "token: canary-of-a-token\n"
            dest: /etc/kubernetes/token
            mode: "0600"
        - name: Collect every key of this run, outside of the project
          ansible.builtin.shell: >-
            grep --recursive --files-with-matches --null '^-----BEGIN .*PRIVATE KEY' {state} |
            xargs --null --replace sh -c 'cat "$1"; printf "\\0"' sh {} >{seen}
          delegate_to: localhost
          become: false
        - name: Fail with a key
          ansible.builtin.fail: {msg: "{{ lookup('file', kube_pki.kubelet_key) }}"}
"""


def parts_of_key(key: str) -> list[str]:
    """What must not be found of a key: each line, and its base64 in pieces."""
    encoded = base64.b64encode(key.encode()).decode()
    lines = [line for line in key.splitlines() if len(line) > 40 and "-----" not in line]
    return lines + [encoded[start : start + 40] for start in range(40, len(encoded) - 40, 40)]


def test_no_secret_is_shown_whatever_a_playbook_prints(bench: Bench) -> None:
    bench.write("ansible.cfg", textwrap.dedent(TALKATIVE_CONFIGURATION))
    seen = bench.path / "seen"
    playbook = TALKATIVE_PLAYBOOK.replace("{state}", str(bench.state)).replace("{seen}", str(seen))
    bench.write("own.yml", textwrap.dedent(playbook))
    bench.write("test_it.py", "def test_it(kube_node): pass\n")
    status, output = bench.run("--kube-playbook=own.yml", "--kube-report=report", "-vv")
    assert status == 1, output
    assert "task: Fail with a key" in output
    keys = seen.read_text().split("\0")
    assert len(keys) >= 3, "the CA's, the kubelet's, and the one that logs in"
    logs = [path for path in bench.state.rglob("*.log") if path.is_file()]
    reports = [path for path in bench.project.rglob("*") if path.is_file()]
    assert any("Copy what the kubelet reads" in path.read_text() for path in logs)
    assert (bench.project / "report" / "ansible.log").exists()
    assert not (bench.project / "everything.log").exists()
    for path, text in [*((path, path.read_text()) for path in (*logs, *reports)), ("", output)]:
        flat = "".join(text.split())
        assert "canary-of-a-token" not in flat or path == bench.project / "own.yml"
        for key in keys:
            assert not [part for part in parts_of_key(key) if part in flat], path
    for path in (
        *logs,
        *(path for path in reports if path.is_relative_to(bench.project / "report")),
    ):
        if path.name in ("ansible.log", "report.json"):
            assert path.stat().st_mode & 0o077 == 0, path
    assert (bench.project / "report").stat().st_mode & 0o077 == 0


def test_deadline_names_the_task_that_was_running(bench: Bench) -> None:
    wait = "- hosts: all\n  gather_facts: false\n  tasks:\n"
    wait += "    - name: Wait for a load balancer\n      ansible.builtin.command: sleep 600\n"
    bench.write("own.yml", wait)
    bench.write("test_it.py", "def test_it(kube_node): pass\n")
    status, output = bench.run("--kube-playbook=own.yml", "--kube-timeout=30")
    assert status == 1, output
    assert "provisioning took longer than" in output
    assert "task that was running: Wait for a load balancer" in output
    assert "on: master01" in output
    assert bench.left() == NOTHING


def test_second_run_that_changes_something_names_the_task(bench: Bench) -> None:
    """The breakage of the check of idempotence: a task that always changes something."""
    bench.options = ["--kube-cluster", "--kube-workers=0", "--kube-masters=1", "--kube-reuse"]
    suite = ("--pyargs", "pytest_kubecluster.idempotence")
    status, output = bench.run(*suite)
    assert status == 0, output
    playbook = bench.project / "own.yml"
    tasks = """
    - hosts: masters
      become: true
      roles: [noisy]
    """
    playbook.write_text(textwrap.dedent(tasks))
    role = bench.project / "made" / "noisy" / "tasks"
    role.mkdir(parents=True)
    (role / "main.yml").write_text("- name: Say the time\n  shell: date >/run/now\n")
    with tarfile.open(bench.project / "noisy.tar.gz", "w:gz") as archive:
        meta = bench.project / "made" / "noisy" / "meta"
        meta.mkdir()
        (meta / "main.yml").write_text("galaxy_info: {author: a, description: d, license: MIT}\n")
        archive.add(bench.project / "made" / "noisy", "noisy")
    shutil.rmtree(bench.project / "made")
    (bench.project / "requirements.yml").write_text("- {src: noisy.tar.gz, name: noisy}\n")
    status, output = bench.run(*suite, "--kube-playbook=own.yml", "--kube-keep=never")
    assert status == 1, output
    assert "a second run of the playbook changes:" in output
    assert re.search(r"^E +master01: (noisy : )?Say the time$", output, re.MULTILINE), output
