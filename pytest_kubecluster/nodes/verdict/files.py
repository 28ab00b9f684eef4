"""The files on the node's disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from pytest_kubecluster.nodes.parts import File
from pytest_kubecluster.nodes.verdict.difference import Case, Difference, Evidence, NothingToCheck
from pytest_kubecluster.spec.model import KubeletSpec
from pytest_kubecluster.spec.parts import FileStatement

_WRITABLE = 0o022
_READABLE = 0o077


def unit_has_the_rendered_bytes(case: Case) -> Iterator[Difference]:
    """Expect the bytes of the unit's file, where they are known."""
    yield from _content(
        case, case.kubelet.unit_path, "the spec does not state the content of the unit file"
    )


def client_ca_has_the_rendered_bytes(case: Case) -> Iterator[Difference]:
    """Expect the bytes of the client CA, where they are known."""
    yield from _content(case, case.kubelet.client_ca_file)


def kubeconfig_has_the_rendered_bytes(case: Case) -> Iterator[Difference]:
    """Expect the bytes of the kubeconfig, where they are known."""
    yield from _content(case, case.kubelet.kubeconfig)


def ca_key_has_the_rendered_bytes(case: Case) -> Iterator[Difference]:
    """Expect the bytes of the CA's key, where they are known."""
    yield from _content(case, case.kubelet.ca_key_file, "the spec states no CA key")


def configuration_has_the_rendered_bytes(case: Case) -> Iterator[Difference]:
    """Expect the bytes of the configuration file, where they are known."""
    yield from _content(case, case.kubelet.config_path, "the spec states no configuration file")


def unit_is_owned_by_root(case: Case) -> Iterator[Difference]:
    """Expect the unit's files to be owned and writable by root only."""
    if stated := _statement(case, case.kubelet.unit_path):
        yield from _ownership(case, stated)
    for path, (_, file) in case.seen.unit_files.items():
        # The file of a unit that is masked is /dev/null.
        ours = stated is not None and path == stated.path
        if file is not None and file.kind == "file" and not ours:
            yield from _only_root(file, _WRITABLE, "writable by root only")


def client_ca_is_owned_by_root(case: Case) -> Iterator[Difference]:
    """Expect the client CA in use to be owned and writable by root only."""
    yield from _stated_or(case, case.kubelet.client_ca_file, _WRITABLE)


def kubeconfig_is_readable_by_root_only(case: Case) -> Iterator[Difference]:
    """Expect that only root can read the kubelet's key, token or password.

    A spec that states another mode of the kubeconfig opens it.
    """
    stated = _statement(case, case.kubelet.kubeconfig)
    if stated is not None:
        yield from _ownership(case, stated)
    used = case.seen.credentials
    if used is None:
        if stated is None:
            raise NothingToCheck("the kubelet has no --kubeconfig")
        return
    for one in (used, used.bootstrap):
        if one is None:
            continue
        paths: Mapping[str, tuple[File | None, bool]] = one.files
        if _embeds_a_secret(one.document):
            paths = {**paths, one.path: (one.file, True)}
        for path, (file, secret) in paths.items():
            if file is not None and secret and _statement(case, path) is None:
                yield from _only_root(file, _READABLE, "readable by root only")


def _embeds_a_secret(document: Mapping[str, object]) -> bool:
    return "(cut out)" in repr(document)


def ca_key_is_readable_by_root_only(case: Case) -> Iterator[Difference]:
    """Expect that only root can read the CA's key, if there is one."""
    file = case.seen.client_ca.key_file
    stated = _statement(case, case.kubelet.ca_key_file)
    if stated is None and file is not None:
        stated = _statement(case, file.path)
    if stated is not None:
        yield from _ownership(case, stated)
    elif file is None:
        raise NothingToCheck("there is no CA key on this node, and the spec states none")
    else:
        yield from _only_root(file, _READABLE, "readable by root only")


def configuration_is_readable_by_root_only(case: Case) -> Iterator[Difference]:
    """Expect the stated owner and mode of the configuration; others must not write it."""
    stated = _statement(case, case.kubelet.config_path)
    if stated is not None:
        yield from _ownership(case, stated)
    documents = [one for one in case.seen.documents if _statement(case, one.path) is None]
    if stated is None and not documents:
        raise NothingToCheck("the kubelet has no --config")
    for one in documents:
        if one.file is not None:
            yield from _only_root(one.file, _WRITABLE, "writable by root only")


def stated_files_are_as_stated(case: Case) -> Iterator[Difference]:
    """Expect all other files that the spec names, or that they are absent."""
    kubelet = case.kubelet
    elsewhere = {kubelet.unit_path, kubelet.client_ca_file, kubelet.kubeconfig}
    elsewhere |= {kubelet.ca_key_file, kubelet.config_path}
    others = [one for one in case.stated.files if one.absent or one.path not in elsewhere]
    if not others:
        raise NothingToCheck("the spec states no other files")
    for one in others:
        file = case.seen.files.get(one.path)
        if one.absent:
            if file is not None:
                yield Difference(one.path, None, "a file", Evidence.FILES, one.said_in)
            continue
        yield from _ownership(case, one)
        yield from _content_of(one, file)


def folders_are_owned_by_root(case: Case) -> Iterator[Difference]:
    """Expect the folders of the kubelet's files, writable by their owner only."""
    if case.stated.complete:
        for path in bundled_folders(case.kubelet):
            folder = case.seen.files.get(path)
            if folder is None or folder.kind != "directory":
                actual = folder.kind if folder else None
                yield Difference(path, "a folder", actual, Evidence.FILES)
            else:
                # Not the mode alone: containerd makes the folder of its CNI configuration 0700.
                yield from _only_root(folder, _WRITABLE, "writable by root only")
        return
    pods = case.seen.static_pods
    if pods is None or pods.file is None:
        raise NothingToCheck("the kubelet has no folder of static pods")
    yield from _closed(pods.file, _WRITABLE, "writable by its owner only")


