"""Times how long it takes to observe many existing machines, by the number worked on at a time.

    python tests/benchmark/fleet.py [MACHINES] [SECONDS]

Boots MACHINES container nodes (default: 50), and checks parts of them as hosts of an inventory. Every
new connection takes SECONDS longer (default: 1), because containers on one host are all near and
real machines are not. Nothing asserts a time.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

FORKS = (1, 5, 10, 25)
FAR = "bash -c 'sleep {seconds}; exec 3<>/dev/tcp/%h/%p; cat <&3 & cat >&3; kill %%1'"
TRUST = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
TEST = "def test_it(kube_node): assert kube_node.kubelet == kube_node.spec.kubelet\n"


def main(machines: int = 50, seconds: float = 1.0) -> None:
    """Boot, observe, and print the seconds of each observation."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "test_it.py").write_text(TEST)
        environment = {**os.environ, "XDG_STATE_HOME": str(project / "state")}

        def run(*words: str) -> str:
            argv = [sys.executable, "-m", *words]
            done = subprocess.run(
                argv, cwd=project, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                sys.exit(done.stdout + done.stderr)
            return done.stdout

        topology = ("--kube-masters=3", f"--kube-workers={machines - 3}")
        print(run("pytest_kubecluster", "up", "fleet", *topology, "--kube-timeout=1800"))
        try:
            state = project / "state" / "kubecluster" / "clusters" / "fleet"
            config = (state / "ssh" / "config").read_text()
            hosts = re.findall(r'Host "(\w+)"\n  HostName (\S+)', config)
            table = Table("machines", *(f"{forks} at a time" for forks in FORKS))
            for number in sorted({machines // 5, machines // 2, machines}):
                lines = [f"{name} ansible_host={address}" for name, address in hosts[:number]]
                far = FAR.format(seconds=seconds)
                lines += [
                    "[all:vars]",
                    "ansible_user=core",
                    f"ansible_ssh_private_key_file={state / 'ssh' / 'id_ed25519'}",
                    f'ansible_ssh_common_args={TRUST} -o ProxyCommand="{far}"',
                ]
                (project / "hosts").write_text("\n".join([*lines, ""]))
                took = []
                for forks in FORKS:
                    output = run(
                        "pytest",
                        "--kube-cluster",
                        "--kube-inventory=hosts",
                        f"--kube-forks={forks}",
                    )
                    assert f"{number} passed" in output, output
                    phases = re.findall(r"kubecluster: (survey|connect) +([\d.]+) s", output)
                    took.append(f"{sum(float(took) for _, took in phases):.1f} s")
                table.add_row(str(number), *took)
            Console().print(table)
        finally:
            run("pytest_kubecluster", "destroy", "fleet")


if __name__ == "__main__":
    main(*(type_(word) for type_, word in zip((int, float), sys.argv[1:], strict=False)))
