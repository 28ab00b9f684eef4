from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_kubecluster.machines.vm import kvm
from pytest_kubecluster.machines.vm.kvm import QEMU, kvm_works


@pytest.fixture
def qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A QEMU to be written, on a host that has the device."""
    monkeypatch.setattr(kvm, "_DEVICE", tmp_path)
    return tmp_path / "qemu"


def program(path: Path, does: str) -> str:
    path.write_text(f"#!/bin/sh\n{does}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("does", "works"),
    [
        ("exit 33", True),
        ("exit 0", False),  # the machine was switched off
        ("echo 'Could not access KVM kernel module' >&2; exit 1", False),
        ("sleep 5", False),
    ],
)
def test_kvm_works_where_a_guest_counts_to_its_end(does: str, works: bool, qemu: Path) -> None:
    assert kvm_works(program(qemu, does), seconds=0.5) is works


def test_kvm_does_not_work_without_its_device_or_qemu(
    qemu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not kvm_works(str(qemu))
    monkeypatch.setattr(kvm, "_DEVICE", qemu)
    assert not kvm_works(program(qemu.with_name("other"), "exit 33"))


@pytest.mark.skipif(shutil.which(QEMU) is None, reason=f"{QEMU} is not installed")
def test_the_guest_ends_qemu_when_it_has_counted(tmp_path: Path) -> None:
    """What KVM is asked to do is something that a machine does: an emulated one, too."""
    disk = tmp_path / "disk"
    argv = [QEMU, "-accel", "tcg", "-nodefaults", "-display", "none", "-m", "16"]
    argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
    argv += ["-drive", f"file={disk},format=raw,if=ide"]
    disk.write_bytes(kvm._boot_sector())
    assert subprocess.run(argv, timeout=60, check=False).returncode == 33
    disk.write_bytes(kvm._boot_sector().replace(b"\xe6\xf4", b"\x90\x90"))
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(argv, timeout=3, check=False)
