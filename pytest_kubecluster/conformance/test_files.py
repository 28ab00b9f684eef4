"""Evidence: the files on the node's disk."""

from __future__ import annotations

import pytest

from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.observation import FileView
from pytest_kubecluster.spec.settings import CONFIG_SINCE


def the_file(node: Node, path: str) -> FileView:
    """Return what is known of a file, which must be there."""
    file = node.kubelet.files[path]
    assert file is not None, f"{node.name} has no {path}"
    return file


def assert_root_owns(node: Node, path: str, mode: int) -> None:
    """Check that a file is root's and has exactly the mode of the spec."""
    file = the_file(node, path)
    assert (file.owner, file.group) == ("root", "root"), path
    assert f"{file.mode:04o}" == f"{mode:04o}", path


def assert_nobody_else_reads(node: Node, path: str, why: str) -> None:
    """Check that a file is root's alone, unless the spec itself opens it to others."""
    if mode_in_spec(node, path) & 0o077:
        pytest.skip(f"the spec lets others than root read {path}")
    assert the_file(node, path).mode & 0o077 == 0, why


def assert_as_rendered(node: Node, path: str) -> None:
    """Check a file's bytes, if it is known here what they must be."""
    file = the_file(node, path)
    if file.as_rendered is None:
        pytest.skip("these nodes were not provisioned by this run: nobody here knows their keys")
    assert file.as_rendered, path


def mode_in_spec(node: Node, path: str) -> int:
    """Return the mode that the spec gives a file."""
    return next(file.mode for file in node.spec.kubelet.files if file.path == path)


@pytest.fixture
def config_path(kube_node: Node) -> str:
    """Where the node has its KubeletConfiguration, if its kubelet gets one."""
    kubelet = kube_node.spec.kubelet
    if not kubelet.config:
        pytest.skip(f"no KubeletConfiguration is given: --config is there from 1.{CONFIG_SINCE} on")
    return kubelet.config_path


def test_unit_has_the_rendered_bytes(kube_node: Node) -> None:
    path = kube_node.spec.kubelet.unit_path
    file = the_file(kube_node, path)
    expected = kube_node.files[path].read_text()
    assert (file.content or b"").decode(errors="replace") == expected


def test_unit_is_owned_by_root(kube_node: Node) -> None:
    path = kube_node.spec.kubelet.unit_path
    assert_root_owns(kube_node, path, mode_in_spec(kube_node, path))


def test_client_ca_has_the_rendered_bytes(kube_node: Node) -> None:
    assert_as_rendered(kube_node, kube_node.spec.kubelet.client_ca_file)


def test_client_ca_is_owned_by_root(kube_node: Node) -> None:
    path = kube_node.spec.kubelet.client_ca_file
    assert_root_owns(kube_node, path, mode_in_spec(kube_node, path))


def test_kubeconfig_has_the_rendered_bytes(kube_node: Node) -> None:
    assert_as_rendered(kube_node, kube_node.spec.kubelet.kubeconfig)


def test_ca_key_has_the_rendered_bytes(kube_node: Node) -> None:
    assert_as_rendered(kube_node, kube_node.spec.kubelet.ca_key_file)


def test_configuration_has_the_rendered_bytes(kube_node: Node, config_path: str) -> None:
    file = the_file(kube_node, config_path)
    expected = kube_node.files[config_path].read_text()
    assert (file.content or b"").decode(errors="replace") == expected


def test_configuration_is_readable_by_root_only(kube_node: Node, config_path: str) -> None:
    assert_root_owns(kube_node, config_path, mode_in_spec(kube_node, config_path))


def test_kubeconfig_is_readable_by_root_only(kube_node: Node) -> None:
    path = kube_node.spec.kubelet.kubeconfig
    assert_root_owns(kube_node, path, mode_in_spec(kube_node, path))
    assert_nobody_else_reads(kube_node, path, "it holds the kubelet's private key")


def test_ca_key_is_readable_by_root_only(kube_node: Node) -> None:
    path = kube_node.spec.kubelet.ca_key_file
    assert_root_owns(kube_node, path, mode_in_spec(kube_node, path))
    assert_nobody_else_reads(kube_node, path, "whoever has it can sign certificates")
