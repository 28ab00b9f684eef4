"""Compares a kept cluster with the requested one, and decides what has to be redone."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pytest_kubecluster.cluster.config import Settings
from pytest_kubecluster.cluster.registry import Record
from pytest_kubecluster.kubelet.hollow import render_hollow
from pytest_kubecluster.kubelet.hollow_apiserver import render_hollow_apiserver
from pytest_kubecluster.kubelet.host_requirements import machine_traits
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.util.resources import provisioning


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
    """Return the digests of the requested cluster; ``image`` names the node image."""
    binary = settings.binary
    machines = [settings.machines.name, image, str(spec.network)]
    machines += [f"{node.name} {node.address}" for node in spec]
    machines += ["real" if binary else "hollow"]
    if binary and not settings.machines.shares_kernel:
        machines += sorted(machine_traits(spec.version))
    # What a control plane has put on the masters stays there.
    plane = spec.control_plane
    machines += ["" if plane is None else "hollow" if plane.hollow else "real"]
    machines += [settings.python.identity if settings.python else ""]
    recipe = provisioning()
    machines += [(recipe / "Vagrantfile").read_text()]
    contents: list[str | bytes] = [repr(spec)]
    if binary:
        contents += [f"{binary.path} {binary.path.stat().st_mtime_ns}"]
    else:
        contents += [render_hollow(spec.version)]
    if plane and plane.hollow:
        contents += [render_hollow_apiserver(plane.version)]
    elif programs := settings.control_plane_binaries:
        contents += [f"{file} {file.stat().st_mtime_ns}" for _, file in programs.files]
    files = [*sorted(recipe.glob("*.yml")), *_sources(recipe / "roles")]
    if settings.playbook:
        contents += [str(settings.playbook)]
        files += _sources(settings.playbook.parent)
    contents += [path.read_bytes() for path in files]
    return Fingerprint(_digest(machines), _digest(contents))


def next_step(made: Fingerprint, wanted: Fingerprint, *, alive: bool) -> Step:
    """Return what to do with a cluster that was made from ``made`` if ``wanted`` is requested.

    ``alive`` is whether any of its machines runs.
    """
    if not alive or made.machines != wanted.machines:
        return Step.REBUILD
    return Step.NOTHING if made.provisioning == wanted.provisioning else Step.PROVISION


def machine_differences(record: Record, spec: ClusterSpec, provider: str) -> str:
    """Describe how the machines of a kept cluster differ from the requested ones."""
    return "; ".join(_machine_differences(record, spec, provider)) or (
        "its machines were made from another image or box, Vagrantfile or Python, or for another "
        "kind of kubelet"
    )


def _machine_differences(record: Record, spec: ClusterSpec, provider: str) -> Iterator[str]:
    names = [node.name for node in spec]
    if list(record.nodes) != names:
        yield f"its nodes are {', '.join(record.nodes)}, not {', '.join(names)}"
    if record.network != str(spec.network):
        yield f"its network is {record.network}, not {spec.network}"
    if record.provider != provider:
        yield f"its provider is {record.provider}, not {provider}"


def _sources(folder: Path) -> list[Path]:
    """Return the files that a playbook in ``folder`` may consist of.

    Hidden files and folders, such as Git's, have no part in it.
    """
    files = []
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "." and name != "__pycache__"]
        files += [Path(where) / name for name in names if name[0] != "."]
    return sorted(path for path in files if path.is_file())


def _digest(parts: Iterable[str | bytes]) -> str:
    encoded = [part.encode() if isinstance(part, str) else part for part in parts]
    return hashlib.sha256(b"\0".join(encoded)).hexdigest()[:16]
