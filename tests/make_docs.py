"""Writes what is generated in docs/: kubelet-versions.md here, and the reference.

python -m tests.make_docs
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.catalog import MINORS
from pytest_kubecluster.spec.defaults import LayoutName
from pytest_kubecluster.spec.model import KubeletSpec
from tests.make_golden import NODES, layouts_of, spec_of
from tests.make_reference import write_pages

PAGE = Path(__file__).parent.parent / "docs" / "kubelet-versions.md"
FEW = 12

# What no list of flags shows: read in cmd/kubelet, cmd/hyperkube and their change logs at each
# minor, and seen on real ones for 1.7 to 1.10.
BEHAVIOUR: Mapping[str, tuple[str, ...]] = {
    "1.8": (
        "The kubelet does not start while swap is on, unless `--fail-swap-on=false` (CHANGELOG-1.8).",
        "`--kubeconfig` alone is enough to find the API server; `--require-kubeconfig` is deprecated.",
        "`--cert-dir` is `/var/lib/kubelet/pki` by default, no longer `/var/run/kubernetes`.",
    ),
    "1.9": ("`--cloud-provider` is empty by default, no longer `auto-detect` (kubernetes#53573).",),
    "1.10": (
        "`--config` takes a KubeletConfiguration (`kubelet.config.k8s.io/v1beta1`). Beware: with it, "
        "anonymous access is off, webhook authentication and authorization are on, and the read-only "
        "port is closed, unless flags or the file say otherwise.",
        "Without `--kubeconfig` the kubelet runs alone; its default path is gone.",
        "An unknown flag ends it with status 255 (1 through the hyperkube of 1.7 to 1.9).",
        "systemd is notified (`Type=notify` works).",
        "The last of CoreOS's own images: `quay.io/coreos/hyperkube:v1.10.5_coreos.0`.",
    ),
    "1.11": ("A word on the command line that belongs to no flag is an error.",),
    "1.13": (
        "Labels of `kubernetes.io` and `k8s.io` in `--node-labels` bring a warning, but for those under "
        "`kubelet.kubernetes.io`, `node.kubernetes.io` and a few well-known ones.",
    ),
    "1.15": ("`--register-with-taints` takes `key:Effect` too; before, `key=:Effect` was needed.",),
    "1.16": (
        "Such labels, `node-role.kubernetes.io/master` among them, are an error: the kubelet does not "
        "start. Set them through the API (kubernetes#85073).",
        "The last hyperkube that is a binary.",
    ),
    "1.17": (
        "hyperkube is a script in its image, and no longer a release file. Its `/kubelet` does not "
        "work with kubelet-wrapper: set `KUBELET_IMAGE_ARGS=--exec=kubelet`.",
    ),
    "1.18": ("The last hyperkube image.",),
    "1.19": (
        "No hyperkube at all: run the `kubelet` of the release. Flatcar has no kubelet-wrapper and no "
        "rkt since 2857.0.0 (April 2021).",
        "The first kubelet that runs on a host with cgroup v2 alone.",
    ),
    "1.20": (
        "Docker as a runtime is deprecated.",
        "kubeadm labels masters `node-role.kubernetes.io/control-plane` too.",
    ),
    "1.21": ("An unknown flag ends the kubelet with status 1 (255 from 1.10 to 1.20).",),
    "1.24": (
        "dockershim is gone (KEP-2221): `--container-runtime-endpoint` must name containerd or another "
        "CRI runtime, whose own configuration has the CNI folders and the pause image.",
        "kubeadm gives control planes both taints, `node-role.kubernetes.io/master` and `…/control-plane`.",
    ),
    "1.25": (
        "kubeadm sets the taint `node-role.kubernetes.io/control-plane` alone.",
        "Keys and values of `--node-labels` are checked for their syntax.",
    ),
    "1.26": ("The runtime must speak CRI v1: containerd 1.6 or newer.",),
    "1.27": ("The runtime's endpoint is `unix:///run/containerd/containerd.sock` by default.",),
    "1.31": (
        "On cgroup v1 the kubelet warns that support for it is in maintenance.",
        "The cgroup driver that the runtime reports wins over `--cgroup-driver`.",
    ),
    "1.32": (
        "`--cloud-provider` takes nothing but an empty value or `external`.",
        "`--runonce` is an error.",
    ),
    "1.35": (
        "The kubelet does not start on cgroup v1 unless `failCgroupV1: false` (KEP-5573).",
    ),
}  # fmt: skip


def page() -> str:
    """Return the whole page."""
    return "\n".join([*_introduction(), *(line for minor in MINORS for line in _section(minor))])


def _introduction() -> Iterator[str]:
    yield f"""\
