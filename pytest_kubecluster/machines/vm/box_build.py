"""Builds the bundled Vagrant box of virtual machines, and fetches others.

Boxes are kept unpacked in the cache. What Vagrant sees as a cluster's box is a link to one of those
folders: nothing is imported, and nothing of a cluster is left when its folder is removed.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import platform
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.box_source import BoxSource
from pytest_kubecluster.machines.packages import way_to_install
from pytest_kubecluster.machines.recipe import (
    Variant,
    distribution,
    package_list,
    package_sources,
    read_packages,
    suite,
)
from pytest_kubecluster.machines.vagrant import vagrant_home
from pytest_kubecluster.util.cache import new_file, new_folder, one_at_a_time
from pytest_kubecluster.util.http import download
from pytest_kubecluster.util.process import CommandError, Commands
from pytest_kubecluster.util.resources import provisioning

KERNEL, INITRD = "vmlinuz", "initrd.img"
"""What the bundled box has besides its disk: it boots without a boot loader."""

_VERSION = "1"
_METADATA = "metadata.json"
DISK = "box.img"
_DISK_GIGABYTES = 8
_BUILD_SECONDS = 900.0
_FETCH_SECONDS = 3600.0
_KERNELS = {"debian": "linux-image-cloud-amd64", "ubuntu": "linux-image-virtual"}
"""Kernels with what a virtual machine needs, and little else."""
_PIECE = 1 << 20
_LARGEST = 1 << 36
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
"""Debian has mkfs in a folder that is only in root's PATH."""
_ENVIRONMENT = {**os.environ, "PATH": _PATH}
_MAKE_DISK = """\
mkdir "$1" && tar --extract --file "$2" --directory "$1" && mkfs.ext4 -q -d "$1" "$3"
status=$?
rm -rf "$1"
exit $status
"""


def own_box_name(variant: Variant) -> str:
    """Return the name of the bundled box, which ends in a digest of everything it is made from."""
    digest = hashlib.sha256(f"{variant} {suite()} {platform.machine()} {_DISK_GIGABYTES}".encode())
    for recipe in ("image", "box"):
        for file in sorted((provisioning() / recipe).iterdir()):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return f"kubecluster-{variant}-{digest.hexdigest()[:12]}"


def kernel_package() -> str:
    """Return the kernel's package; its name differs between distributions."""
    return _KERNELS.get(distribution(), _KERNELS["debian"])


def box_folder(cache: Path, name: str) -> Path:
    """Return the folder in which the box of that name is unpacked."""
    return cache / "boxes" / name


def ensure_own_box(
    variant: Variant, commands: Commands, cache: Path, say: Callable[[str], None]
) -> Path:
    """Return the folder of the bundled box, built now if ``cache`` does not have it.

    Raises KubeClusterError if it cannot be built.
    """
    name = own_box_name(variant)
    with _shelf(cache, name, say) as fresh:
        if fresh is not None:
            say(f"building the box {name} (once, a minute or so)")
            _build(fresh, variant, commands)
    return box_folder(cache, name)


def ensure_box(
    source: BoxSource,
    provider: str,
    commands: Commands,
    cache: Path,
    say: Callable[[str], None],
    disks: Callable[[Mapping[str, Any]], Sequence[str]],
) -> Path:
    """Return the folder of another box for ``provider``, fetched and unpacked if necessary.

    ``disks`` returns the files that a box with the given metadata must contain. Raises
    KubeClusterError if the box cannot be used, and leaves nothing of it behind.
    """
    name = source.name_for(provider)
    with _shelf(cache, name, say) as fresh:
        if fresh is not None:
            if source.kind == "name":
                _fetch_by_name(source.where, provider, fresh, commands, say)
            elif source.kind == "url":
                with _workplace(fresh) as folder:
                    file = Path(folder) / "box"
                    download(source.where, file, what="the box", limit=_LARGEST, progress=say)
                    _unpack(file, source, fresh)
            else:
                _unpack(Path(source.where), source, fresh)
            _check(fresh, provider, source.shown, disks)
    return box_folder(cache, name)


def link_box(box: Path, home: Path, name: str, provider: str) -> None:
    """Make a Vagrant with the home folder ``home`` see the unpacked ``box`` as its box ``name``.

    It also sees the plugins that this user has installed.
    """
    link = home / "boxes" / name / _VERSION / provider
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(box)
    for installed in ("plugins.json", "gems"):
        if (vagrant_home() / installed).exists():
            (home / installed).symlink_to(vagrant_home() / installed)


def pack(folder: Path) -> Path:
    """Return the path of a box as a file for Vagrant, packed from its folder if necessary."""
    file = folder.with_name(f"{folder.name}.box")
    with one_at_a_time(folder.with_name(f"{folder.name}.lock"), lambda: None):
        if not file.exists():
            with new_file(file) as temporary, tarfile.open(temporary, "w") as tar:
                for path in sorted(folder.iterdir()):
                    tar.add(path, path.name)
    return file


@contextmanager
def _shelf(cache: Path, name: str, say: Callable[[str], None]) -> Iterator[Path | None]:
    """Yield a new folder that becomes that of the box on success, None if the box exists."""
    folder = box_folder(cache, name)
    if folder.is_dir():
        yield None
        return
    lock = folder.with_name(f"{name}.lock")
    with one_at_a_time(lock, lambda: say(f"another run is making the box {name}")):
        if folder.is_dir():
            yield None
            return
        with new_folder(folder) as fresh:
            yield fresh


