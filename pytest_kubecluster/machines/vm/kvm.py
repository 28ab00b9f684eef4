"""Finds out whether this host can run virtual machines with KVM, or has to emulate them."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.util.process import capture

QEMU = "qemu-system-x86_64"
_DEVICE = Path("/dev/kvm")
_PROBE_SECONDS = 2.0
_ROUNDS = 50_000_000
_SECTOR = 512
_ALIVE = 33
"""QEMU's exit status for the value 16 at its debug exit: (16 << 1) | 1."""


@cache
def kvm_works(qemu: str = QEMU, seconds: float = _PROBE_SECONDS) -> bool:
    """Return whether KVM runs a guest at the speed of the processor.

    Opening its device proves nothing: where KVM is itself emulated, guests crawl or die. So a guest
    is booted whose boot sector counts to fifty million and then ends QEMU, which takes a processor
    a twentieth of a second. ``seconds`` is the limit, including the start of the firmware.
    """
    if not _DEVICE.exists():
        return False
    with tempfile.NamedTemporaryFile(prefix="kubecluster-kvm-") as disk:
        disk.write(_boot_sector())
        disk.flush()
        argv = [qemu, "-accel", "kvm", "-nodefaults", "-display", "none", "-m", "16"]
        argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
        argv += ["-drive", f"file={disk.name},format=raw,if=ide"]
        try:
            return capture(argv, timeout=seconds).status == _ALIVE
        except KubeClusterError:
            return False


def _boot_sector() -> bytes:
    code = (
        b"\x66\xb9" + _ROUNDS.to_bytes(4, "little")  # mov ecx, rounds
        + b"\x66\x49"  # again: dec ecx
        + b"\x75\xfc"  # jnz again
        + b"\xb0\x10"  # mov al, 16
        + b"\xe6\xf4"  # out 0xf4, al
        + b"\xf4"  # hlt
    )  # fmt: skip
    return code.ljust(_SECTOR - 2, b"\0") + b"\x55\xaa"
