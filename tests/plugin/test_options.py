"""What a person types, and what becomes of it before anything boots."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from pytest_kubecluster.plugin.settings import read_settings

NEEDS_NODE = "def test_it(kube_node): assert kube_node\n"


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the state of these runs apart, so that tests can assert that none is left."""
    state = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    monkeypatch.setenv("COLUMNS", "200")
    return state


def usage_error(pytester: pytest.Pytester, *args: str) -> str:
    """Run and return the error that must come before anything boots."""
    pytester.makepyfile(NEEDS_NODE)
    result = pytester.runpytest_subprocess("--kube-cluster", *args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR, result.stdout.str()
    assert "Traceback" not in result.stderr.str()
    return " ".join(result.stderr.str().split())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--kube-provider=hyperv"], "--kube-provider: invalid choice 'hyperv' (choose from docker, libvirt, virtualbox)"),
        (["--kube-box=my.box"], "--kube-box: my.box is a box for virtual machines; add --kube-provider=libvirt"),
        (["--kube-provider=libvirt", "--kube-box=no.box"], "--kube-box: 'no.box' is not an existing file, an http"),
        (["--kube-provider=libvirt", "--kube-box-checksum=sha256:" + "0" * 64], "--kube-box-checksum: requires --kube-box"),
        (["--kube-provider=virtualbox"], "--kube-provider=virtualbox requires --kube-box, for example --kube-box=debian/bookworm64"),
        (["--kube-layout=found"], "--kube-layout: invalid choice 'found' (choose from classic, kubeadm, hardened)"),
        (["--kube-layout=kubeadm"], "the layout kubeadm needs kubelet 1.11 or newer, not 1.7.5"),
        (["--kube-masters=0"], "invalid cluster: a cluster needs at least one master"),
        (["--kube-masters=-1"], "--kube-masters: invalid number '-1': must be a whole number of at least 0"),
        (["--kube-workers=many"], "--kube-workers: invalid number 'many'"),
        (["--kube-workers=197", "--kube-network=10.9.8.0/28"], "200 nodes do not fit into 10.9.8.0/28"),
        (["--kube-network=fd00::/64"], "--kube-network: invalid IPv4 network 'fd00::/64'"),
        (["--kube-network=10.0.0.1/24"], "has host bits set"),
        (["--kube-network=everywhere"], "--kube-network: invalid IPv4 network 'everywhere'"),
        (["--kube-hyperkube=latest"], "--kube-hyperkube: invalid kubelet version 'latest'; write it as 1.7.5"),
        (["--kube-hyperkube=1.30.0-rc.1"], "is a pre-release"),
        (["--kube-hyperkube=1.99.0"], "--kube-hyperkube: 1.99.0 is outside the range of known kubelets, 1.7 to 1.36"),
        (["--kube-timeout=0"], "--kube-timeout: invalid number of seconds '0': must be above 0"),
        (["--kube-timeout=soon"], "--kube-timeout: invalid number of seconds 'soon'"),
        (["--kube-kubelet=nothing-here"], "nothing-here does not exist"),
        (["--kube-kubelet=no-{version}"], "there is no kubelet 1.7.5 at"),
        (["--kube-tolerate=cgroup-v1,noise"], "--kube-tolerate: invalid choice 'noise' (choose from cgroup-v1, swap)"),
        (["--kube-kubelet=download", "--kube-mirror=nowhere"], "nowhere does not exist"),
        (["--kube-kubelet=."], "is a folder, not a file"),
        (["--kube-python=nowhere.tar"], "--kube-python: nowhere.tar is neither a file nor an http or https URL"),
        (["--kube-python=https://host/python.tar"], "must be verified; add --kube-python-checksum=sha256:HEX"),
        (["--kube-python-checksum=crc:0"], "--kube-python-checksum: 'crc:0' is not a checksum; write it as sha256:HEX"),
    ],
)  # fmt: skip
def test_bad_option(
    args: list[str], message: str, pytester: pytest.Pytester, own_state: Path
) -> None:
    assert message in usage_error(pytester, *args)
    assert not own_state.exists()


def test_layout_is_the_bundled_playbooks(pytester: pytest.Pytester) -> None:
    playbook = pytester.path / "site.yml"
    playbook.write_text("- hosts: all\n")
    message = usage_error(pytester, "--kube-layout=classic", f"--kube-playbook={playbook}")
    assert "--kube-layout cannot be combined with --kube-playbook" in message