def _workplace(fresh: Path) -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder beside a new box, which is removed with it after a killed run."""
    return tempfile.TemporaryDirectory(dir=fresh.parent, prefix=f"{fresh.name}.")


def _build(folder: Path, variant: Variant, commands: Commands) -> None:
    """Build the bundled box: packages and setup of the node image, a kernel, and a disk."""
    for tool, package in (
        ("mmdebstrap", "mmdebstrap"),
        ("mkfs.ext4", "e2fsprogs"),
        ("qemu-img", "qemu-utils"),
    ):
        if shutil.which(tool, path=_PATH) is None:
            raise KubeClusterError(
                f"the box cannot be built: {tool} is not installed\n  {way_to_install(package)}"
            )
    image, box = provisioning() / "image", provisioning() / "box"
    packages = [*package_list(variant), *read_packages(box / "packages"), kernel_package()]
    with _workplace(folder) as temporary:
        root, disk, sources = (Path(temporary) / name for name in ("root.tar", "disk", "sources"))
        sources.write_text(package_sources())
        argv = ["mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}"]
        argv += ['--aptopt=Acquire::Languages "none"']
        argv += [f"--customize-hook=copy-in {box / 'node-init'} /usr/local/sbin"]
        for setup in (image / "setup", box / "setup"):
            argv += [f"--customize-hook=copy-in {setup} /tmp"]
            argv += ['--customize-hook=chroot "$1" sh /tmp/setup']
        argv += [f"--customize-hook=copy-out /boot/{KERNEL} /boot/{INITRD} {folder}"]
        argv += ['--customize-hook=rm -r "$1"/tmp/setup "$1"/boot/*']
        commands.run("box", [*argv, suite(), str(root), str(sources)], timeout=_BUILD_SECONDS)
        with disk.open("wb") as file:
            file.truncate(_DISK_GIGABYTES << 30)
        argv = [*_as_root(), "sh", "-c", _MAKE_DISK, "sh", f"{temporary}/root", str(root)]
        commands.run("box", [*argv, str(disk)], timeout=_BUILD_SECONDS, env=_ENVIRONMENT)
        argv = ["qemu-img", "convert", "-O", "qcow2", str(disk), str(folder / DISK)]
        commands.run("box", argv, timeout=_BUILD_SECONDS)
    metadata = {"provider": "libvirt", "format": "qcow2", "virtual_size": _DISK_GIGABYTES}
    (folder / _METADATA).write_text(json.dumps(metadata))
    (folder / "Vagrantfile").write_text("")


def _as_root() -> list[str]:
    """Return the arguments in front of a command that let it create files of root."""
    return [] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--map-auto"]


def _fetch_by_name(
    name: str, provider: str, folder: Path, commands: Commands, say: Callable[[str], None]
) -> None:
    """Let Vagrant fetch a box from its catalogue into ``folder``."""
    say(f"fetching the box {name} from Vagrant's catalogue (once)")
    with _workplace(folder) as home:
        argv = ["vagrant", "box", "add", "--provider", provider, "--", name]
        environment = {**os.environ, "VAGRANT_HOME": home, "VAGRANT_CHECKPOINT_DISABLE": "1"}
        try:
            commands.run("box", argv, timeout=_FETCH_SECONDS, env=environment)
        except CommandError as error:
            raise KubeClusterError(
                f"the box {name} cannot be fetched for {provider}: {error}"
            ) from None
        # Newer Vagrants have a folder for each architecture.
        metadata = next(Path(home, "boxes").rglob(_METADATA))
        for path in metadata.parent.iterdir():
            shutil.move(path, folder)


def _unpack(file: Path, source: BoxSource, folder: Path) -> None:
    """Verify the checksum of a box, if there is one, and unpack it. Raises KubeClusterError."""
    if source.checksum:
        then = "check --kube-box-checksum, or fetch the box again"
        source.checksum.verify(file, f"the box {source.shown}", then)
    try:
        with tarfile.open(file) as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                if member.isdir():
                    continue
                if name.is_absolute() or ".." in name.parts or not member.isfile():
                    raise KubeClusterError(
                        f"the box {source.shown} contains {member.name}, which is not a regular "
                        "file inside its folder\n  do not trust it; use another box"
                    )
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                content = tar.extractfile(member)
                assert content is not None
                with target.open("wb") as out:
                    shutil.copyfileobj(content, out, _PIECE)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise KubeClusterError(
            f"{source.shown} is not a box: it is not a complete tar archive ({error})\n"
            "  it may be a login page, or a part is missing; fetch the box again"
        ) from None


def _check(
    folder: Path, provider: str, where: str, disks: Callable[[Mapping[str, Any]], Sequence[str]]
) -> None:
    """Check that ``provider`` can boot an unpacked box. Raises KubeClusterError."""
    try:
        metadata: Any = json.loads((folder / _METADATA).read_text())
        made_for = metadata["provider"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KubeClusterError(
            f"{where} is not a Vagrant box: it has no {_METADATA} that names a provider ({error})"
        ) from None
    if made_for != provider:
        raise KubeClusterError(
            f"{where} is a box for {made_for}, and --kube-provider is {provider}\n"
            f"  use the box for {provider}, or the other provider"
        )
    if missing := [disk for disk in disks(metadata) if not (folder / disk).is_file()]:
        raise KubeClusterError(f"{where} is not a complete box: its disk {missing[0]} is missing")
