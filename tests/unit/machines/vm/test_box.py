from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.box_source import BoxSource, box_source
from pytest_kubecluster.machines.vm.base import VirtualMachines
from pytest_kubecluster.machines.vm.box_build import (
    box_folder,
    ensure_box,
    link_box,
    own_box_name,
    pack,
)
from pytest_kubecluster.machines.vm.libvirt import LibvirtMachines
from pytest_kubecluster.util.checksum import Checksum
from pytest_kubecluster.util.process import Commands

Mode = Literal["w", "w:gz", "w:xz"]
SHA256 = "sha256:" + "0" * 64
METADATA = json.dumps({"provider": "libvirt", "format": "qcow2", "virtual_size": 1}).encode()
GOOD = {"./metadata.json": METADATA, "./box.img": b"a disk", "./Vagrantfile": b""}


def box(files: Mapping[str, bytes | tarfile.TarInfo], mode: Mode = "w:gz") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as tar:
        for name, data in files.items():
            if isinstance(data, tarfile.TarInfo):
                tar.addfile(data)
                continue
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


@pytest.fixture
def have(tmp_path: Path) -> Have:
    return Have(tmp_path)


class Have:
    """Ensures boxes in a separate cache for the test."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache"
        self.file = folder / "my.box"
        self.said: list[str] = []
        (folder / "logs").mkdir()
        self.commands = Commands(folder / "logs")

    def __call__(self, source: BoxSource, provider: str = "libvirt") -> Path:
        disks = (LibvirtMachines if provider == "libvirt" else VirtualMachines).disks_of_box
        return ensure_box(source, provider, self.commands, self.cache, self.said.append, disks)

    def refused(self, source: BoxSource, provider: str = "libvirt") -> str:
        with pytest.raises(KubeClusterError) as caught:
            self(source, provider)
        # No partial result is left.
        assert [
            path.name for path in (self.cache / "boxes").iterdir() if path.suffix != ".lock"
        ] == []
        return str(caught.value)

    def refused_content(self, content: bytes, provider: str = "libvirt") -> str:
        self.file.write_bytes(content)
        return self.refused(BoxSource("file", str(self.file)), provider)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("debian/bookworm64", "name"),
        ("flatcar-stable/x.y", "name"),
        ("https://example.org/a.box", "url"),
        ("http://me:secret@example.org/a.box?token=1", "url"),
        ("here.box", "file"),
        ("./folder/box", "file"),
    ],
)
def test_requested_boxes(text: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "here.box").touch()
    (tmp_path / "folder" / "box").touch()
    source = box_source(text, None, tmp_path, images=False)
    assert source is not None
    assert source.kind == kind


def test_empty_text_selects_the_bundled_box(tmp_path: Path) -> None:
    assert box_source("", None, tmp_path, images=False) is None


def test_containers_boot_from_images(tmp_path: Path) -> None:
    assert box_source("mine:1", None, tmp_path, images=True) == BoxSource("image", "mine:1")
    for text, checksum in (
        ("https://example.org/a", None),
        ("./a.box", None),
        ("mine:1", Checksum.parse(SHA256)),
    ):
        with pytest.raises(
            ValueError, match="is a box for virtual machines; add --kube-provider=lib"
        ):
            box_source(text, checksum, tmp_path, images=True)


@pytest.mark.parametrize(
    ("text", "checksum", "message"),
    [
        ("nowhere.box", "", "'nowhere.box' is not an existing file, an"),
        ("folder/nowhere.box", "", "is not an existing file"),
        ("ftp://example.org/a.box", "", "is not an existing file, an http or https URL"),
        ("https://", "", "is not an existing file"),
        (".", "", "is not an existing file"),
        ("debian/bookworm64", SHA256, "the checksum of debian/bookworm64 is in Vagrant's catalogue"),
        ("", SHA256, "a checksum needs the box that it is for"),
    ],
)  # fmt: skip
def test_invalid_boxes(text: str, checksum: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        box_source(text, Checksum.parse(checksum) if checksum else None, tmp_path, images=False)


def test_another_file_at_the_same_path_is_another_box(have: Have) -> None:
    source = BoxSource("file", str(have.file))
    have.file.write_bytes(b"one")
    before = source.name_for("libvirt")
    have.file.write_bytes(b"other")
    assert source.name_for("libvirt") != before


def test_a_file_that_went_away_is_named(have: Have) -> None:
    with pytest.raises(KubeClusterError, match=r"my\.box cannot be read: No such file"):
        BoxSource("file", str(have.file)).name_for("libvirt")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_good_box_is_unpacked_once(mode: Mode, have: Have) -> None:
    have.file.write_bytes(box({**GOOD, "./include/_Vagrantfile": b"x"}, mode))
    digest = hashlib.sha256(have.file.read_bytes()).hexdigest()
    source = BoxSource("file", str(have.file), Checksum("sha256", digest))
    folder = have(source)
    assert (folder / "box.img").read_bytes() == b"a disk"
    assert (folder / "include" / "_Vagrantfile").read_bytes() == b"x"
    (folder / "box.img").write_bytes(b"not written again")
    assert have(source) == folder
    assert (folder / "box.img").read_bytes() == b"not written again"


def test_a_wrong_checksum(have: Have) -> None:
    have.file.write_bytes(box(GOOD))
    digest = hashlib.sha1(have.file.read_bytes()).hexdigest()
    message = have.refused(BoxSource("file", str(have.file), Checksum("sha1", "0" * 40)))
    assert "my.box does not match its sha1 checksum" in message
    assert f"found     {digest}" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a box: it is not a complete tar archive"),
        (b"<html>Log in first</html>", "is not a box: it is not a complete tar archive"),
        (box(GOOD)[:-40], "is not a box: it is not a complete tar archive"),
        (box(GOOD, "w")[:2000], "is not a box: it is not a complete tar archive"),
        (box({"box.img": b"x"}), "is not a Vagrant box: it has no metadata.json"),
        (box({**GOOD, "./metadata.json": b"{"}), "it has no metadata.json that names a provider"),
        (box({**GOOD, "./metadata.json": b"[]"}), "it has no metadata.json that names a provider"),
        (box({"metadata.json": METADATA}), "is not a complete box: its disk box.img is missing"),
        (box({**GOOD, "../escaped": b"x"}), "contains ../escaped, which is not a regular file"),
        (box({**GOOD, "/tmp/escaped": b"x"}), "contains /tmp/escaped, which is not a regular file"),
        (
            box({**GOOD, "way": link("way", "/etc")}),
            "contains way, which is not a regular file inside",
        ),
    ],
    # Archives hold the time: in an id it would differ between the workers of pytest-xdist.
    ids=range(11),
)
def test_file_that_is_not_a_box(content: bytes, message: str, have: Have) -> None:
    assert message in have.refused_content(content)
    assert not (have.cache / "escaped").exists()


def test_a_disk_of_the_newer_format(have: Have) -> None:
    metadata = json.dumps({"provider": "libvirt", "disks": [{"path": "root.qcow2"}]}).encode()
    message = have.refused_content(box({"metadata.json": metadata, "box.img": b""}))
    assert "its disk root.qcow2 is missing" in message


def test_a_box_of_another_provider(have: Have) -> None:
    message = have.refused_content(box({**GOOD, "./metadata.json": b'{"provider": "virtualbox"}'}))
    assert "is a box for virtualbox, and --kube-provider is libvirt" in message
    assert "is a box for libvirt" in have.refused_content(box(GOOD), "virtualbox")


class Site:
    """A web server with one box, which it may not give whole."""

    def __init__(self) -> None:
        self.content = box(GOOD)
        self.missing = 0
        self.asked = 0
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked += 1
                found = self.path.startswith("/boxes/a.box")
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(site.content)))
                self.end_headers()
                self.wfile.write(site.content[: len(site.content) - site.missing])

            def log_message(self, *words: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/boxes/a.box"


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, daemon=True)
    thread.start()
    yield site
    site.server.shutdown()
    site.server.server_close()


def test_a_download_is_kept(site: Site, have: Have) -> None:
    source = BoxSource("url", site.url + "?v=1")
    folder = have(source)
    assert (folder / "box.img").read_bytes() == b"a disk"
    assert have(source) == folder
    assert site.asked == 1
    assert have.said[-1].startswith("downloaded the box")


def test_a_download_that_stops_half_way(site: Site, have: Have) -> None:
    site.missing = 50
    message = have.refused(BoxSource("url", site.url))
    assert f"{site.url} cannot be downloaded" in message
    assert f"of {len(site.content)} bytes" in message
    site.missing = 0
    assert have(BoxSource("url", site.url)).is_dir()


def test_a_download_of_something_else(site: Site, have: Have) -> None:
    assert "does not match its sha256 checksum" in have.refused(
        BoxSource("url", site.url, Checksum("sha256", "0" * 64))
    )
    site.content = b"<html>Log in first</html>"
    assert "is not a box" in have.refused(BoxSource("url", site.url))


def test_a_box_that_is_not_there(site: Site, have: Have) -> None:
    message = have.refused(BoxSource("url", site.url.replace("/a.box", "/b.box")))
    assert "b.box cannot be downloaded: there is no such file" in message


def test_credentials_are_not_shown(site: Site, have: Have) -> None:
    site.missing = 10
    source = BoxSource("url", site.url.replace("://", "://me:s3cret@") + "?token=s3cret")
    assert "s3cret" not in have.refused(source)
    site.missing = 0
    site.content = b"<html>Log in first</html>"
    message = have.refused(source)
    assert f"{site.url} is not a box" in message
    assert "s3cret" not in message + repr(source)


def test_a_catalogue_that_does_not_answer(
    have: Have, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vagrant = tmp_path / "vagrant"
    vagrant.write_text("#!/bin/sh\necho The box could not be found >&2\nexit 1\n")
    vagrant.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    message = have.refused(BoxSource("name", "debian/nothing"))
    assert "the box debian/nothing cannot be fetched for libvirt" in message
    assert "The box could not be found" in message


def test_a_box_of_the_catalogue(
    have: Have, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vagrant unpacks it into its home; newer ones into a folder for each architecture."""
    vagrant = tmp_path / "vagrant"
    there = '"$VAGRANT_HOME"/boxes/debian-VAGRANTSLASH-x/12.1/amd64/libvirt'
    vagrant.write_text(
        f"#!/bin/sh\nmkdir -p {there}\ncd {there}\n"
        f"printf '%s' '{METADATA.decode()}' >metadata.json\n: >box.img\n"
        f'echo "$@" >{tmp_path}/asked\n'
    )
    vagrant.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    folder = have(BoxSource("name", "debian/x"))
    assert sorted(path.name for path in folder.iterdir()) == ["box.img", "metadata.json"]
    assert (tmp_path / "asked").read_text() == "box add --provider libvirt -- debian/x\n"