# What changed for your unit, version by version

For anyone who upgrades a node from one Kubernetes version to another: which flags the kubelet of each minor from
{MINORS[0]} to {MINORS[-1]} no longer accepts, which settings move to another place, and how its behaviour changes. Read every
section after your present version, up to and including the target version. The example is the unit of the article
*HA Kubernetes cluster with Vagrant+CoreOS+Ansible, Part 3* (2018, kubelet 1.7.5); each section also says what changes on a
worker in the [layouts](explanation/layouts.md) `kubeadm` and `hardened`. The files of all layouts in each version are in
[tests/golden](../tests/golden); pytest-kubecluster renders them, and `kubecluster matrix {MINORS[3]}.13 {MINORS[17]}.17` boots nodes
with them and checks each.

This page is generated from the data that the package itself works with (`python -m tests.make_docs`).

## At a glance

| from | removed flags | changes in the example's unit |
|---|---|---|"""
    for before, minor in pairwise(MINORS):
        gone = _names(_gone(before, minor))
        news = "; ".join(_headlines(before, minor))
        if gone or news:
            yield f"| [{minor}](#{minor.replace('.', '')}) | {gone} | {news} |"
    yield ""


def _section(minor: str) -> Iterator[str]:
    before = MINORS[MINORS.index(minor) - 1] if minor != MINORS[0] else None
    yield f"## {minor}\n"
    if before is None:
        flags = "\n".join(f"    {word}" for word in _kubelet(minor, "master").flags.words())
        yield f"The example's master:\n\n{flags}\n"
    else:
        yield from _changes(before, minor)
        yield from _flags(before, minor)
    for layout in layouts_of(minor):
        yield from _layout_section(layout, before, minor)
    if said := BEHAVIOUR.get(minor):
        yield "Changed behaviour:\n"
        yield from (f"- {text}" for text in said)
        yield ""
    elif before is not None and not _differs(before, minor):
        yield "Nothing that affects a unit.\n"


def _layout_section(layout: LayoutName, before: str | None, minor: str) -> Iterator[str]:
    """Yield what changes on a node of another layout than the article's: files, flags, fields."""
    if before is None or layout not in layouts_of(before):
        yield f"The first minor of the layout [{layout}](explanation/layouts.md).\n"
        return
    old, new = (spec_of(one, layout)["worker01"].kubelet for one in (before, minor))
    reasons = {change.what: change for change in new.changes}
    news = [reasons[what] for what in reasons if what not in {c.what for c in old.changes}]
    lines = [f"- {_code(c.what)}: {_code(c.reason)} ({c.source})" for c in dict.fromkeys(news)]
    for what, former, present in (
        ("files", _paths(old), _paths(new)),
        ("flags", dict(old.flags), dict(new.flags)),
        ("fields of the configuration", _leaves(old), _leaves(new)),
    ):
        lines += _difference(what, former, present)
    if lines:
        yield f"In the layout `{layout}`:\n"
        yield from lines
        yield ""


