"""A running node, written down as the kubecluster.toml that it satisfies."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomlkit
from cryptography import x509
from cryptography.x509.oid import NameOID

from pytest_kubecluster.artifacts.pki import ensure_pki
from pytest_kubecluster.artifacts.render import write_files
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.layouts.cluster import spec_of
from pytest_kubecluster.machines.access import Access
from pytest_kubecluster.nodes.api_view import ApiView
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.node_object import NodeObject
from pytest_kubecluster.nodes.observation import Observation
from pytest_kubecluster.nodes.parts import File, Kubeconfig
from pytest_kubecluster.nodes.verdict import Difference, case_of, compare, differences_of
from pytest_kubecluster.nodes.verdict.process import why_not_running
from pytest_kubecluster.nodes.verdict.registration import SELF_SET, set_by_hand
from pytest_kubecluster.nodes.verdict.service import own_drop_ins
from pytest_kubecluster.spec.defaults import LayoutName
from pytest_kubecluster.spec.flags import TRUE, FlagError
from pytest_kubecluster.spec.kinds import SettingError, flag_of
from pytest_kubecluster.spec.model import ClusterSpec, KubeletSpec, Role
from pytest_kubecluster.spec.parts import NO_ADDRESS, Label, Taint
from pytest_kubecluster.spec.settings import (
    DEFAULT,
    Setting,
    configuration_settings,
    effective_settings,
    parse_setting,
    same_value,
)
from pytest_kubecluster.spec.specfile import NAME, read_spec_file
from pytest_kubecluster.spec.toml_values import url
from pytest_kubecluster.spec.topology import Machine
from pytest_kubecluster.spec.values import thawed
from pytest_kubecluster.spec.version import KNOWN, KubeVersion

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_APART = frozenset(
    {
        *("config", "hostname-override", "kubeconfig"),
        *("node-ip", "node-labels", "register-with-taints", "registerWithTaints"),
    }
)
"""Settings that a spec file states by a key of their own."""

_CUT = "(cut out)"
"""What the agent leaves of a secret."""


@dataclass(frozen=True)
class Pin:
    """A spec file, and where the node breaks an invariant, which no spec can allow."""

    text: str
    differences: tuple[Difference, ...]


def pin_node(
    name: str,
    role: Role,
    access: Access,
    layout: LayoutName,
    *,
    minimal: bool = False,
    view: ApiView | None = None,
) -> Pin:
    """Look at a node and return the spec file that it satisfies.

    A node of any layout but ``classic`` is described in full: settings, labels, taints, files,
    unit, identity and API server, if it has them; with ``minimal`` without settings that are the
    version's default. Of one with the layout ``classic``, only what differs from the article's is
    stated. Labels and taints are those of the Node object where ``view`` shows that, too.
    Raises KubeClusterError if no known kubelet runs there.
    """
    # What kubeadm or CIS ask for is no use as a start: the file says all.
    own = layout != "classic"
    layout = "found" if own else layout
    machine = Machine(name, role, NO_ADDRESS)
    seen = _first_look(machine, layout, access)
    version = _version(name, seen)
    try:
        table = pinned(seen, minimal=minimal) if own else {}
        if own and view and view.object:
            table.update(registered(view.object, minimal=minimal))
    except FlagError as error:
        raise KubeClusterError(f"{name}: its command line cannot be read: {error}") from None
    if not own:
        machine = replace(machine, address=seen.node_ip or machine.address)
        table = beside_the_article(seen, spec_from({}, machine, version, layout)[name].kubelet)
    document = document_of(name, version, table)
    spec = spec_from(document, machine, version, layout)
    seen = _look(spec, name, access)
    case = case_of(seen, spec[name])
    if view:
        case = replace(case, look_through_api=lambda: view)
    differences = differences_of(case)
    if not own and (files := _files_that_differ(differences, seen)):
        document = document_of(name, version, {**table, "files": files})
        spec = spec_from(document, machine, version, layout)
        differences = compare(_look(spec, name, access), spec[name])
    return Pin(toml_of(document), tuple(differences))


def pinned(seen: Observation, *, minimal: bool = False) -> dict[str, Any]:
    """Return the table of a node in a spec file: all that was seen and that a spec can state."""
    table: dict[str, Any] = {}
    credentials = seen.credentials
    if credentials is not None and credentials.path:
        table["kubeconfig"] = credentials.path
        with suppress(ValueError):
            table["api_server"] = url(credentials.server)
    if config := seen.flags.get("config"):
        if config.startswith("/"):
            table["config_path"] = config
        else:
            table["flags"] = {"config": config}
    if name := seen.flags.get("hostname-override"):
        table["hostname"] = name
    if seen.node_ips or not minimal:
        table["node_ip"] = [str(address) for address in seen.node_ips] or False
    with suppress(ValueError):
        if (taints := [str(Taint.parse(taint)) for taint in seen.taints]) or not minimal:
            table["taints"] = taints
    if seen.labels:
        table["labels"] = dict(seen.labels)
    if settings := dict(_settings(seen, minimal=minimal)):
        table["settings"] = settings
    if unit := _unit(seen):
        table["unit"] = unit
    if identity := _identity(credentials):
        table["identity"] = identity
    if host := _host(seen):
        table["host"] = host
    if files := list(_files(seen)):
        table["files"] = files
    return table


def registered(seen: NodeObject, *, minimal: bool = False) -> dict[str, Any]:
    """Return the labels and taints of a Node object but those that Kubernetes sets by itself."""
    table: dict[str, Any] = {}
    if (taints := [str(taint) for taint in set_by_hand(seen.taints)]) or not minimal:
        table["taints"] = taints
    if labels := {key: text for key, text in seen.labels.items() if key not in SELF_SET}:
        table["labels"] = labels
    return table


def _settings(seen: Observation, *, minimal: bool) -> Iterator[tuple[str, Any]]:
    """Yield the settings that something on the node states."""
    version = seen.read_as
    defaults: Mapping[str, Setting] = {}
    if minimal:
        with_file: dict[str, Any] | None = {} if seen.documents else None
        defaults = effective_settings(version, {}, with_file)
    shown = (
        one
        for one in seen.effective.values()
        if one.said_in != DEFAULT and _CUT not in repr(one.value)
    )
    yield from statable(version, shown, defaults)


def statable(
    version: KubeVersion, shown: Iterable[Setting], defaults: Mapping[str, Setting]
) -> Iterator[tuple[str, Any]]:
    """Yield the settings that a spec file can state as such, but those equal to ``defaults``."""
    for setting in shown:
        name, default = setting.name, defaults.get(setting.name)
        if name in _APART:
            continue
        if default and same_value(version, name, default.value, setting.value):
            continue
        with suppress(SettingError):
            parse_setting(version, name, setting.value)
            yield name, thawed(setting.value)


def _unit(seen: Observation) -> dict[str, Any]:
    unit: dict[str, Any] = {}
    name = seen.unit.get("Id", "")
    if name and name != KubeletSpec.unit:
        unit["name"] = name
    if not seen.unit_files:
        return unit
    if path := seen.unit.get("FragmentPath"):
        unit["path"] = path
    unit["drop_ins"] = list(own_drop_ins(seen))
    unit["environment_files"] = [
        path for path, (kind, _) in seen.unit_files.items() if kind == "environment"
    ]
    file = next((file for kind, file in seen.unit_files.values() if kind == "unit"), None)
    if file is not None and file.content and not file.cut:
        unit["text"] = file.text
    return unit


def _identity(credentials: Kubeconfig | None) -> dict[str, Any]:
    """Return the user and groups of the client certificate, where there is one."""
    if credentials is None or not credentials.certificates:
        return {}
    try:
        certificate = x509.load_pem_x509_certificate(credentials.certificates[0].encode())
    except ValueError:
        return {}
    users = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    groups = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    found: dict[str, Any] = {"user": str(users[0].value)} if users else {}
    return {**found, "groups": sorted({str(group.value) for group in groups})}


def _host(seen: Observation) -> dict[str, bool]:
    host: dict[str, bool] = {}
    started = int(seen.unit.get("ExecMainStartTimestampMonotonic") or 0)
    ready = int(seen.resolved.get("ActiveEnterTimestampMonotonic") or 0)
    if seen.resolved.get("ActiveState") == "active" and 0 < ready <= started:
        host["resolver"] = True
    if seen.failed_units:
        host["no_failed_units"] = False
    return host


def known_files(seen: Observation) -> Iterator[tuple[File, bool]]:
    """Yield the files that make the kubelet what it is, and whether to state their content.

    What a statement of its own covers (settings, the unit, the API server, the identity) is left
    out of it, and so are certificates that are renewed in place.
    """
    for kind, file in seen.unit_files.values():
        if file is not None:
            yield file, kind != "unit"
    if seen.client_ca.file is not None:
        # Before the kubeconfig, which may name the same file.
        yield seen.client_ca.file, True
    for document in seen.documents:
        if document.file is not None:
            yield document.file, False
    for one in (seen.credentials, seen.credentials and seen.credentials.bootstrap):
        if one is not None:
            if one.file is not None:
                yield one.file, False
            yield from ((file, False) for file, _ in one.files.values() if file is not None)


def _files(seen: Observation) -> Iterator[dict[str, Any]]:
    done: set[str] = set()
    for file, with_content in known_files(seen):
        if file.path not in done and file.path.startswith("/") and not file.problem:
            done.add(file.path)
            yield _statement(file, with_content=with_content)


def _statement(file: File, *, with_content: bool) -> dict[str, Any]:
    stated: dict[str, Any] = {
        "path": file.path,
        "owner": file.owner,
        "group": file.group,
        "mode": f"{file.mode:04o}",
    }
    return {**stated, "digest": file.digest} if with_content and file.digest else stated


# --- a node of the bundled layout ------------------------------------------------------------

_KEYS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "allow-privileged": ("allow_privileged", TRUE.__contains__),
    "anonymous-auth": ("anonymous_auth", TRUE.__contains__),
    "client-ca-file": ("client_ca_file", str),
    "cluster-dns": ("cluster_dns", lambda text: text.split(",")),
    "cluster-domain": ("cluster_domain", str),
    "cni-conf-dir": ("cni_conf_dir", str),
    "kubeconfig": ("kubeconfig", str),
    "lock-file": ("lock_file", str),
    "network-plugin": ("network_plugin", str),
    "pod-manifest-path": ("manifests", str),
    "register-with-taints": ("taints", lambda text: text.split(",")),
}
"""The keys of a spec file for flags, and how they write the value."""


def beside_the_article(seen: Observation, kubelet: KubeletSpec) -> dict[str, Any]:
    """Return the keys of a node's table: where its command line or file differ."""
    kubelet = replace(
        kubelet,
        cgroup_v1=seen.settings.get("fail-cgroupv1") == "false",
        swap=seen.settings.get("fail-swap-on") == "false",
        config_path=seen.flags.get("config", kubelet.config_path),
    )
    table: dict[str, Any] = {}
    if labels := _labels_beside_the_roles(seen, kubelet):
        table["labels"] = {label.key: label.value for label in labels}
        kubelet = replace(kubelet, labels=(*kubelet.labels, *labels))
    flags: dict[str, str] = {}
    wanted, actual = kubelet.settings, seen.settings
    settings = {
        setting.name: thawed(setting.value)
        for setting in _in_files(seen)
        if not _is_wanted(kubelet, setting)
    }
    for name, value in actual.items():
        if name in seen.config and name not in seen.flags and name not in _KEYS:
            continue
        on_command_line = name in seen.flags and name in kubelet.config
        same = same_value(kubelet.version, name, wanted.get(name), value)
        if name == "config" or (same and not on_command_line):
            continue
        if name in _KEYS and not on_command_line:
            key, read = _KEYS[name]
            table[key] = read(value)
        else:
            flags[name] = value
    missing = [name for name in wanted if name not in actual]
    if kubelet.config and "config" not in seen.flags:
        missing.append("config")
    for trait, flag in (("cgroup_v1", "fail-cgroupv1"), ("swap", "fail-swap-on")):
        if getattr(kubelet, trait) and flag in wanted:
            table[trait] = True
    if kubelet.config and kubelet.config_path != "/etc/kubernetes/kubelet.yaml":
        table["config_path"] = kubelet.config_path
    return {
        **table,
        **({"flags": flags} if flags else {}),
        **({"settings": settings} if settings else {}),
        **({"remove_flags": missing} if missing else {}),
    }


