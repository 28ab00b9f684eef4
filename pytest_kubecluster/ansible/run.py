"""Makes kubelet nodes of booted machines: one Ansible run over all of them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pytest_kubecluster.ansible.events import (
    TaskRun,
    changed_tasks,
    names_of_changed_tasks,
    task_runs,
)
from pytest_kubecluster.ansible.failures import ProvisioningError, explain
from pytest_kubecluster.ansible.inventory import (
    InventorySource,
    KubeletInstall,
    Target,
    write_inventory,
)
from pytest_kubecluster.ansible.requirements import find_requirements, install_requirements
from pytest_kubecluster.artifacts.control_plane import PlacedFile
from pytest_kubecluster.artifacts.pki import Pki
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.util.ansible_cli import PLAIN_OUTPUT, own_environment
from pytest_kubecluster.util.atomic import private_folder, write_atomically
from pytest_kubecluster.util.process import CommandError, Commands
from pytest_kubecluster.util.redact import copy_redacted
from pytest_kubecluster.util.resources import provisioning

__all__ = [
    "KubeletInstall",
    "Provisioning",
    "ProvisioningError",
    "ProvisioningResult",
    "Target",
    "check_playbook",
    "provision",
]

_SETTINGS = {
    **PLAIN_OUTPUT,
    "ANSIBLE_PIPELINING": "1",
    # The article's groups are called role=master and role=worker.
    "ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS": "ignore",
    # Nobody can answer a prompt.
    "ANSIBLE_ASK_PASS": "0",
    "ANSIBLE_ASK_VAULT_PASS": "0",
    "ANSIBLE_BECOME_ASK_PASS": "0",
}
"""Settings that override the user's configuration: the environment has precedence."""
_PASSED_ON = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "SSH_AUTH_SOCK", "TMPDIR")


@dataclass(frozen=True)
class Provisioning:
    """What to provision, with what, and how.

    ``playbook`` is the user's own, run in place of the bundled one; what a machine comes with is
    installed before it. ``python_unpacker`` is a script that installs Python on nodes without one.
    ``inventory`` is the content of the user's own inventory, if the nodes come from one. Where
    playbook or inventory are the user's, ``own_folder`` is where their Ansible is configured and
    runs; otherwise no configuration counts. ``existing`` are machines that this package did not
    boot. ``forks`` nodes are worked on at the same time. ``folder`` holds Ansible's own state.
    Nodes are contacted once the file ``ready`` exists. ``control_plane`` has the files of the
    control plane by master, and ``control_plane_upload`` are
    its programs on this host, where masters do not see these.
    """

    spec: ClusterSpec
    nodes: Sequence[Target]
    kubelet: KubeletInstall
    pki: Pki
    folder: Path
    ready: Path
    forks: int
    playbook: Path | None = None
    python_unpacker: Path | None = None
    inventory: Mapping[str, Any] | None = field(default=None, repr=False)
    own_folder: Path | None = None
    existing: bool = False
    control_plane: Mapping[str, Sequence[PlacedFile]] = field(default_factory=dict, repr=False)
    control_plane_upload: Sequence[tuple[str, Path]] = ()


@dataclass(frozen=True)
class ProvisioningResult:
    """What a run of the playbook changed."""

    changed: Mapping[str, int] = field(default_factory=dict)
    """How many tasks changed something, by node."""
    tasks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The names of the tasks that changed something, by node."""


class _Tagged(yaml.SafeLoader):
    """Ignores Ansible's own tags, ``!unsafe`` and ``!vault``."""


_Tagged.add_multi_constructor("!", lambda loader, suffix, node: None)


