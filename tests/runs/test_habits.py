"""What people are used to from pytest, testinfra and ssh, on one node."""

from __future__ import annotations

from tests.runs.conftest import Bench, command


def test_habits(bench: Bench) -> None:
    bench.write(
        "test_it.py",
        r"""
        import pytest

        UNIT = "/etc/systemd/system/kubelet.service"
        RESTART = "systemctl daemon-reload && systemctl restart kubelet"


        def break_it(node):
            node.host.run_expect([0], f"sed -i s/cluster.local/example.org/ {UNIT} && {RESTART}")


        def mend(node):
            node.host.run_expect([0], f"sed -i s/example.org/cluster.local/ {UNIT} && {RESTART}")
            node.wait_until_healthy(30)


        def test_command_then_look(kube_node):
            assert kube_node.kubelet == kube_node.spec.kubelet
            break_it(kube_node)
            kube_node.wait_until_healthy(30)
            assert kube_node.kubelet.flags["cluster-domain"] == "example.org"
            mend(kube_node)


        def test_next_phase_looks_again(kube_node):
            assert kube_node.kubelet.flags["cluster-domain"] == "cluster.local"


        @pytest.mark.flaky(reruns=1)
        def test_rerun(kube_node, pytestconfig):
            first = not hasattr(pytestconfig, "seen_by_first")
            if first:
                kube_node.refresh()
                pytestconfig.seen_by_first = kube_node.kubelet
            assert kube_node.kubelet is not pytestconfig.seen_by_first


        def test_provision_mends_and_looks_again(kube_node, kube_cluster):
            break_it(kube_node)
            assert kube_cluster.provision().changed
            assert kube_node.kubelet == kube_node.spec.kubelet
            assert not any(kube_cluster.provision().changed.values())


        def test_run_is_text(kube_node):
            done = kube_node.run("sh", "-c", "echo größer; echo no >&2; exit 3", stdin="")
            assert (done.rc, done.stdout, done.stderr) == (3, "größer\n", "no\n")


        def test_unknown_names(kube_node):
            with pytest.raises(KeyError, match="similar: cluster-domain"):
                kube_node.kubelet.flags["clusterdomain"]
            with pytest.raises(KeyError, match="no label 'zone'"):
                kube_node.kubelet.labels["zone"]


        def test_kubelet_comes_back_after_a_kill(kube_node):
            before = kube_node.kubelet.process.pid
            kube_node.run("kill", "-9", str(before))
            kube_node.wait_until_healthy(30)
            assert kube_node.kubelet.process.pid != before
        """,
    )
    status, output = bench.run("--kube-keep=always", "-rR")
    try:
        assert status == 0, output
        assert "7 passed, 1 rerun" in output
        for line in ("echo $HOSTNAME; id -un", "echo $HOSTNAME && id -un"):
            assert command(bench, "ssh", "master01", "--", line) == (0, "master01\nroot\n")
        assert command(bench, "ssh", "master01", "--", "id", "-un") == (0, "root\n")
    finally:
        command(bench, "destroy")


def test_worker_sees_what_another_has_changed(bench: Bench) -> None:
    bench.write(
        "test_it.py",
        """
        import pytest

        @pytest.mark.parametrize("n", range(8))
        def test_it(n, kube_node):
            now = kube_node.kubelet
            assert now.unit["ExecMainStartTimestampMonotonic"] == started(kube_node)
            kube_node.run("systemctl", "restart", "kubelet")

        @pytest.fixture(autouse=True)
        def before(kube_node):
            assert kube_node.kubelet.unit["ExecMainStartTimestampMonotonic"] == started(kube_node)

        def started(node):
            shown = node.run("systemctl", "show", "-P", "ExecMainStartTimestampMonotonic", "kubelet")
            return shown.stdout.strip()
        """,
    )
    status, output = bench.run("-n2")
    assert status == 0, output
