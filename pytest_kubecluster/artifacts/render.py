"""Renders the files of a node from the spec and the PKI, byte by byte as they are installed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml

from pytest_kubecluster.artifacts.bootstrap import bootstrap_kubeconfig, joined_kubeconfig
from pytest_kubecluster.artifacts.go_yaml import go_yaml
from pytest_kubecluster.artifacts.kubeadm import kubeadm_files
from pytest_kubecluster.artifacts.pki import Pki
from pytest_kubecluster.layouts.cluster import completed
from pytest_kubecluster.layouts.kubeadm import CERTIFICATE
from pytest_kubecluster.spec.model import ClusterSpec, NodeSpec
from pytest_kubecluster.util.atomic import write_atomically
from pytest_kubecluster.util.encoding import base64_text
from pytest_kubecluster.util.templates import template_environment

_PLAIN_WORD = re.compile(r"[\w@%+=:,./\-]+", re.ASCII)


def render_node(cluster: ClusterSpec, node: NodeSpec, pki: Pki) -> dict[str, bytes]:
    """Return the contents of the node's files by their names in ``node.kubelet.files``.

    Raises jinja2.UndefinedError if a template uses something that the spec does not have.
    """
    if node.kubelet.layout == "kubeadm":
        identity = pki.node_client(node.kubelet.hostname or node.name)
        contents = kubeadm_files(cluster, node, pki.ca_cert, identity, render)
    else:
        contents = _classic_files(cluster, node, pki)
    if node.kubelet.layout == "hardened":
        contents.update(_hardened_files(cluster, node, pki))
    contents["ca.crt"] = pki.ca_cert
    if node.kubelet.bootstrap_kubeconfig:
        token = pki.bootstrap_token()
        first = bootstrap_kubeconfig(cluster, node, pki.ca_cert, token)
        contents["bootstrap-kubeconfig"] = go_yaml(first)
        contents["kubeconfig"] = go_yaml(joined_kubeconfig(cluster, node, pki.ca_cert))
    return {file.name: contents[file.name] for file in node.kubelet.files if not file.made_there}


def _classic_files(cluster: ClusterSpec, node: NodeSpec, pki: Pki) -> dict[str, bytes]:
    values = {"cluster": cluster, "node": node, "kubelet": node.kubelet, "pki": pki}
    return {
        "ca.key": pki.ca_key,
        "kubeconfig": render("kubeconfig", **values),
        "kubelet.service": render("kubelet.service", **values),
        "kubelet.yaml": yaml.safe_dump(node.kubelet.configuration, sort_keys=False).encode(),
    }


def _hardened_files(cluster: ClusterSpec, node: NodeSpec, pki: Pki) -> dict[str, bytes]:
    name = node.kubelet.hostname or node.name
    serving = pki.node_serving(name, (node.address,))
    return {
        "kubeconfig": render(
            "hardened/kubeconfig", cluster=cluster, node=node, certificate=CERTIFICATE
        ),
        "kubelet-client.pem": pki.node_client(name).combined,
        "kubelet.crt": serving.cert,
        "kubelet.key": serving.key,
        "90-kubelet.conf": render("hardened/90-kubelet.conf"),
    }


def render(name: str, **values: Any) -> bytes:
    """Return what the template of the file ``name`` makes of ``values``."""
    return _environment().get_template(f"{name}.j2").render(values).encode()


def write_files(
    cluster: ClusterSpec, pki: Pki, directory: Path, *, foreign_pki: bool = False
) -> dict[str, Mapping[str, Path]]:
    """Render every node's files into ``directory/NODE/`` and return their paths by node and name.

    Files with a key are readable by their owner only. With ``foreign_pki``, the nodes have other
    keys than ``pki``, and files that depend on keys are left out.
    """
    paths: dict[str, Mapping[str, Path]] = {}
    for node in map(completed, cluster):
        folder = directory / node.name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        contents = render_node(cluster, node, pki)
        files = [
            file
            for file in node.kubelet.files
            if not (file.made_there or (foreign_pki and file.from_pki))
        ]
        for file in files:
            mode = 0o600 if file.secret else 0o644
            write_atomically(folder / file.name, contents[file.name], mode)
        paths[node.name] = {file.name: folder / file.name for file in files}
    return paths


def systemd_word(word: str) -> str:
    """Quote one word of an Exec line as systemd.service(5) and systemd.syntax(7) ask for."""
    word = word.replace("%", "%%").replace("$", "$$")
    if _PLAIN_WORD.fullmatch(word.replace("$$", "")):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


@cache
def _environment() -> jinja2.Environment:
    environment = template_environment("pytest_kubecluster.artifacts")
    environment.filters["base64"] = base64_text
    environment.filters["systemd_word"] = systemd_word
    return environment
