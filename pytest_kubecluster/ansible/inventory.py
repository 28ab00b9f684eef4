"""The inventory that Ansible is given: the variables of the user's and of the bundled playbook."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from pytest_kubecluster.ansible.archive import Member, write_archive
from pytest_kubecluster.artifacts.certificates import rotated_path
from pytest_kubecluster.artifacts.control_plane import PlacedFile, pod_network_file
from pytest_kubecluster.artifacts.pki import Pki
from pytest_kubecluster.layouts.cluster import completed, foreign_paths
from pytest_kubecluster.layouts.kubeadm import CERTIFICATE
from pytest_kubecluster.machines.access import FOLDER, USUAL, Access
from pytest_kubecluster.machines.ssh import Ssh
from pytest_kubecluster.spec.control_plane import FOLDER as FOLDER_OF_KEYS
from pytest_kubecluster.spec.control_plane import PROGRAMS
from pytest_kubecluster.spec.launcher import INSTALLED, WRAPPER
from pytest_kubecluster.spec.model import ClusterSpec, NodeSpec
from pytest_kubecluster.spec.provenance import describe
from pytest_kubecluster.util.atomic import private_folder, write_atomically
from pytest_kubecluster.util.resources import provisioning

_CNI = "/etc/cni/net.d"
"""Where a container runtime has its pod network unless a layout says otherwise."""
_WAITING = """\
#!/bin/sh
# Ansible takes a second to start. It does so while the machines boot: the inventory waits for them,
# or ends when the cluster is removed.
while [ ! -e {ready} ]; do
    [ -e {content} ] || exit 1
    sleep 0.05
done
cat {content}
"""


@dataclass(frozen=True)
class KubeletInstall:
    """How the kubelet gets onto the nodes.

    ``path`` is its path on a node. ``copy`` is a small file on this host that provisioning installs
    there, ``upload`` a big one. With neither, the machine has the kubelet already, and ``replaced``
    is whether it changed since the machine was started. ``runtime`` is the service of the
    container runtime, or "".
    """

    path: str
    copy: Path | None = None
    upload: Path | None = None
    replaced: bool = False
    runtime: str = ""


@dataclass(frozen=True)
class Target:
    """A machine to make a node of: its spec, and how it is reached."""

    spec: NodeSpec
    access: Access


@dataclass(frozen=True)
class InventorySource:
    """What an inventory is made from.

    ``bare`` nodes get what a machine comes with, without the files that make a kubelet node of it.
    ``theirs`` is the content of the user's own inventory. ``python_unpacker`` is a script that
    installs Python. ``existing`` are machines that this package did not boot. ``control_plane``
    has the files of the control plane by master, and ``control_plane_upload`` are programs of this
    host that masters get.
    """

    spec: ClusterSpec
    nodes: Sequence[Target]
    kubelet: KubeletInstall
    pki: Pki
    bare: bool = False
    theirs: Mapping[str, Any] = field(default_factory=dict, repr=False)
    python_unpacker: Path | None = None
    existing: bool = False
    control_plane: Mapping[str, Sequence[PlacedFile]] = field(default_factory=dict, repr=False)
    control_plane_upload: Sequence[tuple[str, Path]] = ()


def write_inventory(source: InventorySource, folder: Path, ready: Path) -> Path:
    """Write the inventory and the nodes' archives into ``folder``; return the inventory's path.

    It is a program that prints the inventory once the file ``ready`` exists.
    """
    # A user's playbook gets the article's files for everything the spec leaves open.
    source = replace(
        source,
        spec=replace(source.spec, nodes=tuple(map(completed, source.spec))),
        nodes=[replace(node, spec=completed(node.spec)) for node in source.nodes],
    )
    content, script = folder / "inventory.json", folder / "inventory"
    archives = private_folder(folder / "archives")
    inventory = build_inventory(source, archives)
    write_atomically(content, json.dumps(inventory).encode(), 0o600)
    waiting = _WAITING.format(ready=shlex.quote(str(ready)), content=shlex.quote(str(content)))
    write_atomically(script, waiting.encode(), 0o700)
    return script


def build_inventory(source: InventorySource, archives: Path) -> dict[str, Any]:
    """Return the inventory in the form of ``ansible-inventory --list``; write the archives."""
    theirs, kubelet, pki = source.theirs, source.kubelet, source.pki
    names = [node.spec.name for node in source.nodes]
    masters = {"hosts": [node.spec.name for node in source.nodes if node.spec.is_master]}
    workers = {"hosts": [name for name in names if name not in masters["hosts"]]}
    python = (
        {"python_unpacker": str(source.python_unpacker), "python_folder": FOLDER}
        if source.python_unpacker
        else {}
    )
    return {
        **_groups(theirs, names),
        "all": {
            "children": [
                *theirs.get("all", {}).get("children", ()),
                *("masters", "workers", "role=master", "role=worker"),
            ],
            "vars": {
                **python,
                "node_runtime": kubelet.runtime,
                "node_kubelet_path": kubelet.path,
                "node_kubelet_upload": str(kubelet.upload or ""),
                "kubelet_replaced": kubelet.replaced,
                "kube_spec": describe(source.spec),
                "kube_pki": {
                    "ca_cert": str(pki.ca_cert_path),
                    "ca_key": str(pki.ca_key_path),
                    "kubelet_cert": str(pki.kubelet_cert_path),
                    "kubelet_key": str(pki.kubelet_key_path),
                },
            },
        },
        "masters": masters,
        "workers": workers,
        "role=master": masters,
        "role=worker": workers,
        "_meta": {
            **theirs.get("_meta", {}),
            "hostvars": {node.spec.name: _host(source, node, archives) for node in source.nodes},
        },
    }


def _groups(theirs: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the groups of an inventory, with no other hosts than those that are nodes."""
    return {
        group: {**said, "hosts": [host for host in said.get("hosts", ()) if host in names]}
        for group, said in theirs.items()
        if group != "_meta"
    }


