"""Makes kubelet nodes of booted machines: one Ansible run over all of them."""

from __future__ import annotations

import base64
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_kubecluster.commands import CommandError, Commands
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.files import private_folder, write_atomically
from pytest_kubecluster.launcher import WRAPPER
from pytest_kubecluster.resources import provisioning
from pytest_kubecluster.spec import ClusterSpec, FileSpec
from pytest_kubecluster.ssh import USER, Ssh

_CONFIG = """\
[defaults]
inventory = inventory
forks = {forks}
host_key_checking = False
retry_files_enabled = False
nocows = True
[connection]
pipelining = True
[ssh_connection]
ssh_args = -F {ssh_config}
"""
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
_PASSED_ON = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "SSH_AUTH_SOCK", "TMPDIR")


@dataclass(frozen=True)
class KubeletInstall:
    """How the kubelet gets onto the nodes.

    ``path`` is where it is to be on a node; ``copy`` the file here that provisioning copies there,
    or None where the machine has it already, and ``replaced`` whether that is another one since it
    was started; ``runtime`` the container runtime's service, or "".
    """

    path: str
    copy: Path | None = None
    replaced: bool = False
    runtime: str = ""


@dataclass(frozen=True)
class ProvisioningResult:
    """How many tasks changed something, by node."""

    changed: Mapping[str, int] = field(default_factory=dict)


class ProvisioningError(KubeClusterError):
    """A task that failed: which, on which node, what it said, and where the whole log is."""


def provision(
    spec: ClusterSpec,
    files: Mapping[str, Mapping[str, Path]],
    kubelet: KubeletInstall,
    *,
    ssh: Ssh,
    folder: Path,
    ready: Path,
    commands: Commands,
    timeout: float,
    on_task: Callable[[str], None],
) -> ProvisioningResult:
    """Run the bundled playbook on all nodes at once, as often as wanted.

    ``files`` are the rendered files by node and name, ``folder`` the place for Ansible's own state,
    ``timeout`` seconds. Nodes are asked for once the file ``ready`` exists. Raises
    ProvisioningError for the first task that failed on a node.
    """
    private = private_folder(folder / "runner")
    ident = f"{1 + len(list((private / 'artifacts').glob('*'))):02}"
    config = folder / "ansible.cfg"
    inventory = folder / "inventory"
    settings = _CONFIG.format(forks=max(1, len(spec.nodes)), ssh_config=ssh.config)
    write_atomically(config, settings.encode(), 0o600)
    content = folder / "inventory.json"
    write_atomically(content, json.dumps(_inventory(spec, files, kubelet)).encode(), 0o600)
    script = _INVENTORY.format(ready=shlex.quote(str(ready)), content=shlex.quote(str(content)))
    write_atomically(inventory, script.encode(), 0o700)

    argv = [sys.executable, "-m", "ansible_runner", "run", str(private)]
    argv += ["--playbook", str(provisioning() / "playbook.yml"), "--inventory", str(inventory)]
    argv += ["--ident", ident]

    def on_line(line: str) -> None:
        if line.startswith("TASK ["):
            on_task(line[len("TASK [") : line.rindex("]")])

    artifacts = private / "artifacts" / ident
    environment = _environment(config, folder)
    try:
        commands.run("ansible", argv, timeout=timeout, env=environment, on_line=on_line)
    except CommandError as error:
        raise _explain(artifacts, error) from error
    return ProvisioningResult(_changed(artifacts))


def _inventory(
    spec: ClusterSpec, files: Mapping[str, Mapping[str, Path]], kubelet: KubeletInstall
) -> dict[str, Any]:
    wrapper = provisioning() / "roles" / "kubelet" / "files" / _WRAPPER.name
    executable = []
    if kubelet.copy:
        executable = [_file(kubelet.copy, FileSpec(kubelet.copy.name, kubelet.path, 0o755))]

    def host(name: str) -> dict[str, Any]:
        node = spec[name]
        node_files = [_file(files[name][file.name], file) for file in node.kubelet.files]
        links = []
        if node.kubelet.launcher.program == WRAPPER:
            # A box that has a kubelet-wrapper keeps its own.
            node_files.append({**_file(wrapper, _WRAPPER), "keep": True})
        else:
            links = [{"path": node.kubelet.launcher.program, "target": kubelet.path}]
        return {
            "role": node.role,
            "private_ipv4": str(node.address),
            "node_files": [*node_files, *executable],
            "node_links": links,
            "cni_conf_dir": node.kubelet.cni_conf_dir,
        }

    return {
        "all": {
            "vars": {
                "ansible_user": USER,
                "ansible_python_interpreter": "/usr/bin/python3",
                "kubelet_runtime": kubelet.runtime,
                "kubelet_replaced": kubelet.replaced,
                "node_folders": ["/etc/kubernetes"],
            },
        },
        "masters": {"hosts": [node.name for node in spec.masters]},
        "workers": {"hosts": [node.name for node in spec.workers]},
        "_meta": {"hostvars": {node.name: host(node.name) for node in spec}},
    }


def _file(source: Path, file: FileSpec) -> dict[str, Any]:
    """Return a file as the role's install_files module takes it."""
    return {
        "path": file.path,
        "content": base64.b64encode(source.read_bytes()).decode(),
        "owner": file.owner,
        "group": file.group,
        "mode": f"{file.mode:04o}",
    }


def _environment(config: Path, folder: Path) -> dict[str, str]:
    """Return a small environment: what is not passed on cannot end up in an artifact."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    path = [str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
    return {
        **environment,
        "PATH": os.pathsep.join(path),
        "ANSIBLE_CONFIG": str(config),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_NOCOLOR": "1",
    }


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
    return error
