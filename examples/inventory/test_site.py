"""What this site requires of its machines beside the bundled suite."""


def test_clock_is_in_utc(kube_node):
    assert kube_node.host.check_output("date +%Z") == "UTC"


def test_root_cannot_log_in(kube_node):
    assert "permitrootlogin no" in kube_node.host.check_output("sshd -T").splitlines()


def test_workers_are_in_several_zones(kube_workers):
    zones = {node.kubelet.labels["topology.kubernetes.io/zone"] for node in kube_workers}
    assert len(zones) > 1
