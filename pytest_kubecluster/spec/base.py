"""The configuration that a tool such as kubeadm writes, and what a spec makes of it.

Unlike the article's kubelet, which is translated flag by flag (``translate``), it starts from whole
files: a KubeletConfiguration of that version with all its fields, and an environment file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.flags import Flags
from pytest_kubecluster.spec.kinds import SettingError, kind_of, kinds
from pytest_kubecluster.spec.settings import parse_setting
from pytest_kubecluster.spec.translate import Change, Resolution
from pytest_kubecluster.spec.typed_values import Kind, flag_text, means_default
from pytest_kubecluster.spec.values import thawed
from pytest_kubecluster.spec.version import KubeVersion


@dataclass(frozen=True)
class Base:
    """What a tool writes for a kubelet of one version, before the fields of a spec change it."""

    flags: tuple[tuple[str, str], ...] = ()
    """The first flags of the command line, in the order of the unit."""
    environment: tuple[tuple[str, str], ...] = ()
    """The flags in the tool's environment file, which sorts them."""
    fields: tuple[tuple[str, Any], ...] = ()
    """The fields of the KubeletConfiguration by path, and its empty objects."""
    changes: tuple[Change, ...] = ()


def resolve_base(
    base: Base,
    version: KubeVersion,
    intended: Mapping[str, str],
    own: Mapping[str, str | None],
    required: Sequence[tuple[str, str, Change]] = (),
    settings: Sequence[tuple[Kind, Any]] = (),
) -> Resolution:
    """Return the flags and the configuration of a kubelet whose files a tool writes.

    ``intended`` are the fields of a spec as flags: where this version has a field of the
    configuration for one, that is set, and what it does not have is left out. ``own`` are a user's
    flags, ``required`` what the host requires, and ``settings`` a user's settings, with None for
    one that must not be set.
    """
    first = dict(base.flags)
    environment = dict(base.environment)
    fields = dict(base.fields)
    changes = list(base.changes)
    for name, text in intended.items():
        if name in first or not text or name not in catalog.flags(version.minor_version):
            continue
        kind = kind_of(version, name)
        if kind.path and (kind.path in fields or name not in environment):
            fields[kind.path] = thawed(parse_setting(version, name, text).value)
        else:
            environment[name] = text
    for name, text, change in required:
        kind = kind_of(version, name)
        if kind.path and name not in own:
            fields[kind.path] = thawed(parse_setting(version, name, text).value)
            changes.append(change)
    for kind, value in settings:
        if kind.flag:
            environment.pop(kind.flag, None)
        if value is None:
            fields.pop(kind.path or "", None)
        elif kind.path:
            fields[kind.path] = thawed(value)
        elif kind.flag:
            environment[kind.flag] = flag_text(kind, value)
        else:
            raise SettingError(f"{kind.name}: nothing can set it")
    for name, given in own.items():
        if name in first and given is not None:
            first[name] = given
        elif given is not None:
            environment[name] = given
        else:
            environment.pop(name, None)
            first.pop(name, None)
    flags = Flags({**first, **dict(sorted(environment.items()))})
    return Resolution(flags, _by_flag(version, fields), tuple(changes), fields)


def _by_flag(version: KubeVersion, fields: Mapping[str, Any]) -> Flags:
    """Return what fields set that have a flag, as flags write it; without zeros for a default."""
    known = kinds(version.minor_version)
    found: dict[str, str] = {}
    for path, value in fields.items():
        kind = known.get(path)
        if kind and kind.flag and not means_default(kind, value):
            found[kind.flag] = flag_text(kind, parse_setting(version, path, value).value)
    return Flags(found)