def _in_files(seen: Observation) -> Iterator[Setting]:
    """Yield the settings of the configuration files that no key and no flag states."""
    for setting in seen.effective.values():
        flag = flag_of(seen.read_as, setting.name)
        in_file = setting.said_in != DEFAULT and not setting.said_in.startswith("--")
        if in_file and flag not in _KEYS and setting.name not in _APART:
            yield setting


def _is_wanted(kubelet: KubeletSpec, setting: Setting) -> bool:
    wanted = configuration_settings(kubelet.version, kubelet.configuration, "").get(setting.name)
    return wanted is not None and same_value(
        kubelet.version, setting.name, wanted.value, setting.value
    )


def _labels_beside_the_roles(seen: Observation, kubelet: KubeletSpec) -> tuple[Label, ...]:
    """Return the labels that make the spec's the node's, if any added to the role's do."""
    labels = tuple(Label(key, value) for key, value in seen.labels.items())
    labels = tuple(label for label in labels if label not in kubelet.labels)
    made = replace(kubelet, labels=(*kubelet.labels, *labels)).node_labels
    # Their order is part of the command line.
    return labels if list(made.items()) == list(seen.labels.items()) else ()


def _files_that_differ(
    differences: Iterable[Difference], seen: Observation
) -> list[dict[str, Any]]:
    """Return statements about the files that are not the rendered ones."""
    names = {one.name for one in differences}
    return [
        _statement(file, with_content=f"{path} content" in names)
        for path, file in seen.files.items()
        if file is not None and names & {f"{path} {what}" for what in ("owner", "mode", "content")}
    ]


