from __future__ import annotations

import os
from pathlib import Path

import pytest
from hollow_common.errors import Failure
from hollow_kubelet import checks
from hollow_kubelet.checks import check_swap
from hollow_kubelet.configuration import Configuration
from hollow_kubelet.flags import FlagSet
from hollow_kubelet.kubelet import Kubelet
from hollow_kubelet.validation import configuration_problems

from tests.unit.kubelet.hollow.support import (
    CERTIFICATES,
    FAILS,
    NO_CONFIGURATION,
    NUMBERS,
    Pki,
    Play,
    Run,
    needed,
)


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--require-kubeconfig", "--kubeconfig=/nonexist"], "invalid kubeconfig: stat /nonexist: no such file or directory"),
        (["--require-kubeconfig", "--kubeconfig="], f"invalid kubeconfig: {NO_CONFIGURATION}"),
        (["--client-ca-file=/nonexist"], "unable to load client CA file /nonexist: open /nonexist: no such file or directory"),
        (["--client-ca-file=/dev/null"], "unable to load client CA file /dev/null: error reading /dev/null: could not read any certificates"),
        (["--anonymous-auth=false"], "No authentication method configured"),
        (["--authorization-mode=Webhook"], "no client provided, cannot use webhook authorization"),
        (["--authentication-token-webhook"], "no client provided, cannot use webhook authentication"),
        (["--authorization-mode=Foo"], "Unknown authorization mode Foo"),
        (["--exit-on-lock-contention"], "cannot exit on lock file contention: no lock file specified"),
        (["--feature-gates=Foo=true"], "unrecognized key: Foo"),
        (["--feature-gates=AppArmor"], "missing bool value for AppArmor"),
        (["--cgroups-per-qos=false"], "Node Allocatable enforcement is not supported unless Cgroups Per QOS feature is turned on"),
        (["--cloud-provider=foo"], 'unknown cloud provider "foo"'),
        (["--kube-reserved=cpu=x"], "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
        (["--kube-reserved=foo=1"], 'cannot reserve "foo" resource'),
        (["--eviction-hard=foo"], "invalid eviction threshold syntax foo, expected <signal><operator><value>"),
        (["--eviction-hard=memory.available<0"], "eviction threshold memory.available must be positive: 0"),
        (["--eviction-soft=memory.available<1Gi"], "failed to create kubelet: grace period must be specified for the soft eviction threshold memory.available"),
        (["--eviction-minimum-reclaim=memory.available=-1Gi"], "failed to create kubelet: negative eviction minimum reclaim specified for memory.available"),
        (["--eviction-minimum-reclaim=memory.available=0%"], "failed to create kubelet: eviction percentage minimum reclaim memory.available must be positive: 0%"),
        (["--experimental-allowed-unsafe-sysctls=foo.bar"], 'failed to create kubelet: the sysctl "foo.bar" are not known to be namespaced'),
        (["--root-dir="], 'failed to create kubelet: invalid root directory ""'),
        (["--network-plugin=foo"], 'failed to create kubelet: Network plugin "foo" not found.'),
        (["--iptables-drop-bit=14"], "failed to create kubelet: iptables-masquerade-bit and iptables-drop-bit must be different"),
        (["--image-gc-high-threshold=70"], "failed to create kubelet: failed to initialize image manager: LowThresholdPercent 80 can not be higher than HighThresholdPercent 70"),
        (["--bootstrap-kubeconfig=/nonexist", "--kubeconfig=/nonexist"], "unable to load bootstrap kubeconfig: stat /nonexist: no such file or directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_refuses_to_start(pki: Pki, tmp_path: Path, flags: list[str], problem: str) -> None:
    parsed = FlagSet()
    certificates = [
        f"--tls-cert-file={pki.serving.crt}",
        f"--tls-private-key-file={pki.serving.key}",
    ]
    parsed.parse(["--cadvisor-port=0", f"--root-dir={tmp_path}", *certificates, *flags])
    with pytest.raises(Failure) as refusal:
        Kubelet(parsed, Configuration()).run()
    assert str(refusal.value) == problem


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--init-config-dir=x"], "the KubeletConfigFile feature gate must be enabled in order to use the --init-config-dir flag"),
        (["--dynamic-config-dir=x"], "the DynamicKubeletConfig feature gate must be enabled in order to use the --dynamic-config-dir flag"),
        (["--root-dir=/proc/x"], 'error creating root directory "/proc/x": mkdir /proc/x: no such file or directory'),
    ],
)  # fmt: skip
def test_1_9_refuses_to_start(run: Run, flags: list[str], problem: str) -> None:
    # The words of a real 1.9.8.
    words = ["--fail-swap-on=false", "--cadvisor-port=0", "--healthz-port=0"]
    ended = run(9, *words, *CERTIFICATES, *flags)
    assert (ended.status, ended.problem) == (1, f"Error: failed to run Kubelet: {problem}")