def _host(source: InventorySource, target: Target, archives: Path) -> dict[str, Any]:
    """Return the variables of one host, after its archive was written."""
    node, access = target.spec, target.access
    become: dict[str, Any] = {"ansible_become": False} if access.is_root else {}
    if access.sudo_password:
        become["ansible_become_password"] = access.sudo_password
    archive = archives / f"{node.name}.tar.gz"
    write_archive(archive, _members(source, target))
    control_plane: dict[str, Any] = {}
    if files := source.control_plane.get(node.name):
        own = archives / f"{node.name}-control-plane.tar.gz"
        write_archive(own, _control_plane_members(files, access.python))
        upload = [{"name": n, "src": str(path)} for n, path in source.control_plane_upload]
        control_plane = {"control_plane_archive": str(own), "control_plane_upload": upload}
    return {
        "public_ipv4": str(node.address),
        **source.theirs.get("_meta", {}).get("hostvars", {}).get(node.name, {}),
        **become,
        # ssh's own configuration knows a node by its name, with all it takes to reach it. A
        # remote_user of a play or a configuration is meant for other machines.
        "ansible_host": node.name,
        "ansible_user": Ssh(Path(access.ssh_config)).user(node.name),
        "ansible_python_interpreter": access.python,
        "role": node.role,
        "private_ipv4": str(node.address),
        "node_wrapper": WRAPPER if node.kubelet.launcher.program == WRAPPER else "",
        "node_cgroup_driver": node.kubelet.settings.get("cgroup-driver", "cgroupfs"),
        "node_cni_conf_dir": node.kubelet.cni_conf_dir or _CNI,
        # The role kubelet, where it is used, unpacks both in one go.
        "node_archive": str(archive) if source.bare else "",
        "kubelet_archive": str(archive),
        "kubelet_foreign": [] if source.existing else list(foreign_paths(node.kubelet)),
        **control_plane,
        **_joining(target),
        "kube_files": {name: str(path) for name, path in _rendered(target).items()},
    }