def test_what_a_killed_run_left_is_replaced(have: Have) -> None:
    have.file.write_bytes(box(GOOD))
    source = BoxSource("file", str(have.file))
    half = box_folder(have.cache, f".{source.name_for('libvirt')}.0a1b2c3d")
    half.mkdir(parents=True)
    (half / "box.img.part").touch()
    download = half.with_name(f"{half.name}.x1")
    download.mkdir()
    assert sorted(path.name for path in have(source).iterdir()) == sorted(
        Path(name).name for name in GOOD
    )
    assert not half.exists()
    assert not download.exists()


def test_vagrant_sees_a_linked_box_and_the_users_plugins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, made, home = tmp_path / "own", tmp_path / "box", tmp_path / "home"
    for folder in (own, made, home):
        folder.mkdir()
    (own / "plugins.json").write_text("{}")
    monkeypatch.setenv("VAGRANT_HOME", str(own))
    link_box(made, home, "kubecluster-x", "libvirt")
    assert (home / "boxes" / "kubecluster-x" / "1" / "libvirt").resolve() == made
    assert (home / "plugins.json").read_text() == "{}"
    assert not (home / "gems").exists()


def test_a_packed_box_is_a_box(have: Have, tmp_path: Path) -> None:
    folder = tmp_path / "boxes" / "kubecluster-plain-1"
    folder.mkdir(parents=True)
    (folder / "metadata.json").write_bytes(METADATA)
    (folder / "box.img").write_bytes(b"a disk")
    packed = pack(folder)
    assert packed == folder.with_name("kubecluster-plain-1.box")
    assert (have(BoxSource("file", str(packed))) / "box.img").read_bytes() == b"a disk"


def test_our_own_box_has_a_name_for_each_recipe() -> None:
    assert own_box_name("plain").startswith("kubecluster-plain-")
    assert own_box_name("docker").rpartition("-")[2] != own_box_name("plain").rpartition("-")[2]
