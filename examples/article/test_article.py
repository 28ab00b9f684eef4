"""What the article states about its nodes."""

import pytest

# `ps aux | grep kubelet` on the article's worker01, behind the kubelet's own name.
COMMAND_LINE = (
    "--kubeconfig=/etc/kubernetes/kubeconfig --require-kubeconfig"
    " --client-ca-file=/etc/kubernetes/ca.crt --anonymous-auth=false"
    " --cni-conf-dir=/etc/kubernetes/cni/net.d --network-plugin=cni"
    " --lock-file=/var/run/lock/kubelet.lock --exit-on-lock-contention"
    " --pod-manifest-path=/etc/kubernetes/manifests --allow-privileged"
    " --node-labels=node-role.kubernetes.io/worker --node-ip={address}"
    " --cluster-dns=10.3.0.10 --cluster-domain=cluster.local"
)


def test_kubelet_is_a_service(kube_node):
    service = kube_node.host.service("kubelet")
    assert service.is_running
    assert service.is_enabled


def test_resolver_runs_already(kube_node):
    assert kube_node.host.service("systemd-resolved").is_running


def test_labels_tell_masters_from_workers(kube_node):
    assert kube_node.kubelet.labels == {f"node-role.kubernetes.io/{kube_node.role}": ""}


def test_masters_take_no_pods(kube_master):
    assert kube_master.kubelet.taints == ("node-role.kubernetes.io/master=:NoSchedule",)


def test_workers_take_pods(kube_worker):
    assert kube_worker.kubelet.taints == ()


def test_kubelets_turn_to_the_last_master(kube_node, kube_spec):
    (cluster,) = kube_node.kubelet.kubeconfig["clusters"]
    assert cluster["cluster"]["server"] == f"https://{kube_spec.masters[-1].address}:443"


def test_nobody_gets_in_without_a_certificate(kube_node):
    assert kube_node.kubelet.anonymous.status == 401


def test_worker_runs_as_ps_shows_it(kube_worker):
    expected = COMMAND_LINE.format(address=kube_worker.address)
    assert kube_worker.kubelet.command_line_text.endswith(expected)


@pytest.mark.kube_disruptive
def test_kubelet_survives_a_restart_of_the_system(kube_worker):
    kube_worker.reboot()
    kube_worker.wait_until_healthy(30)
