from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from pytest_kubecluster.ansible.node_python import PythonTarball, python_tarball, write_unpacker
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.util.checksum import Checksum

WORKS = "import sys"
PYTHON = (
    '#!/bin/sh\n[ "$1" = -c ] && [ "$2" = "import sys" ] && cat "$(dirname "$0")/../lib/os.py"\n'
)
"""A stand-in for a Python: it runs one program from its own folder."""


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


def pack(path: Path, files: dict[str, str], packing: str = "gzip") -> Path:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text), 0o755
            tar.addfile(member, io.BytesIO(text.encode()))
    path.write_bytes(PACKINGS[packing](content.getvalue()))
    return path


def python(path: Path, top: str = "python/", name: str = "python3", packing: str = "gzip") -> Path:
    return pack(path, {f"{top}lib/os.py": "it runs\n", f"{top}bin/{name}": PYTHON}, packing)


def sha256(path: Path) -> Checksum:
    return Checksum("sha256", hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("top", ["", "./", "python/", "pypy3.10-v7.3.16-linux64/"])
@pytest.mark.parametrize("name", ["python3", "pypy3"])
def test_every_shape_of_a_tarball_ends_as_bin_python3(
    packing: str, top: str, name: str, tmp_path: Path
) -> None:
    tarball = python(tmp_path / "tarball", top, name, packing)
    found = python_tarball("tarball", sha256(tarball), tmp_path)
    assert found == PythonTarball(str(tarball), sha256(tarball))
    assert unpack(tarball, tmp_path / "opt" / "python") == 0
    assert installed(tmp_path) == "it runs\n"


@pytest.mark.parametrize(
    ("text", "checksum", "message"),
    [
        ("ftp://host/python.tar", None, "is neither a file nor an http or https URL"),
        ("http://", Checksum("sha256", ""), "the URL has no host"),
        ("", Checksum("sha256", ""), "a checksum needs --kube-python"),
        ("page", None, "page is not a whole tarball"),
        ("nothing", None, "nothing is not a whole tarball"),
        ("zeros", None, "zeros has no bin/python3 or bin/pypy3"),
        ("other", None, "other has no bin/python3 or bin/pypy3"),
        ("other", Checksum("sha256", 64 * "0"), "other does not match its sha256 checksum"),
    ],
)
def test_invalid_python(text: str, checksum: Checksum | None, message: str, tmp_path: Path) -> None:
    (tmp_path / "page").write_text("<html>")
    (tmp_path / "nothing").touch()
    (tmp_path / "zeros").write_bytes(bytes(10240))
    pack(tmp_path / "other", {"a/b/bin/python3": "", "bin/python2": "", "mybin/python3": ""})
    with pytest.raises((ValueError, KubeClusterError), match=re.escape(message)):
        python_tarball(text, checksum, tmp_path)


@pytest.mark.parametrize("text", ["crc:0", "sha256", "sha256:0", "sha256:" + 64 * "g", "sha1:0"])
def test_invalid_checksum_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a checksum|is not a sha\d+ checksum"):
        Checksum.parse(text)


def unpack(tarball: Path, folder: Path) -> int:
    """Run an unpacker as a node does."""
    unpacker = folder.parent.with_name("unpacker")
    write_unpacker(tarball, unpacker)
    # Nothing of what this machine can unpack may be needed but gzip.
    tools = folder.parent.with_name("tools")
    tools.mkdir(exist_ok=True)
    for tool in ("sed", "tar", "gzip", "rm", "mkdir", "mv", "ln", "chmod", "cat", "dirname", "sh"):
        if not (tools / tool).exists():
            (tools / tool).symlink_to(str(shutil.which(tool)))
    argv = ["/bin/sh", str(unpacker), str(folder), WORKS]
    return subprocess.run(argv, env={"PATH": str(tools)}, check=False).returncode


def installed(tmp_path: Path) -> str:
    folder = tmp_path / "opt" / "python"
    argv = [str(folder / "bin" / "python3"), "-c", WORKS]
    assert sorted(os.listdir(folder.parent)) == ["python"]
    return subprocess.check_output(argv, text=True)


def test_unpacking_takes_the_place_of_what_is_broken_or_half_there(tmp_path: Path) -> None:
    for left in ("python", "python.fresh", "python.old"):
        path = tmp_path / "opt" / left / "bin"
        path.mkdir(parents=True)
        (path / "half").write_text("left by a run that was interrupted")
    assert unpack(python(tmp_path / "tarball"), tmp_path / "opt" / "python") == 0
    assert installed(tmp_path) == "it runs\n"
    assert not (tmp_path / "opt" / "python" / "bin" / "half").exists()


@pytest.mark.parametrize(
    "files", [{"bin/python3": "#!/no/such/loader\n"}, {"bin/python3": "#!/bin/sh\nexit 1\n"}]
)
def test_python_that_does_not_run_takes_no_place(files: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "opt" / "python"
    assert unpack(python(tmp_path / "good"), folder) == 0
    assert unpack(pack(tmp_path / "bad", files), folder) != 0
    argv = [str(folder / "bin" / "python3"), "-c", WORKS]
    assert subprocess.check_output(argv, text=True) == "it runs\n"


def test_tarball_that_is_cut_off_takes_no_place(tmp_path: Path) -> None:
    tarball = tmp_path / "tarball"
    pack(tarball, {"bin/python3": PYTHON, "lib/os.py": os.urandom(50_000).hex()})
    tarball.write_bytes(tarball.read_bytes()[:40_000])
    assert unpack(tarball, tmp_path / "opt" / "python") != 0
    assert not (tmp_path / "opt" / "python").exists()


def test_damaged_bzip2_is_reported_before_it_is_copied(tmp_path: Path) -> None:
    tarball = python(tmp_path / "tarball", packing="bzip2")
    tarball.write_bytes(tarball.read_bytes()[:-20])
    with pytest.raises(KubeClusterError, match="tarball cannot be read"):
        write_unpacker(tarball, tmp_path / "unpacker")
    assert not list(tmp_path.glob("*unpacker*"))


class Site:
    """A folder behind HTTP, and what of it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        site = self

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                site.asked.append(self.path)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://me:secret@127.0.0.1:{self.server.server_port}/python.tar.gz"


@contextmanager
def serving(folder: Path) -> Iterator[Site]:
    site = Site(folder)
    thread = Thread(target=site.server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield site
    finally:
        site.server.shutdown()
        thread.join()
        site.server.server_close()


def fetch(site: Site, checksum: Checksum, cache: Path) -> PythonTarball:
    found = python_tarball(site.url, checksum, cache)
    assert found is not None
    return found.fetched(cache, lambda line: None)


def test_url_is_fetched_once_and_verified_each_time(tmp_path: Path) -> None:
    tarball = python(tmp_path / "python.tar.gz")
    with serving(tmp_path) as site:
        kept = Path(fetch(site, sha256(tarball), tmp_path / "cache").where)
        assert kept.read_bytes() == tarball.read_bytes()
        assert len(site.asked) == 1
        fetch(site, sha256(tarball), tmp_path / "cache")
        assert len(site.asked) == 1
        kept.write_bytes(b"damaged")
        fetch(site, sha256(tarball), tmp_path / "cache")
        assert kept.read_bytes() == tarball.read_bytes()


def test_url_that_brings_something_else_leaves_nothing_and_no_secret(tmp_path: Path) -> None:
    python(tmp_path / "python.tar.gz")
    cache = tmp_path / "cache"
    with serving(tmp_path) as site:
        with pytest.raises(KubeClusterError, match="does not match its sha256 checksum") as said:
            fetch(site, Checksum("sha256", 64 * "0"), cache)
        (tmp_path / "python.tar.gz").unlink()
        with pytest.raises(KubeClusterError, match="cannot be downloaded") as missing:
            fetch(site, Checksum("sha256", 64 * "0"), cache)
    assert "secret" not in str(said.value) + str(missing.value)
    assert [path.suffix for path in (cache / "pythons").iterdir()] == [".lock"]


def test_url_is_not_shown() -> None:
    found = python_tarball("http://me:secret@host/x.tar", Checksum("sha256", "0"), Path())
    assert "secret" not in repr(found)


def test_another_file_is_another_python(tmp_path: Path) -> None:
    tarball = python(tmp_path / "tarball")
    before = PythonTarball(str(tarball)).identity
    assert PythonTarball(str(tarball)).identity == before
    python(tarball, packing="xz")
    assert PythonTarball(str(tarball)).identity != before
