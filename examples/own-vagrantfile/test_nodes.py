"""Tests of the nodes that the role sets up."""


def test_kubelet_is_what_the_spec_says(kube_node):
    assert kube_node.kubelet == kube_node.spec.kubelet


def test_kubelet_takes_50_pods(kube_node):
    assert kube_node.kubelet.configz["maxPods"] == 50


def test_crictl_finds_the_container_runtime(kube_node):
    endpoint = kube_node.kubelet.configz["containerRuntimeEndpoint"]
    assert kube_node.host.file("/etc/crictl.yaml").contains(f"runtime-endpoint: {endpoint}")
