"""Whether a kept cluster still is what is asked for, and what has to be done where it is not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pytest_kubecluster.hollow import render_hollow
from pytest_kubecluster.resources import provisioning
from pytest_kubecluster.settings import Settings
from pytest_kubecluster.spec import ClusterSpec


class Step(Enum):
    """What a kept cluster needs before it can be used."""

    NOTHING = "nothing"
    PROVISION = "provision"
    REBUILD = "rebuild"


@dataclass(frozen=True)
class Fingerprint:
    """Digests of all that a cluster is made from: of its machines, and of what is put on them."""

    machines: str
    provisioning: str


def fingerprint(spec: ClusterSpec, settings: Settings, image: str) -> Fingerprint:
    """Return the digests of the cluster that is asked for; ``image`` names the node image."""
    binary = settings.kubelet
    machines = [settings.provider, image, str(spec.network)]
    machines += [f"{node.name} {node.address}" for node in spec]
    machines += ["real" if binary else "hollow"]
    machines += [settings.python.identity if settings.python else ""]
    recipe = provisioning()
    machines += [(recipe / "Vagrantfile").read_text()]
    contents = [repr(spec)]
    if binary:
        contents += [f"{binary.path} {binary.path.stat().st_mtime_ns}"]
    else:
        contents += [render_hollow(spec.version).decode()]
    files = [*sorted(recipe.glob("*.yml")), *sorted((recipe / "roles").rglob("*"))]
    if settings.playbook:
        contents += [str(settings.playbook)]
        files += sorted(settings.playbook.parent.rglob("*"))
    contents += [path.read_text() for path in files if _is_source(path)]
    return Fingerprint(_digest(machines), _digest(contents))


def next_step(made: Fingerprint, wanted: Fingerprint, *, alive: bool) -> Step:
    """Say what to do with a cluster that was made from ``made`` where ``wanted`` is asked for.

    ``alive`` says whether every machine of it runs.
    """
    if not alive or made.machines != wanted.machines:
        return Step.REBUILD
    return Step.NOTHING if made.provisioning == wanted.provisioning else Step.PROVISION


def _is_source(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
