"""The hollow API server of a version: the program, packed with that version's facts."""

from __future__ import annotations

from typing import Any

from pytest_kubecluster.kubelet.archive import pack
from pytest_kubecluster.spec.programs import program_flags
from pytest_kubecluster.spec.version import KubeVersion


def render_hollow_apiserver(version: KubeVersion) -> bytes:
    """Return the hollow API server of ``version``: an executable file for Python 3.9 or newer."""
    return pack("hollow_apiserver", hollow_apiserver_facts(version))


def hollow_apiserver_facts(version: KubeVersion) -> dict[str, Any]:
    """Return what the hollow API server of ``version`` knows of that version."""
    minor = version.minor
    return {
        "git_version": version.git_version,
        "minor": minor,
        # name: type, warning
        "flags": {
            name: [flag.type, flag.deprecated]
            for name, flag in program_flags("kube-apiserver", minor).items()
        },
    }