def _difference(what: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    added, gone = ([k for k in one if k not in other] for one, other in ((new, old), (old, new)))
    changed = [key for key in new if key in old and new[key] != old[key]]
    for verb, keys in (("new", added), ("gone", gone)):
        if keys:
            yield f"- {verb} {what}: {', '.join(f'`{key}`' for key in sorted(keys))}"
    if what != "files" and changed:
        shown = (f"`{key}`, from `{old[key]}` to `{new[key]}`" for key in sorted(changed))
        yield f"- changed {what}: {', '.join(shown)}"


def _paths(kubelet: KubeletSpec) -> dict[str, str]:
    return {file.path: file.name for file in kubelet.files}


def _leaves(kubelet: KubeletSpec) -> dict[str, str]:
    found: dict[str, str] = {}

    def walk(prefix: str, value: object) -> None:
        if isinstance(value, Mapping) and value:
            for key, item in value.items():
                walk(f"{prefix}{key}.", item)
        else:
            found[prefix.rstrip(".")] = json.dumps(value)

    walk("", kubelet.configuration)
    return found


def _changes(before: str, minor: str) -> Iterator[str]:
    news = [
        change
        for role in NODES
        for change in _kubelet(minor, role).changes
        if change.what not in {old.what for old in _kubelet(before, role).changes}
    ]
    if news:
        yield "The example's unit:\n"
        for what, reason, source in dict.fromkeys((c.what, c.reason, c.source) for c in news):
            yield f"- {_code(what)}: {_code(reason)} ({source})"
        yield ""


def _flags(before: str, minor: str) -> Iterator[str]:
    old, new = catalog.flags(before), catalog.flags(minor)
    gone = _gone(before, minor)
    if gone:
        yield "Removed, and an error on the command line:\n"
        for name in gone:
            history = catalog.history(name)
            instead = f"; instead: {_code(history.instead)}" if history and history.instead else ""
            yield f"- `--{name}`{instead}"
        yield ""
    marked = [
        name for name in new if name in old and new[name].deprecated and not old[name].deprecated
    ]
    yield from _list("Deprecated, and still accepted", marked)
    yield from _list("New", [name for name in new if name not in old])


def _list(title: str, names: list[str]) -> Iterator[str]:
    if len(names) > FEW:
        yield f"<details><summary>{title}: {len(names)} flags</summary>\n"
        yield f"{_names(names)}\n\n</details>\n"
    elif names:
        yield f"{title}: {_names(names)}\n"


def _headlines(before: str, minor: str) -> Iterator[str]:
    """Yield what changes in a master's unit, briefly."""
    old, new = _kubelet(before, "master"), _kubelet(minor, "master")
    if dropped := [name for name in old.settings if name not in new.settings]:
        yield f"without {_names(dropped)}"
    if moved := [name for name in new.config if name in old.flags]:
        yield f"in the file: {_names(moved)}"
    if added := [name for name in new.settings if name not in old.settings and name in new.flags]:
        yield f"with {_names(added)}"
    if old.node_taints != new.node_taints:
        taints = ", ".join(f"`{taint}`" for taint in new.node_taints)
        yield f"taints {taints}"
    if old.launcher != new.launcher:
        image = f" of `{new.launcher.image_url}`" if new.launcher.image_url else ""
        args = f", `{new.launcher.image_args}`" if new.launcher.image_args else ""
        yield f"started by `{new.launcher.program}`{image}{args}"


def _gone(before: str, minor: str) -> list[str]:
    """Return the flags of any kubelet that go with a minor; those of hyperkube itself do not count."""
    new = catalog.flags(minor)
    old = catalog.flags(before).values()
    return [flag.name for flag in old if flag.name not in new and flag.origin != "hyperkube"]


def _differs(before: str, minor: str) -> bool:
    layouts = (line for one in layouts_of(minor) for line in _layout_section(one, before, minor))
    return any([*_changes(before, minor), *_flags(before, minor), *layouts])


def _kubelet(minor: str, role: str) -> KubeletSpec:
    return spec_of(minor)[NODES[role]].kubelet


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`--{name}`" for name in names)


def _code(text: str) -> str:
    """Return a text with its flags in code type."""
    words = text.split(" ")
    return " ".join(_flag_in_code(word) for word in words)


def _flag_in_code(word: str) -> str:
    start = "(" if word.startswith("(--") else ""
    bare = word.removeprefix("(")
    core = bare.rstrip(",;:.)")
    return f"{start}`{core}`{bare[len(core) :]}" if bare.startswith("--") else word


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
    write_pages()