def _joining(target: Target) -> dict[str, Any]:
    """Return the variables of a node that joins by TLS bootstrap."""
    kubelet = target.spec.kubelet
    if not kubelet.bootstrap_kubeconfig:
        return {}
    kubeconfig = _rendered(target)["kubeconfig"].read_bytes()
    return {
        "kubelet_bootstrap_kubeconfig": kubelet.bootstrap_kubeconfig,
        "kubelet_joined_kubeconfig": kubelet.kubeconfig,
        "kubelet_joined_digest": hashlib.sha256(kubeconfig).hexdigest(),
        "kubelet_joined_certificate": CERTIFICATE,
    }


def _rendered(target: Target) -> dict[str, Path]:
    folder = Path(target.access.files)
    files = target.spec.kubelet.files
    return {file.name: folder / file.name for file in files if not file.made_there}


def _members(source: InventorySource, target: Target) -> Iterator[Member]:
    """Yield what a node gets: the launcher, a hollow kubelet, and, unless bare, what that reads."""
    node, kubelet = target.spec, source.kubelet
    if node.kubelet.launcher.program == WRAPPER:
        wrapper = provisioning() / "roles" / "node" / "files" / "kubelet-wrapper"
        yield Member(WRAPPER, content=wrapper.read_bytes())
    else:
        yield Member(node.kubelet.launcher.program, 0o777, target=kubelet.path)
    if kubelet.copy:
        folders = reversed(PurePosixPath(kubelet.path).parents)
        yield from (Member(str(path)) for path in folders if path.is_relative_to(INSTALLED))
        content = _run_by(target.access.python, kubelet.copy.read_bytes())
        yield Member(kubelet.path, content=content)
    if source.spec.control_plane:
        network = pod_network_file(source.spec, node)
        yield Member(network.path, network.mode, content=network.content)
        if kubelet.runtime == "docker":
            # Where kubelets look for the plugins, which Debian has elsewhere.
            yield Member("/opt/cni/bin", 0o777, target="/usr/lib/cni")
    if not source.bare:
        yield from _what_it_reads(target)


def _what_it_reads(target: Target) -> Iterator[Member]:
    """Yield the rendered files, and the folders that systemd and the kubelet do not make."""
    kubelet = target.spec.kubelet
    yield Member("/etc/kubernetes")
    if kubelet.layout == "kubeadm":
        yield Member(kubelet.manifests)
    if kubelet.layout == "hardened":
        yield Member("/etc/kubernetes/pki")
    if any(file.rotated for file in kubelet.files):
        yield Member("/var/lib/kubelet")
        yield Member(str(PurePosixPath(CERTIFICATE).parent))
    for file in kubelet.files:
        if file.written:
            continue
        content, path = _rendered(target)[file.name].read_bytes(), file.path
        if file.rotated:
            path = rotated_path(path, content)
            yield Member(file.path, 0o777, target=path)
        yield Member(path, file.mode, file.owner, file.group, content)


def _control_plane_members(files: Iterable[PlacedFile], python: str) -> Iterator[Member]:
    """Yield a master's part of the control plane, and the folders that only it has."""
    yield from map(Member, (FOLDER_OF_KEYS, f"{FOLDER_OF_KEYS}/etcd"))
    files = list(files)
    # The folder of real programs may be one of this host, that nodes cannot write.
    if any(file.path.startswith(f"{PROGRAMS}/") for file in files):
        yield Member(PROGRAMS)
    for file in files:
        content = _run_by(python, file.content)
        yield Member(file.path, file.mode, file.owner, file.owner, content)


def _run_by(python: str, program: bytes) -> bytes:
    """Return a Python program that is run by a node's Python, which may not be on the PATH."""
    if python == USUAL:
        return program
    return program.replace(b"#!/usr/bin/env python3\n", f"#!{python}\n".encode(), 1)