def check_playbook(path: Path) -> Path:
    """Return the path of a playbook, as far as it can be checked without running it.

    Raises KubeClusterError with the problem.
    """
    try:
        plays = yaml.load(path.read_text(), _Tagged)
    except OSError as error:
        raise KubeClusterError(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KubeClusterError(f"{path} is not valid YAML: {error}") from None
    known = ("hosts", "import_playbook", "ansible.builtin.import_playbook")
    is_list = isinstance(plays, list) and plays
    if not is_list or not all(isinstance(p, dict) and any(k in p for k in known) for p in plays):
        raise KubeClusterError(f"{path} is not a playbook: it must be a list of plays with hosts")
    return path


def provision(
    work: Provisioning,
    commands: Commands,
    *,
    timeout: float,
    on_task: Callable[[str], None],
    on_end: Callable[[TaskRun], None] = lambda run: None,
) -> ProvisioningResult:
    """Run the bundled playbook, or the user's own, on all nodes; it may run again later.

    ``on_task`` is called with the name of each task that begins; ``on_end``, once Ansible has
    ended, with every task on every node. Raises ProvisioningError for the first task that failed
    on a node, or if Ansible takes longer than ``timeout`` seconds.

    No secret stays in the log, whatever a playbook prints, and nothing of Ansible's own record.
    """
    private = private_folder(work.folder / "runner")
    artifacts = private / "artifacts" / "run"
    # What a run that was killed left.
    shutil.rmtree(artifacts, ignore_errors=True)
    source = InventorySource(
        work.spec,
        work.nodes,
        work.kubelet,
        work.pki,
        bare=work.playbook is not None,
        theirs=work.inventory or {},
        python_unpacker=work.python_unpacker,
        existing=work.existing,
        control_plane=work.control_plane,
        control_plane_upload=work.control_plane_upload,
    )
    script = write_inventory(source, work.folder, work.ready)
    argv = [sys.executable, "-m", "ansible_runner", "run", str(private)]
    argv += ["--playbook", str(_playbook(work)), "--inventory", str(script)]
    # The environment may hold secrets, which must not be written to files.
    argv += ["--ident", artifacts.name, "--omit-env-files"]
    if work.own_folder:
        argv += ["--project-dir", str(work.own_folder)]

    def on_line(line: str) -> None:
        if line.startswith("TASK ["):
            on_task(line[len("TASK [") : line.rindex("]")])

    environment, log = _environment(work), commands.logs / "ansible.log"
    if work.playbook and work.own_folder and find_requirements(work.playbook):
        on_task("Install the roles and collections that the playbook requires")
        environment |= install_requirements(
            work.playbook,
            private_folder(work.folder / "required"),
            commands,
            timeout=timeout,
            environment=environment,
            cwd=work.own_folder,
        )
    try:
        commands.run("ansible", argv, timeout=timeout, env=environment, on_line=on_line)
        return ProvisioningResult(changed_tasks(artifacts), names_of_changed_tasks(artifacts))
    except CommandError as error:
        raise explain(artifacts, error, _secrets(work)) from None
    finally:
        for run in task_runs(artifacts):
            on_end(run)
        copy_redacted(log, log, _secrets(work))
        shutil.rmtree(artifacts, ignore_errors=True)


def _secrets(work: Provisioning) -> list[str]:
    """Return the secrets that a playbook can come by, and print."""
    return [*work.pki.secrets(), *(node.access.sudo_password for node in work.nodes)]


def _playbook(work: Provisioning) -> Path:
    """Return the playbook to run: one that imports what comes before it, if anything does."""
    before = [provisioning() / "python.yml"] if work.python_unpacker else []
    if work.control_plane:
        before.append(provisioning() / "control-plane.yml")
    if work.playbook:
        before.append(provisioning() / "node.yml")
    chosen = work.playbook or provisioning() / "playbook.yml"
    if not before:
        return chosen
    imports = [{"import_playbook": str(path)} for path in (*before, chosen)]
    path = work.folder / "playbook.yml"
    write_atomically(path, json.dumps(imports).encode(), 0o600)
    return path


def _environment(work: Provisioning) -> dict[str, str]:
    """Return Ansible's environment: the user's own, or a default one."""
    if work.own_folder:
        environment = own_environment()
    else:
        config = work.folder / "ansible.cfg"
        write_atomically(config, b"# Ansible's own defaults\n", 0o600)
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment["ANSIBLE_CONFIG"] = str(config)
        environment["ANSIBLE_HOME"] = str(work.folder / "home")
    path = [str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
    return {
        **environment,
        **_SETTINGS,
        "PATH": os.pathsep.join(path),
        "ANSIBLE_FORKS": str(work.forks),
        "ANSIBLE_SSH_ARGS": f"-F {shlex.quote(work.nodes[0].access.ssh_config)}",
    }
