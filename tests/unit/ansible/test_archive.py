from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

from pytest_kubecluster.ansible.archive import Member, write_archive

MEMBERS = [
    Member("/etc/kubernetes"),
    Member("/etc/kubernetes/ca.key", 0o600, "root", "root", b"secret"),
    Member("/etc/kubernetes/empty", 0o644, content=b""),
    Member("/opt/bin/kubelet", 0o777, target="/opt/hyperkube/v1.30.0/kubelet"),
]


def test_archive_unpacks_to_its_members(tmp_path: Path) -> None:
    archive = tmp_path / "node.tar.gz"
    write_archive(archive, MEMBERS)
    with tarfile.open(archive) as tar:
        found = {member.name: member for member in tar}
        assert list(found) == [member.path.lstrip("/") for member in MEMBERS]
        assert {(member.uname, member.gname, member.uid) for member in tar} == {("root", "root", 0)}
    root = tmp_path / "root"
    root.mkdir()
    argv = ["tar", "--extract", "--same-permissions", "-z", "-C", str(root), "-f", str(archive)]
    subprocess.run(argv, check=True)
    assert (root / "etc/kubernetes/ca.key").read_bytes() == b"secret"
    assert (root / "etc/kubernetes/ca.key").stat().st_mode & 0o777 == 0o600
    assert (root / "etc/kubernetes").stat().st_mode & 0o777 == 0o755
    assert (root / "etc/kubernetes/empty").read_bytes() == b""
    assert os.readlink(root / "opt/bin/kubelet") == "/opt/hyperkube/v1.30.0/kubelet"
    # What Ansible asks to find out whether there is anything to do.
    argv = ["tar", "--diff", "-z", "-C", str(root), "-f", str(archive)]
    assert subprocess.run(argv, capture_output=True, check=True).stdout == b""


def test_same_members_give_the_same_bytes_and_only_the_owner_reads_them(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_archive(tmp_path / name, MEMBERS)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o600
