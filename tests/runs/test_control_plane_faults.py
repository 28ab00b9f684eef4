"""Control planes that do not come up: the run says why, at once, and leaves nothing."""

from __future__ import annotations

import re
import time

import pytest

from tests.runs.conftest import NOTHING, Bench

PLAYBOOK = """
- hosts: masters
  become: true
  gather_facts: false
  tasks:
    - ansible.builtin.shell: {fault}
"""
SQUATTER = (
    "systemctl stop {unit}; systemd-run --unit=squatter python3 -m http.server {port}; sleep 1; "
    "systemctl start {unit}"
)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        pytest.param(
            SQUATTER.format(unit="etcd", port=2379),
            [r"master01: etcd ended \d+ times", r"port 2379 is taken on master01 by python3"],
            id="port of etcd's clients",
        ),
        pytest.param(
            SQUATTER.format(unit="etcd", port=2380),
            [r"master01: etcd ended \d+ times", r"port 2380 is taken on master01 by python3"],
            id="port of etcd's peers",
        ),
        pytest.param(
            SQUATTER.format(unit="kube-apiserver", port=443),
            [r"master01: kube-apiserver ended \d+ times", r"port 443 is taken on master01 by"],
            id="port of the API server",
        ),
        pytest.param(
            "rm /etc/kube-control-plane/apiserver.key; systemctl restart kube-apiserver",
            [r"kube-apiserver ended \d+ times", r"open \S+apiserver.key: no such file"],
            id="API server without its key",
        ),
        pytest.param(
            "systemctl stop etcd",
            [r"master01: etcd does not run", r"etcd has no quorum: 0 of 1 member healthy"],
            id="etcd that is stopped",
        ),
    ],
)
def test_control_plane_that_does_not_come_up(fault: str, words: list[str], bench: Bench) -> None:
    bench.write("site.yml", PLAYBOOK.format(fault=fault))
    bench.write("test_it.py", "def test_it(kube_node): ...\n")
    started = time.monotonic()
    status, output = bench.run("--kube-playbook=site.yml", "--kube-control-plane=hollow")
    assert time.monotonic() - started < 60
    assert status != 0
    for word in words:
        assert re.search(word, output), output
    assert "the last lines of etcd on master01" in output
    logs = [path.read_text(errors="replace") for path in bench.state.rglob("logs/**/*.log")]
    assert logs
    for text in (output, *logs):
        assert "PRIVATE KEY" not in text
    assert bench.left() == NOTHING