def bundled_folders(kubelet: KubeletSpec) -> tuple[str, ...]:
    """Return the folders that the unit of a bundled layout makes."""
    folder = str(PurePosixPath(kubelet.kubeconfig).parent)
    return tuple(filter(None, (folder, kubelet.manifests, kubelet.cni_conf_dir)))


def lock_file_is_owned_by_root(case: Case) -> Iterator[Difference]:
    """Expect the lock file of a kubelet that has one, writable by root alone."""
    path, file = case.seen.lock_path, case.seen.lock_file
    if not path:
        raise NothingToCheck("the kubelet has no --lock-file")
    if case.seen.process is None:
        raise NothingToCheck("no kubelet runs")
    if file is None:
        yield Difference(path, "a lock file", None, Evidence.FILES)
    elif case.stated.complete:
        # The kubelet itself makes it: os.OpenFile(path, …, 0600) in pkg/util/flock.
        yield from _compared(file, FileStatement(path, "root", "root", 0o600))
    else:
        yield from _only_root(file, _WRITABLE, "writable by root only")


def program_is_owned_by_root(case: Case) -> Iterator[Difference]:
    """Expect that only root can change the kubelet's program."""
    process = case.seen.process
    if process is None:
        raise NothingToCheck("no kubelet runs")
    if process.file is not None:
        yield from _only_root(process.file, _WRITABLE, "writable by root only")


def no_static_pod_is_unstated(case: Case) -> Iterator[Difference]:
    """Expect no static pods on a node of a bundled layout, which states none."""
    if not case.stated.complete:
        raise NothingToCheck("the spec does not state which static pods there are")
    pods = case.seen.static_pods
    if pods is None:
        raise NothingToCheck("the kubelet has no folder of static pods")
    for name in pods.names:
        yield Difference(f"{pods.path}/{name}", None, "a static pod", Evidence.FILES)


def _statement(case: Case, path: str) -> FileStatement | None:
    found = (one for one in case.stated.files if one.path == path and not one.absent)
    return next(found, None)


def _content(
    case: Case, path: str, otherwise: str = "the spec does not state its content"
) -> Iterator[Difference]:
    stated = _statement(case, path)
    if stated is None:
        raise NothingToCheck(otherwise)
    if stated.content is None and stated.digest is None:
        raise NothingToCheck("the nodes were not provisioned by this run, so its keys are unknown")
    yield from _content_of(stated, case.seen.files.get(path))


def _content_of(stated: FileStatement, file: File | None) -> Iterator[Difference]:
    name = f"{stated.path} content"
    digest = stated.digest
    if digest is None:
        return
    if file is None:
        yield Difference(stated.path, "a file", None, Evidence.FILES, stated.said_in)
    elif file.digest != digest:
        # Of a file that is not rendered here only the digest is stated.
        known = stated.content is not None
        wanted = "as rendered" if known else f"SHA-256 {digest}"
        other = "different content" if known else f"SHA-256 {file.digest}"
        actual = file.problem or other
        if stated.content is not None and file.content is not None:
            actual = f"different content: {_first_difference(stated.content, file)}"
        yield Difference(name, wanted, actual, Evidence.FILES, stated.said_in)


def _first_difference(wanted: bytes, file: File) -> str:
    expected, actual = wanted.decode(errors="replace").splitlines(), file.text.splitlines()
    for number, (one, other) in enumerate(zip(expected, actual, strict=False), 1):
        if one != other:
            return f"line {number} is {other!r}"
    if len(actual) > len(expected):
        return f"line {len(expected) + 1} is {actual[len(expected)]!r}"
    return f"it ends after line {len(actual)}"


def _stated_or(case: Case, path: str, bits: int) -> Iterator[Difference]:
    if stated := _statement(case, path):
        yield from _ownership(case, stated)
        return
    file = case.seen.client_ca.file
    if file is None:
        raise NothingToCheck("the kubelet has no client CA")
    yield from _only_root(file, bits, "writable by root only")


def _ownership(case: Case, stated: FileStatement) -> Iterator[Difference]:
    file = case.seen.files.get(stated.path)
    if file is None:
        yield Difference(stated.path, "a file", None, Evidence.FILES, stated.said_in)
        return
    yield from _compared(file, stated)


def _compared(file: File, stated: FileStatement) -> Iterator[Difference]:
    owner = f"{stated.owner or file.owner}:{stated.group or file.group}"
    if owner != f"{file.owner}:{file.group}":
        actual = f"{file.owner}:{file.group}"
        yield Difference(f"{stated.path} owner", owner, actual, Evidence.FILES, stated.said_in)
    if stated.mode is not None and stated.mode != file.mode:
        expected, actual = f"{stated.mode:04o}", f"{file.mode:04o}"
        yield Difference(f"{stated.path} mode", expected, actual, Evidence.FILES, stated.said_in)


def _only_root(file: File, bits: int, expected: str) -> Iterator[Difference]:
    if file.owner != "root":
        actual = f"{file.owner}:{file.group}"
        yield Difference(f"{file.path} owner", "root", actual, Evidence.FILES)
    yield from _closed(file, bits, expected)


def _closed(file: File, bits: int, expected: str) -> Iterator[Difference]:
    """Yield a mode that opens a file to others; root's group is root."""
    if file.group == "root":
        bits &= ~0o070
    if file.mode & bits:
        yield Difference(f"{file.path} mode", expected, f"{file.mode:04o}", Evidence.FILES)
