"""The hollow kubelet of a version: one file, made of the program and that version's facts."""

from __future__ import annotations

import json

from pytest_kubecluster import facts
from pytest_kubecluster.resources import provisioning
from pytest_kubecluster.version import KubeVersion

PLACEHOLDER = (
    "FACTS: dict[str, Any] = {}  # replaced by the facts of one version when the file is rendered\n"
)


def render_hollow(version: KubeVersion) -> bytes:
    """Return the hollow kubelet of ``version``, ready to be installed as ``hyperkube``."""
    minor = version.minor_version
    values = {
        "git_version": version.git_version,
        # name: type, default, warning, hidden, origin
        "flags": {
            name: [flag.type, flag.default, flag.deprecated, flag.hidden, flag.origin]
            for name, flag in facts.flags(minor).items()
        },
        "gates": facts.feature_gates(minor),
        "configz": dict(facts.configz(minor)),
    }
    before, found, after = (
        (provisioning() / "hollow" / "hyperkube.py").read_text().partition(PLACEHOLDER)
    )
    if not found:
        raise RuntimeError("the hollow kubelet has no line for its facts")
    # A string literal of a JSON text: Python's own repr escapes whatever is in it.
    line = f"FACTS: dict[str, Any] = json.loads({json.dumps(values)!r})\n"
    return (before + line + after).encode()
