"""YAML as Kubernetes' own programs write it: sorted, and quoted with double quotes."""

from __future__ import annotations

from typing import Any

import yaml

_TEXT = "tag:yaml.org,2002:str"


class _Dumper(yaml.SafeDumper):
    """Writes documents as sigs.k8s.io/yaml does."""


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    plain = dumper.resolve(yaml.ScalarNode, value, (True, False)) == _TEXT  # type: ignore[no-untyped-call]
    return dumper.represent_scalar(_TEXT, value, style=None if plain else '"')


_Dumper.add_representer(str, _represent_text)


def go_yaml(document: Any) -> bytes:
    """Return a document as text."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=True, width=2**31)
    return text.encode()
