"""The hollow kubelet of a version: one file, made of the program and that version's facts."""

from __future__ import annotations

import json
import re

from pytest_kubecluster import facts
from pytest_kubecluster.resources import provisioning
from pytest_kubecluster.version import KubeVersion

_PLACEHOLDER = re.compile(r"^FACTS: .*$", re.MULTILINE)


def render_hollow(version: KubeVersion) -> bytes:
    """Return the hollow kubelet of ``version``, ready to be installed as ``hyperkube``."""
    minor = version.minor_version
    known = {name: [flag.type, flag.deprecated] for name, flag in facts.flags(minor).items()}
    values = {
        "git_version": version.git_version,
        "flags": known,
        "configz": dict(facts.configz(minor)),
    }
    program = (provisioning() / "hollow" / "hyperkube.py").read_text()
    # A string literal of a JSON text: Python's own repr escapes whatever is in it.
    line = f"FACTS: dict[str, Any] = json.loads({json.dumps(values)!r})"
    return _PLACEHOLDER.sub(lambda _: line, program, count=1).encode()
