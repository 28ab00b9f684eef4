"""Builds the image of container nodes from Debian packages, once for each recipe."""

from __future__ import annotations

import hashlib
import platform
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.packages import way_to_install
from pytest_kubecluster.machines.preflight import Requirement
from pytest_kubecluster.machines.recipe import (
    Variant,
    distribution,
    package_list,
    package_sources,
    suite,
)
from pytest_kubecluster.util.cache import one_at_a_time
from pytest_kubecluster.util.process import CommandError, Commands, capture
from pytest_kubecluster.util.resources import provisioning

REPOSITORY = "kubecluster-node"
_BUILD_SECONDS = 900.0
_PULL_SECONDS = 60.0
_ASK_SECONDS = 60.0


def image_name(variant: Variant) -> str:
    """Return the name of the image. Its tag is a digest of everything that it is made from."""
    recipe = provisioning() / "image"
    digest = hashlib.sha256(f"{variant} {suite()} {platform.machine()}".encode())
    for file in sorted(recipe.iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return f"{REPOSITORY}:{variant}-{digest.hexdigest()[:12]}"


def image_id(name: str) -> str:
    """Return the digest that Docker has for an image, empty if it does not have the image."""
    argv = ["docker", "image", "inspect", "--format", "{{.Id}}", name]
    return capture(argv, timeout=_ASK_SECONDS).stdout.strip()


def image_exists(name: str) -> bool:
    """Return whether Docker has the image."""
    return bool(image_id(name))


def image_requirement(variant: Variant) -> Requirement:
    """Return whether Docker has the node image, or whether it can be built."""
    name, base = image_name(variant), _base_image_name()
    if image_exists(name):
        return Requirement("node image", found=name)
    if shutil.which("mmdebstrap") or image_exists(base) or _registry_has(base):
        return Requirement("node image", found="not built yet; the first run builds it in a minute")
    return Requirement(
        "node image",
        f"no image registry answers (tried {base}), and mmdebstrap is not on the PATH",
        way_to_install("mmdebstrap"),
    )


def ensure_image(
    variant: Variant, commands: Commands, cache: Path, say: Callable[[str], None]
) -> str:
    """Return the name of the node image, built now if Docker does not have it.

    It is built on an official base image if a registry answers, and otherwise with mmdebstrap from
    the host's own package mirror. ``cache`` is the folder for a lock: only one of several runs
    builds. Raises KubeClusterError if neither way works.
    """
    name = image_name(variant)
    if image_exists(name):
        return name
    waiting = f"another run is building the node image {name}"
    with one_at_a_time(cache / "image.lock", lambda: say(waiting)):
        if not image_exists(name):
            say(f"building the node image {name} (once, a minute or so)")
            if _has_base_image(commands):
                _build_on_base(name, variant, commands)
            else:
                _build_from_packages(name, variant, commands)
    return name


def _build_on_base(name: str, variant: Variant, commands: Commands) -> None:
    packages = " ".join(package_list(variant))
    argv = ["docker", "build", "--tag", name, "--build-arg", f"PACKAGES={packages}"]
    argv += ["--build-arg", f"BASE={_base_image_name()}", str(provisioning() / "image")]
    commands.run("image", argv, timeout=_BUILD_SECONDS)


def _build_from_packages(name: str, variant: Variant, commands: Commands) -> None:
    if shutil.which("mmdebstrap") is None:
        raise KubeClusterError(
            "the node image cannot be built: no image registry answers "
            f"(tried docker pull {_base_image_name()}) and mmdebstrap is not installed\n"
            f"  {way_to_install('mmdebstrap')}"
        )
    recipe = provisioning() / "image"
    with tempfile.TemporaryDirectory(prefix="kubecluster-image-") as folder:
        root = Path(folder) / "root.tar"
        sources = Path(folder) / "sources.list"
        sources.write_text(package_sources())
        inside = (
            "install -m 0755 /tmp/node-init /usr/local/sbin/node-init"
            " && sh /tmp/setup && rm /tmp/setup /tmp/node-init"
        )
        argv = ["mmdebstrap", "--variant=minbase", f"--include={','.join(package_list(variant))}"]
        argv += ['--aptopt=Acquire::Languages "none"']
        argv += [f"--customize-hook=copy-in {recipe / 'setup'} {recipe / 'node-init'} /tmp"]
        argv += [f'--customize-hook=chroot "$1" sh -c "{inside}"']
        commands.run("image", [*argv, suite(), str(root), str(sources)], timeout=_BUILD_SECONDS)
        changes = ["ENV container=docker", 'CMD ["/usr/local/sbin/node-init"]']
        options = [word for change in changes for word in ("--change", change)]
        commands.run(
            "image", ["docker", "import", *options, str(root), name], timeout=_BUILD_SECONDS
        )


def _has_base_image(commands: Commands) -> bool:
    """Return whether Docker has the official base image, or can pull it."""
    base = _base_image_name()
    try:
        if not image_exists(base):
            commands.run("image", ["docker", "pull", "--quiet", base], timeout=_PULL_SECONDS)
    except CommandError:
        return False
    return True


def _registry_has(image: str) -> bool:
    """Return whether a registry answers for an image. Nothing is pulled."""
    argv = ["docker", "manifest", "inspect", image]
    try:
        return capture(argv, timeout=_ASK_SECONDS).status == 0
    except KubeClusterError:
        return False


def _base_image_name() -> str:
    base = distribution()
    return f"{base}:{suite()}" + ("-slim" if base == "debian" else "")
