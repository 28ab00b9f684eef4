"""Which processor an executable is built for, by the head of its file: elf(5)."""

from __future__ import annotations

import struct
from pathlib import Path

_MACHINES = {
    0x03: "i686",
    0x15: "ppc64le",
    0x16: "s390x",
    0x28: "armv7l",
    0x3E: "x86_64",
    0xB7: "aarch64",
    0xF3: "riscv64",
}
"""e_machine, in the words of uname -m."""


def elf_machine(path: Path) -> str | None:
    """Return the machine, as ``platform.machine()`` names it, that a file is built for.

    None is a file that is no ELF; ``ELF machine 22`` one that is built for who knows what.
    """
    with path.open("rb") as file:
        header = file.read(20)
    if header[:4] != b"\x7fELF" or len(header) < 20:
        return None
    order = "<" if header[5] == 1 else ">"
    number = struct.unpack_from(f"{order}H", header, 18)[0]
    return _MACHINES.get(number, f"ELF machine {number}")