def test_ini_key_is_named_where_it_is_wrong(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nkube_masters = several\n")
    assert "ini key kube_masters: invalid number 'several'" in usage_error(pytester)


def test_option_wins_over_ini_key(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nkube_masters = 5\nkube_workers = 2\n")
    pytester.makepyfile(NEEDS_NODE)
    result = pytester.runpytest("--kube-masters=1", "--collect-only", "-q")
    names = [line.partition("[")[2] for line in result.outlines if "test_it[" in line]
    assert names == ["master01]", "worker01]", "worker02]"]


@pytest.mark.parametrize(("masters", "said"), [(1, False), (2, True), (3, False)])
def test_control_plane_of_two_masters(masters: int, said: bool, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(NEEDS_NODE)
    options = ("--kube-cluster", f"--kube-masters={masters}", "--kube-control-plane=hollow")
    result = pytester.runpytest(*options, "--collect-only")
    (header,) = [line for line in result.outlines if line.startswith("kubecluster: ")]
    assert "control plane hollow" in header
    assert ("(two masters survive the loss of none)" in header) == said


@pytest.mark.parametrize(
    ("args", "seconds"),
    [
        ([], 300),
        (["--kube-provider=libvirt"], 1800),
        (["--kube-vagrantfile=."], 1800),
        (["--kube-vagrantfile=.", "--kube-timeout=60"], 60),
    ],
)
def test_virtual_machines_have_more_time(
    args: list[str], seconds: float, pytester: pytest.Pytester
) -> None:
    assert read_settings(pytester.parseconfig(*args)).timeout == seconds


def executable(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def test_kubelet_that_is_not_executable(pytester: pytest.Pytester) -> None:
    path = executable(pytester.path / "kubelet", b"#!/bin/sh\n")
    path.chmod(0o644)
    assert "kubelet is not executable; chmod +x it" in usage_error(
        pytester, f"--kube-kubelet={path}"
    )


def test_kubelet_of_another_architecture(pytester: pytest.Pytester) -> None:
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + b"\x16\x00" + bytes(44)
    path = executable(pytester.path / "kubelet", header)
    assert "is built for s390x, and this machine is" in usage_error(
        pytester, f"--kube-kubelet={path}"
    )


def test_file_that_is_not_a_kubelet(pytester: pytest.Pytester) -> None:
    message = usage_error(pytester, f"--kube-kubelet={shutil.which('true')}")
    assert "is not a kubelet: kubelet --version printed ''" in message


def test_python_requires_provisioning(pytester: pytest.Pytester) -> None:
    with tarfile.open(pytester.path / "python.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("python/bin/python3"))
    args = ["--kube-inventory=hosts", "--kube-python=python.tar"]
    message = usage_error(pytester, *args)
    assert "--kube-python requires --kube-provision with existing machines" in message


def test_kubelet_that_cannot_run(pytester: pytest.Pytester) -> None:
    path = executable(pytester.path / "kubelet", b"#!/no/such/interpreter\n")
    assert "cannot be run" in usage_error(pytester, f"--kube-kubelet={path}")


def test_kubelet_of_another_version(pytester: pytest.Pytester) -> None:
    path = executable(pytester.path / "kubelet", b"#!/bin/sh\necho Kubernetes v1.8.7\n")
    message = usage_error(pytester, f"--kube-kubelet={path}")
    assert "kubelet is version v1.8.7, but the spec is for v1.7.5+coreos.1" in message


# ------------------------------------------------------------------------------ a host not fit for it


def boot_error(pytester: pytest.Pytester, own_state: Path, *args: str) -> str:
    """Run and return the message of a boot that must fail before any machine is there."""
    pytester.makepyfile(NEEDS_NODE)
    result = pytester.runpytest_subprocess("--kube-cluster", *args)
    assert result.ret == 1, result.stdout.str()
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    result.stdout.fnmatch_lines(["*kubecluster: the cluster did not boot*"])
    assert list(own_state.glob("kubecluster/clusters/*")) == []
    return " ".join(result.stdout.str().split())


def path_without(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, *tools: str) -> None:
    """Leave a PATH on which only these tools are missing."""
    folder = pytester.path / "bin"
    folder.mkdir()
    for tool in ("vagrant", "docker", "ssh", "sh", "uname"):
        if tool not in tools and (found := shutil.which(tool)):
            (folder / tool).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize("tool", ["vagrant", "docker", "ssh"])
def test_missing_tool(
    tool: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, own_state: Path
) -> None:
    path_without(pytester, monkeypatch, tool)
    message = boot_error(pytester, own_state)
    assert f"{tool} is not on the PATH; install it" in message


def test_vagrant_too_old(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, own_state: Path
) -> None:
    path_without(pytester, monkeypatch, "vagrant")
    executable(pytester.path / "bin" / "vagrant", b"#!/bin/sh\necho Vagrant 1.9.8\n")
    message = boot_error(pytester, own_state)
    assert (
        "Vagrant 2.2 or newer is needed, and `vagrant --version` prints: Vagrant 1.9.8" in message
    )


def test_docker_not_running(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, own_state: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{pytester.path}/no.sock")
    message = boot_error(pytester, own_state)
    assert "Docker does not answer" in message
    assert "systemctl start docker" in message


def test_download_of_what_a_mirror_does_not_have(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, own_state: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(pytester.path / "cache"))
    mirror = pytester.mkdir("mirror")
    args = ["--kube-hyperkube=1.30.0", "--kube-kubelet=download", f"--kube-mirror={mirror}"]
    message = boot_error(pytester, own_state, *args)
    assert f"there is no kubelet v1.30.0 for amd64: {mirror}/v1.30.0/bin/linux/" in message
    files = [path for path in pytester.path.glob("cache/**/*") if path.is_file()]
    assert [path.name for path in files if path.suffix != ".lock"] == []


def test_spec_file_that_is_wrong(pytester: pytest.Pytester, own_state: Path) -> None:
    (pytester.path / "kubecluster.toml").write_text("[kubelet]\nclusterDomain = 'x'\n")
    assert "kubecluster.toml: unknown key kubelet.clusterDomain" in usage_error(pytester)


def test_options_and_ini_keys_win_over_the_spec_file(pytester: pytest.Pytester) -> None:
    (pytester.path / "kubecluster.toml").write_text("masters = 1\nworkers = 1\n")
    pytester.makeini("[pytest]\nkube_workers = 3\n")
    pytester.makepyfile(NEEDS_NODE)
    result = pytester.runpytest("--collect-only", "-q")
    names = [line.partition("[")[2] for line in result.outlines if "test_it[" in line]
    assert names == ["master01]", "worker01]", "worker02]", "worker03]"]


def test_network_of_the_host(pytester: pytest.Pytester, own_state: Path) -> None:
    if shutil.which("docker") is None:
        pytest.skip("the host has no Docker")
    message = boot_error(pytester, own_state, "--kube-network=172.17.0.0/24")
    assert "the network 172.17.0.0/24 overlaps 172.17.0.0/16 of interface docker0" in message
    assert "choose another with --kube-network" in message


def test_all_problems_are_reported_at_once(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, own_state: Path
) -> None:
    path_without(pytester, monkeypatch, "vagrant", "docker")
    message = boot_error(pytester, own_state)
    assert "- vagrant is not" in message
    assert "- docker is not" in message


def test_state_folder_that_cannot_be_written(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    message = boot_error(pytester, tmp_path)
    assert "file/kubecluster cannot be created or is not yours" in message


def test_boots_nothing_when_only_collecting(pytester: pytest.Pytester, own_state: Path) -> None:
    pytester.makepyfile(NEEDS_NODE)
    result = pytester.runpytest_subprocess("--kube-cluster", "--collect-only", "-q")
    assert result.ret == 0
    assert not own_state.exists()


def test_boots_nothing_when_no_test_needs_it(pytester: pytest.Pytester, own_state: Path) -> None:
    pytester.makepyfile("def test_it(kube_spec, kube_files): assert kube_files['worker01']\n")
    result = pytester.runpytest_subprocess("--kube-cluster")
    result.assert_outcomes(passed=1)
    assert not own_state.exists()


def test_help_explains_every_option(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--help", "--kube-cluster", "--kube-masters=wrong")
    assert result.ret == 0
    text = " ".join(result.stdout.str().split())
    for words in (
        "--kube-cluster Boot the cluster for this session",
        "(default: 3; ini: kube_masters)",
        "(default: 10.17.5.0/24, or the next one that is free; ini: kube_network)",
        "kube_hyperkube (string): Default for --kube-hyperkube",
    ):
        assert words in text, words