# --- reading and writing ---------------------------------------------------------------------


def _first_look(machine: Machine, layout: LayoutName, access: Access) -> Observation:
    """Look at a node of which nothing is known; its kubelet may be one of another unit."""

    def look(document: Mapping[str, Any]) -> Observation:
        spec = spec_from(document, machine, KubeVersion(1, 7, 5), layout)
        return _look(spec, machine.name, access)

    seen = look({})
    units = {one.unit for one in seen.kubelets if one.unit}
    if layout == "found" and not seen.running and len(units) == 1:
        return look({"unit": {"name": units.pop()}})
    return seen


def _look(spec: ClusterSpec, name: str, access: Access) -> Observation:
    """Look at a node with the files of its spec rendered beside it."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if spec[name].kubelet.bundled:
            write_files(spec, ensure_pki(folder / "pki"), folder, foreign_pki=True)
        return Node(spec[name], replace(access, files=str(folder / name))).look()


def spec_from(
    document: Mapping[str, Any], machine: Machine, version: KubeVersion, layout: LayoutName
) -> ClusterSpec:
    """Return the spec that a document makes of one machine."""
    spec = spec_of([machine], None, version, layout=layout)
    # The kubeconfig of a single node may name any API server.
    spec = replace(spec, api_server_url="https://127.0.0.1")
    *_, (_, spec) = read_spec_file(Path(NAME), document).steps(spec)
    return spec


def _version(name: str, seen: Observation) -> KubeVersion:
    """Return the version that runs, as the unit's image tag has it where there is one."""
    if not seen.running:
        raise KubeClusterError(f"{name}: kubelet process: {why_not_running(seen)}")
    version = seen.version
    if version is None:
        raise KubeClusterError(f"{name}: the version of its kubelet is not known")
    if not version.known:
        raise KubeClusterError(
            f"{name}: kubelet {version.number} is outside the known range, {KNOWN}"
        )
    units = [file.text for _, file in seen.unit_files.values() if file]
    tag = re.search(r'KUBELET_IMAGE_TAG="?([\w.-]+)', "".join(units))
    with suppress(ValueError):
        if tag and (stated := KubeVersion.parse(tag[1])).number == version.number:
            return stated
    return version


def document_of(name: str, version: KubeVersion, table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec file of one node as a document."""
    text = str(version) if version.build else version.number
    return {"version": text, "node": {name: dict(table)}}


def toml_of(document: Mapping[str, Any]) -> str:
    """Return a document as TOML; texts of several lines are written as such."""
    written = tomlkit.dumps(_with_lines(document))
    if tomllib.loads(written) == document:
        return written
    return tomlkit.dumps(document)


def _with_lines(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_lines(one) for key, one in value.items()}
    if isinstance(value, str) and "\n" in value:
        return tomlkit.string(value, multiline=True)
    return value
