"""Nodes that join with a token: where it is, and where it is not."""

from __future__ import annotations

import re
import stat

from tests.runs.conftest import Bench, command

JOINING = """
    import pathlib
    from kubernetes import client

    def test_token_is_on_no_node(kube_nodes, kube_pki):
        token = kube_pki.bootstrap_token()
        pathlib.Path({seen!r}).write_text(f"{{token.text}} {{token.secret}}")
        for node in kube_nodes:
            script = "journalctl --no-pager >/tmp/journal; cat /proc/*/cmdline >/tmp/arguments;"
            script += "grep -rlsF -f - /etc /var/lib/kubelet /root /tmp; rm /tmp/[ja][or][ug]*"
            found = node.run("sh", "-c", script, stdin=token.secret + "\\n")
            assert found.stdout == "", found.stdout

    def test_token_is_gone(kube_api, kube_pki):
        secrets = client.CoreV1Api(kube_api).list_namespaced_secret("kube-system").items
        name = "bootstrap-token-" + kube_pki.bootstrap_token().identity
        assert name not in [one.metadata.name for one in secrets]

    def test_second_run_changes_nothing(kube_cluster):
        again = kube_cluster.provision()
        assert not any(again.changed.values()), again.tasks

    def test_it_fails(kube_node):
        assert not kube_node.kubelet.running
"""


def test_token_is_used_up_and_not_shown(bench: Bench) -> None:
    seen = bench.path / "seen"
    bench.write("test_it.py", JOINING.format(seen=str(seen)))
    options = ["--kube-control-plane=hollow", "--kube-layout=hardened", "--kube-hyperkube=1.30.0"]
    status, output = bench.run(*options, "--kube-report=report", "--kube-keep=always", "-vv")
    assert status == 1, output
    assert re.search(r"1 failed, 3 passed", output), output
    secrets = seen.read_text().split()
    assert re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", secrets[0])
    holding = []
    for folder in (bench.state, bench.project):
        for path in folder.rglob("*"):
            if path.is_file() and secrets[1].encode() in path.read_bytes():
                holding.append(path)
    names = {path.name for path in holding}
    assert names == {"bootstrap-token", "bootstrap-kubeconfig"}, holding
    assert {stat.S_IMODE(path.stat().st_mode) for path in holding} == {0o600}
    assert not [one for one in secrets if one in output]
    assert command(bench, "destroy")[0] == 0
