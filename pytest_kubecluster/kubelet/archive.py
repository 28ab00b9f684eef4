"""Hollow programs as files: one executable archive of a program and the facts of a version.

An archive is made as zipapp makes one, but with a fixed time for its entries, so that the same
input gives the same bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pytest_kubecluster.util.resources import provisioning

SHEBANG = b"#!/usr/bin/env python3\n"
_COMMON = "hollow_common"
_YAML = ("error", "events", "parser", "reader", "scanner", "tokens")
"""The modules of PyYAML that read YAML; nothing else of it is packed."""
_EARLIEST = (1980, 1, 1, 0, 0, 0)


def pack(program: str, facts: Mapping[str, Any]) -> bytes:
    """Return an executable archive of a package of ``provisioning/hollow`` and its facts."""
    content = json.dumps(facts).encode()
    packed = io.BytesIO(SHEBANG)
    packed.seek(0, io.SEEK_END)
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (*_modules(program), (f"{_COMMON}/facts.json", content)):
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


@cache
def _modules(program: str) -> tuple[tuple[str, bytes], ...]:
    """Return a program's modules and those of the installed PyYAML, by name in the archive."""
    return (*_own_modules(program), *_own_modules(_COMMON), *_yaml_modules())


def _own_modules(package: str) -> Iterator[tuple[str, bytes]]:
    folder = provisioning() / "hollow"
    for path in sorted((folder / package).glob("*.py")):
        # What runs an archive is at its top.
        top = path.name == "__main__.py"
        yield path.name if top else str(path.relative_to(folder)), path.read_bytes()


def _yaml_modules() -> Iterator[tuple[str, bytes]]:
    # PyYAML's own __init__ would import its writing half.
    yield "yaml/__init__.py", b""
    installed = metadata.distribution("PyYAML")
    for name in _YAML:
        yield f"yaml/{name}.py", Path(str(installed.locate_file(f"yaml/{name}.py"))).read_bytes()
    for path in installed.files or ():
        if path.name == "LICENSE":
            yield "yaml/LICENSE", path.read_binary()