@pytest.mark.parametrize("number", range(7, 24))
def test_an_unknown_runtime(run: Run, tmp_path: Path, number: int) -> None:
    words = [*needed(number), *CERTIFICATES, f"--root-dir={tmp_path}", "--container-runtime=nope"]
    words += ["--fail-swap-on=false"] * (number > 7) + ["--cadvisor-port=0"] * (number < 12)
    found = run(number, *words).problem.replace('\\"', '"')
    where = "failed to create kubelet: " if number < 18 else ""
    assert f'failed to run Kubelet: {where}unsupported CRI runtime: "nope"' in found


@pytest.mark.parametrize("number", NUMBERS)
def test_swap(
    run: Run, play: Play, monkeypatch: pytest.MonkeyPatch, number: int,
) -> None:  # fmt: skip
    play(number)
    monkeypatch.setattr(checks, "text_of", lambda _: "Filename\tType\n/swap\tfile\n")
    flags = FlagSet()
    if number < 8:
        check_swap(flags)
        return
    with pytest.raises(Failure) as refusal:
        check_swap(flags)
    text = str(refusal.value)
    assert text.startswith("Running with swap on" if number < 16 else "running with swap on")
    assert ("/proc/swaps contained: [Filename" in text) == (number < 31)
    flags.parse(["--fail-swap-on=false"])
    check_swap(flags)


@pytest.mark.parametrize("number", range(30, 37))
def test_cgroup_v1(run: Run, play: Play, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    play(number)
    monkeypatch.setattr(os.path, "exists", lambda path: "cgroup" not in path)
    problem = "kubelet is configured to not run on a host using cgroup v1"
    assert (problem in run(number, *CERTIFICATES, FAILS).problem) == (number >= 35)
    if number >= 31:
        assert problem not in run(number, *CERTIFICATES, FAILS, "--fail-cgroupv1=false").problem
        assert problem in run(number, *CERTIFICATES, FAILS, "--fail-cgroupv1").problem


@pytest.mark.parametrize("number", range(23, 28))
def test_runtime_endpoint_is_required(run: Run, number: int) -> None:
    ended = run(number, *CERTIFICATES, FAILS)
    missing = "failed to validate kubelet flags: the container runtime endpoint address was not"
    assert (missing in ended.problem) == (number == 26)
    if 24 <= number < 27:
        problem = run(number, *needed(number), FAILS, "--container-runtime=docker").problem
        assert "unsupported CRI runtime:" in problem
        assert "is currently supported" in problem


@pytest.mark.parametrize("number", range(8, 37))
def test_numbers_out_of_range(play: Play, number: int) -> None:
    play(number)
    flags = FlagSet()
    flags.parse(["--max-pods=-1", "--oom-score-adj=2000"])
    configuration = Configuration()
    configuration.take_flags(flags)
    problems = configuration_problems(configuration.values)
    name = "maxPods" if number >= 20 else "MaxPods"
    invalid = "invalid" if number >= 10 else "Invalid"
    rule = "must not be a negative number"
    assert f"{invalid} configuration: {name} (--max-pods) -1 {rule}" in problems
    assert sum("must be between -1000 and 1000" in problem for problem in problems) == 1
