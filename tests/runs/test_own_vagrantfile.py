"""A project's existing Vagrantfile, whose machines are containers here."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_kubecluster.machines.docker.image import ensure_image
from pytest_kubecluster.machines.docker.machines import CREATE_ARGS
from pytest_kubecluster.machines.ssh_key import ensure_ssh_key
from pytest_kubecluster.util.paths import cache_folder
from pytest_kubecluster.util.process import Commands
from tests.runs.conftest import NOTHING, Bench, docker, passed, read_until

VAGRANTFILE = """\
# Vagrant prints the Vagrantfile's output once per command.
puts "=" * 40, "box: {image}, machines: 2"
Vagrant.configure("2") do |config|
  config.vm.synced_folder ".", "/vagrant", disabled: true
  config.ssh.username = "core"
  config.ssh.private_key_path = File.expand_path("id_ed25519")
  config.ssh.insert_key = false
  %w[boss hand spare].each do |name|
    config.vm.define name, autostart: name != "spare" do |node|
      node.vm.hostname = name
      node.vm.provider :docker do |docker|
        docker.image = "{image}"
        docker.name = "{name}-#{{name}}"
        docker.has_ssh = true
        docker.env = {{ "AUTHORIZED_KEY" => "{key}" }}
        docker.create_args = {arguments}
      end
    end
  end
end
"""
QUICK = "def test_it(kube_node): assert kube_node.kubelet.healthz.status == 200\n"
INI = "[pytest]\nkube_vagrantfile = machines\nkube_roles = boss=master hand=worker spare=worker\n"


@pytest.fixture
def own(bench: Bench, tmp_path: Path) -> Iterator[Bench]:
    """A project with a Vagrantfile of two machines."""
    image = ensure_image("plain", Commands(tmp_path), cache_folder(), print)
    folder = bench.project / "machines"
    folder.mkdir()
    key = ensure_ssh_key(folder)
    (folder / "Vagrantfile").write_text(
        VAGRANTFILE.format(
            image=image,
            name=bench.project.name,
            key=key.public,
            arguments=json.dumps(CREATE_ARGS),
        )
    )
    bench.options = ["--kube-cluster"]
    bench.environment["VAGRANT_HOME"] = str(tmp_path / "vagrant home")
    bench.write("pytest.ini", INI)
    bench.write("test_it.py", QUICK)
    yield bench
    vagrant(bench, "destroy", "--force")
    assert containers(bench) == []


def vagrant(bench: Bench, *words: str) -> str:
    return subprocess.run(
        ["vagrant", *words],
        cwd=bench.project / "machines",
        env=bench.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def containers(bench: Bench, *options: str) -> list[str]:
    name = f"name=^{bench.project.name}-"
    return sorted(
        docker("ps", *(options or ("--all",)), "--filter", name, "--format", "{{.Names}}")
    )


def test_machines_are_booted_provisioned_checked_and_removed(own: Bench) -> None:
    own.write("kubecluster.toml", "[kubelet]\nrestart_seconds = 1\n")
    options = ("--pyargs", "pytest_kubecluster.conformance", "-k", "not reboot")
    status, output = own.run(*options)
    assert status == 0, output
    assert re.search(r"kubecluster: boot .* 2 machines booted, 0 up already", output)
    assert "1 master, 1 worker of " in output
    assert "kubecluster: not booted because of autostart: false: spare" in output
    # The run booted the machines, so that it may disturb them.
    assert passed(output) >= 76, output
    assert containers(own) == []


def test_states_of_machines_are_restored(own: Bench) -> None:
    boss, hand = f"{own.project.name}-boss", f"{own.project.name}-hand"
    vagrant(own, "up", "boss")
    status, output = own.run("--kube-keep=failed", "-k", "nothing", "--kube-report=report")
    assert (status, containers(own)) == (pytest.ExitCode.NO_TESTS_COLLECTED, [boss]), output
    status, output = own.run("--kube-keep=always")
    assert status == 0, output
    assert re.search(r"kubecluster: boot .* 1 machine booted, 1 up already", output)
    assert containers(own, "--no-trunc") == [boss, hand]
    vagrant(own, "halt", "hand")
    status, output = own.run("--kube-provision=no")
    # Machines that existed before are left as they were.
    assert status == 0, output
    assert "kubelet as found" in output
    assert (containers(own), containers(own, "--no-trunc")) == ([boss, hand], [boss])


def test_machines_of_a_killed_run_are_removed_by_the_next(own: Bench) -> None:
    process = own.start("-s")
    read_until(process, "kubecluster: boot ")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(containers(own)) == 2
    done = subprocess.run(
        [*own.start_argv()[:2], "pytest_kubecluster", "gc"],
        env=own.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert containers(own) == []
    assert own.left() == NOTHING


def test_machine_that_does_not_boot_is_shown_with_the_output_of_vagrant(own: Bench) -> None:
    path = own.project / "machines" / "Vagrantfile"
    path.write_text(path.read_text().replace('docker.image = "', 'docker.image = "no-such-'))
    status, output = own.run()
    assert status == 1, output
    assert "vagrant up failed" in output
    assert "no-such-kubecluster-node" in output
    assert containers(own) == []


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (None, [], "--kube-vagrantfile: there is no Vagrantfile in .*machines"),
        ("Vagrant.configure('2') do |config|\n", [], "Vagrantfile:1: syntax error"),
        (
            "Vagrant.configure('2') { |c| c.vm.provider :docker }\n",
            [],
            "no machine that is a master or a worker: default",
        ),
        (
            "",
            ["--kube-provider=docker"],
            "--kube-provider cannot be combined with --kube-vagrantfile",
        ),
        ("", ["--kube-reuse"], "--kube-reuse cannot be combined with --kube-vagrantfile"),
    ],
)
def test_bad_input_is_refused_before_anything_boots(
    text: str | None, options: list[str], message: str, bench: Bench
) -> None:
    (bench.project / "machines").mkdir()
    if text is not None:
        bench.write("machines/Vagrantfile", text)
    bench.write("pytest.ini", INI)
    bench.write("test_it.py", QUICK)
    bench.options = ["--kube-cluster"]
    status, output = bench.run(*options)
    assert status == pytest.ExitCode.USAGE_ERROR, output
    assert re.search(message, output), output
    assert not bench.state.exists()
