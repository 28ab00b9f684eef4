"""Makes kubelet nodes of booted machines: one Ansible run over all of them."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pytest_kubecluster.ansible.node_python import no_python
from pytest_kubecluster.artifacts.pki import Pki
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.access import FOLDER, USUAL, Access
from pytest_kubecluster.machines.ssh import Ssh
from pytest_kubecluster.spec.launcher import WRAPPER
from pytest_kubecluster.spec.model import ClusterSpec, FileSpec, NodeSpec
from pytest_kubecluster.spec.provenance import describe
from pytest_kubecluster.util.ansible_cli import own_environment
from pytest_kubecluster.util.atomic import private_folder, write_atomically
from pytest_kubecluster.util.process import CommandError, Commands
from pytest_kubecluster.util.resources import provisioning

_SETTINGS = {
    "ANSIBLE_PIPELINING": "1",
    # The article's groups are called role=master and role=worker.
    "ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS": "ignore",
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_NOCOWS": "1",
    # There is nobody to ask.
    "ANSIBLE_ASK_PASS": "0",
    "ANSIBLE_ASK_VAULT_PASS": "0",
    "ANSIBLE_BECOME_ASK_PASS": "0",
}
"""What goes for Ansible whatever its configuration says: the environment has precedence."""
_WRAPPER = FileSpec("kubelet-wrapper", WRAPPER, 0o755)
_INVENTORY = """\
#!/bin/sh
# Ansible takes a second to start: meanwhile machines boot, and the inventory waits for them,
# unless the cluster is gone.
while [ ! -e {ready} ]; do
    [ -e {content} ] || exit 1
    sleep 0.05
done
cat {content}
"""
_NO_PYTHON = re.compile(
    r"bin/python\S*: (not found|No such file)|interpreter .* was not found"
    r"|requires a minimum of Python"
)
"""What a shell, or Ansible, says of a Python that is not there, or too old."""
_NO_PLACE = re.compile(rf"{WRAPPER.rpartition('/')[0]}\S* cannot be installed: Read-only")
"""What install_files says of a kubelet-wrapper where /usr cannot be written to."""
_PASSED_ON = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "SSH_AUTH_SOCK", "TMPDIR")


@dataclass(frozen=True)
class KubeletInstall:
    """How the kubelet gets onto the nodes.

    ``path`` is where it is to be on a node; ``copy`` a small file here that provisioning puts
    there, ``upload`` a big one. With neither, the machine has it already, and ``replaced`` says
    whether that is another one since it was started. ``runtime`` is the container runtime's
    service, or "".
    """

    path: str
    copy: Path | None = None
    upload: Path | None = None
    replaced: bool = False
    runtime: str = ""


@dataclass(frozen=True)
class ProvisioningResult:
    """How many tasks changed something, by node."""

    changed: Mapping[str, int] = field(default_factory=dict)


class Target(NamedTuple):
    """A machine to make a node of: what it must become, and how it is reached."""

    spec: NodeSpec
    access: Access


class ProvisioningError(KubeClusterError):
    """A task that failed: which, on which node, what it said, and where the whole log is."""


class _Tagged(yaml.SafeLoader):
    """Reads over Ansible's own tags, ``!unsafe`` and ``!vault``."""


_Tagged.add_multi_constructor("!", lambda loader, suffix, node: None)


