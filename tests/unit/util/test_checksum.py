"""What a file's bytes must be."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.util.checksum import Checksum


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0123", "'0123' is not a checksum; write it as sha256:HEX"),
        ("md5:" + "0" * 32, "is not a checksum; write it as sha256:HEX"),
        ("sha256:00", "'00' is not a sha256 checksum of 64 hex digits"),
        ("sha1:" + "x" * 40, "is not a sha1 checksum of 40 hex digits"),
    ],
)
def test_invalid_checksum_text(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Checksum.parse(text)


def test_different_content_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    digest = hashlib.sha512(b"one").hexdigest()
    checksum = Checksum.parse(f"sha512:{digest.upper()}")
    checksum.verify(file, "the file", "get it again")
    file.write_bytes(b"other")
    with pytest.raises(KubeClusterError) as raised:
        checksum.verify(file, "the file", "get it again")
    assert str(raised.value).splitlines() == [
        "the file does not match its sha512 checksum",
        f"  expected  {digest}",
        f"  found     {hashlib.sha512(b'other').hexdigest()}",
        "  it was not used; get it again",
    ]