def check_playbook(path: Path) -> Path:
    """Return the path of a playbook, as far as can be told without running it.

    Raises KubeClusterError naming what is wrong with it.
    """
    try:
        plays = yaml.load(path.read_text(), _Tagged)
    except OSError as error:
        raise KubeClusterError(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KubeClusterError(f"{path} is no YAML: {error}") from None
    known = ("hosts", "import_playbook", "ansible.builtin.import_playbook")
    is_list = isinstance(plays, list) and plays
    if not is_list or not all(isinstance(p, dict) and any(k in p for k in known) for p in plays):
        raise KubeClusterError(f"{path} is no playbook: it must be a list of plays with hosts")
    return path


def provision(
    spec: ClusterSpec,
    nodes: Sequence[Target],
    kubelet: KubeletInstall,
    *,
    pki: Pki,
    playbook: Path | None = None,
    python_unpacker: Path | None = None,
    inventory: Mapping[str, Any] | None = None,
    own_folder: Path | None = None,
    forks: int,
    folder: Path,
    ready: Path,
    commands: Commands,
    timeout: float,
    on_task: Callable[[str], None],
) -> ProvisioningResult:
    """Run the bundled playbook on ``nodes``, or your own, as often as wanted.

    Before your own ``playbook``, what a box comes with is put in place: the launcher, the kubelet's
    executable, its container runtime. Before all, ``python_unpacker``, a script that has a Python
    behind it, brings that to nodes which have none. Ansible's inventory has what a playbook may ask
    for, beside what ``inventory`` says, if the nodes come from one. Where playbook or inventory are
    the user's, ``own_folder`` is where their Ansible is configured, and where it runs; ours heeds
    no configuration. ``forks`` nodes are worked on at the same time. ``folder`` is the place for
    Ansible's own state; ``timeout`` seconds. Nodes are asked for once the file ``ready`` exists.
    Raises ProvisioningError for the first task that failed on a node.
    """
    private = private_folder(folder / "runner")
    ident = f"{1 + len(list((private / 'artifacts').glob('*'))):02}"
    script = folder / "inventory"
    content = folder / "inventory.json"
    write_atomically(
        content,
        json.dumps(
            _inventory(
                spec,
                nodes,
                kubelet,
                pki,
                bare=bool(playbook),
                theirs=inventory or {},
                python=_python_variables(python_unpacker),
            )
        ).encode(),
        0o600,
    )
    waits = _INVENTORY.format(ready=shlex.quote(str(ready)), content=shlex.quote(str(content)))
    write_atomically(script, waits.encode(), 0o700)

    before = [provisioning() / "python.yml"] if python_unpacker else []
    if playbook:
        before += [provisioning() / "node.yml"]
    chosen = playbook or provisioning() / "playbook.yml"
    if before:
        imports = [{"import_playbook": str(path)} for path in (*before, chosen)]
        chosen = folder / "playbook.yml"
        write_atomically(chosen, json.dumps(imports).encode(), 0o600)
    argv = [sys.executable, "-m", "ansible_runner", "run", str(private)]
    argv += ["--playbook", str(chosen), "--inventory", str(script)]
    # What the environment has may be secret, and is not to be written down.
    argv += ["--ident", ident, "--omit-env-files"]
    if own_folder:
        argv += ["--project-dir", str(own_folder)]

    def on_line(line: str) -> None:
        if line.startswith("TASK ["):
            on_task(line[len("TASK [") : line.rindex("]")])

    artifacts = private / "artifacts" / ident
    environment = own_environment() if own_folder else _environment(folder)
    path = [str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
    environment |= {
        **_SETTINGS,
        "PATH": os.pathsep.join(path),
        "ANSIBLE_FORKS": str(forks),
        "ANSIBLE_SSH_ARGS": f"-F {shlex.quote(nodes[0].access.ssh_config)}",
    }
    try:
        commands.run("ansible", argv, timeout=timeout, env=environment, on_line=on_line)
    except CommandError as error:
        raise _explain(artifacts, error) from error
    return ProvisioningResult(_changed(artifacts))


def _inventory(
    spec: ClusterSpec,
    nodes: Sequence[Target],
    kubelet: KubeletInstall,
    pki: Pki,
    *,
    bare: bool,
    theirs: Mapping[str, Any],
    python: Mapping[str, str],
) -> dict[str, Any]:
    """Return the inventory as ``ansible-inventory`` would print it, on top of ``theirs``.

    ``bare`` nodes get only what a box comes with, not the files that make kubelet nodes of them.
    """
    wrapper = provisioning() / "roles" / "node" / "files" / _WRAPPER.name
    their_hosts = theirs.get("_meta", {}).get("hostvars", {})

    def host(handle: Target) -> dict[str, Any]:
        node, access = handle.spec, handle.access
        files = {file.name: Path(access.files) / file.name for file in node.kubelet.files}
        kubelet_files = [] if bare else node.kubelet.files
        node_files = [_file(files[file.name].read_bytes(), file) for file in kubelet_files]
        links = []
        if node.kubelet.launcher.program == WRAPPER:
            # A box that has a kubelet-wrapper keeps its own.
            node_files.append({**_file(wrapper.read_bytes(), _WRAPPER), "keep": True})
        else:
            links = [{"path": node.kubelet.launcher.program, "target": kubelet.path}]
        if kubelet.copy:
            program = _run_by(access.python, kubelet.copy.read_bytes())
            node_files.append(_file(program, FileSpec(kubelet.copy.name, kubelet.path, 0o755)))
        become: dict[str, Any] = {"ansible_become": False} if access.is_root else {}
        if access.sudo_password:
            become["ansible_become_password"] = access.sudo_password
        return {
            "public_ipv4": str(node.address),
            **their_hosts.get(node.name, {}),
            **become,
            # What ssh's own configuration knows a node by, with all it takes to reach it. Where a
            # play or a configuration has another remote_user, that is of other machines.
            "ansible_host": node.name,
            "ansible_user": Ssh(Path(access.ssh_config)).user(node.name),
            "ansible_python_interpreter": access.python,
            "role": node.role,
            "private_ipv4": str(node.address),
            "node_files": node_files,
            "node_links": links,
            "cni_conf_dir": node.kubelet.cni_conf_dir,
            "kube_files": {name: str(path) for name, path in files.items()},
        }

    masters = {"hosts": [node.spec.name for node in nodes if node.spec.is_master]}
    workers = {"hosts": [node.spec.name for node in nodes if not node.spec.is_master]}
    return {
        **_groups(theirs, [node.spec.name for node in nodes]),
        "all": {
            "children": [
                *theirs.get("all", {}).get("children", ()),
                *("masters", "workers", "role=master", "role=worker"),
            ],
            "vars": {
                **python,
                "kubelet_runtime": kubelet.runtime,
                "kubelet_replaced": kubelet.replaced,
                "kubelet_path": kubelet.path,
                "kubelet_upload": str(kubelet.upload or ""),
                "node_folders": [] if bare else ["/etc/kubernetes"],
                "kube_spec": describe(spec),
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
            "hostvars": {node.spec.name: host(node) for node in nodes},
        },
    }


def _python_variables(unpacker: Path | None) -> dict[str, str]:
    """Return the variables of the role that brings a Python, where it is used."""
    return {"python_unpacker": str(unpacker), "python_folder": FOLDER} if unpacker else {}


def _groups(theirs: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the groups of an inventory, with no other hosts than those that are nodes."""
    return {
        group: {**said, "hosts": [host for host in said.get("hosts", ()) if host in names]}
        for group, said in theirs.items()
        if group != "_meta"
    }


def _run_by(python: str, program: bytes) -> bytes:
    """Return a Python program that is run by a node's Python, which may not be on the PATH."""
    if python == USUAL:
        return program
    return program.replace(b"#!/usr/bin/env python3\n", f"#!{python}\n".encode(), 1)


def _file(content: bytes, file: FileSpec) -> dict[str, Any]:
    """Return a file as the role's install_files module takes it."""
    return {
        "path": file.path,
        "content": base64.b64encode(content).decode(),
        "owner": file.owner,
        "group": file.group,
        "mode": f"{file.mode:04o}",
    }


def _environment(folder: Path) -> dict[str, str]:
    """Return the environment of an Ansible that nobody has configured; ``folder`` is its home."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    config = folder / "ansible.cfg"
    write_atomically(config, b"# Ansible's own defaults\n", 0o600)
    return {**environment, "ANSIBLE_CONFIG": str(config), "ANSIBLE_HOME": str(folder / "home")}


def _events(artifacts: Path, *kinds: str) -> Iterator[dict[str, Any]]:
    paths = (artifacts / "job_events").glob("*.json")
    for path in sorted(paths, key=lambda path: int(path.name.partition("-")[0])):
        event = json.loads(path.read_text())
        if event["event"] in kinds:
            yield event["event_data"]


def _changed(artifacts: Path) -> dict[str, int]:
    stats: Iterable[dict[str, Any]] = _events(artifacts, "playbook_on_stats")
    return {node: count for event in stats for node, count in event["changed"].items()}


def _explain(artifacts: Path, error: CommandError) -> KubeClusterError:
    """Say which task failed where, in Ansible's own words; fall back to the end of the log."""
    for event in _events(artifacts, "runner_on_failed", "runner_on_unreachable"):
        if event.get("ignore_errors"):
            continue
        result = event.get("res", {})
        if _NO_PYTHON.search(json.dumps(result)):
            return ProvisioningError(f"{no_python(event['host'])}\n  full log: {error.log}")
        if _NO_PLACE.search(result.get("msg", "")):
            return ProvisioningError(
                f"{event['host']} has no {WRAPPER}, and its /usr is read-only: no place for ours\n"
                "  have its unit start the kubelet itself: below [kubelet] in kubecluster.toml, "
                f'launched_by = "host"\n  full log: {error.log}'
            )
        said = [result.get(key) for key in ("msg", "stderr", "stdout")]
        message = "\n".join(
            f"    {line}" for text in said if text for line in str(text).split("\n")
        )
        return ProvisioningError(
            f"provisioning failed on {event['host']}\n"
            f"  task: {event.get('task', '?')}\n"
            f"  message:\n{message or '    (none)'}\n"
            f"  full log: {error.log}"
        )
    # How it was started is none of the reader's business.
    return ProvisioningError(str(error).replace(shlex.join(error.argv[:2]), "Ansible", 1))
