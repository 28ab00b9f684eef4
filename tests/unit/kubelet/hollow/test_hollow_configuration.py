from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.kubelet.hollow.support import (
    FAILS,
    HEAD,
    WITH_FILES,
    Loaded,
    Run,
    StartMinor,
    needed,
)


@pytest.mark.parametrize("number", WITH_FILES)
def test_a_file_has_other_defaults_than_the_flags(load: Callable[..., Loaded], number: int) -> None:
    flags, shown = load(number, HEAD)
    assert flags["anonymous-auth"] is False
    assert flags["authentication-token-webhook"] is True
    assert flags["authorization-mode"] == "Webhook"
    assert flags["read-only-port"] == 0
    assert shown["authentication"]["anonymous"] == {"enabled": False}
    assert shown["authentication"]["webhook"] == {"enabled": True, "cacheTTL": "2m0s"}
    assert shown["authorization"]["mode"] == "Webhook"
    assert "readOnlyPort" not in shown
    assert shown["port"] == 10250


@pytest.mark.parametrize("number", WITH_FILES)
def test_flags_override_the_file(load: Callable[..., Loaded], number: int) -> None:
    text = (
        HEAD + "port: 1\nmaxPods: 50\nclusterDNS: [10.3.0.10]\nsyncFrequency: 5s\n"
        "authentication:\n  anonymous: {enabled: true}\n  x509: {clientCAFile: ca.crt}\n"
        "evictionHard: {memory.available: 1Gi}\nfeatureGates: {AllAlpha: false}\n"
        "kubeReserved: {cpu: 100m}\nfailSwapOn: false\n"
    )
    gate = "RotateKubeletServerCertificate"
    flags, shown = load(
        number, text, "--port=2", "--cluster-dns=1.1.1.1", f"--feature-gates={gate}=true"
    )
    assert shown["port"] == flags["port"] == 2
    assert shown["maxPods"] == flags["max-pods"] == 50
    assert shown["clusterDNS"] == flags["cluster-dns"] == ["1.1.1.1"]
    assert (shown["syncFrequency"], flags["sync-frequency"]) == ("5s", 5 * 10**9)
    assert shown["authentication"]["anonymous"]["enabled"] is flags["anonymous-auth"] is True
    assert flags["client-ca-file"] == str(Path(flags["config"]).parent / "ca.crt")
    assert shown["evictionHard"] == flags["eviction-hard"] == {"memory.available": "1Gi"}
    assert shown["featureGates"] == {"AllAlpha": False, gate: True}
    assert flags["kube-reserved"] == {"cpu": "100m"}
    assert flags["fail-swap-on"] is False


@pytest.mark.parametrize("number", WITH_FILES)
def test_a_file_in_json(load: Callable[..., Loaded], number: int) -> None:
    text = json.dumps(
        {
            "kind": "KubeletConfiguration",
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "maxPods": 7,
        }
    )
    assert load(number, text).shown["maxPods"] == 7


@pytest.mark.parametrize("number", WITH_FILES)
def test_unknown_fields_are_ignored(
    load: Callable[..., Loaded], capfd: pytest.CaptureFixture[str], number: int
) -> None:
    assert load(number, HEAD + "nope: 1\nmaxPods: 7\n").shown["maxPods"] == 7
    warned = "sing lenient decoding as strict decoding failed" in capfd.readouterr().err
    assert warned == (number >= 17)


BAD_FILES = {
    "": 'kubelet config file "PATH" was empty',
    "maxPods: 7\n": "Object 'Kind' is missing in 'maxPods: 7",
    "kind: KubeletConfiguration\n": "Object 'apiVersion' is missing in 'kind: KubeletConfiguration",
    HEAD.replace("v1beta1", "v2"): 'no kind "KubeletConfiguration" is registered for version "kubelet.config.k8s.io/v2"',
    HEAD.replace("KubeletC", "C"): 'no kind "Configuration" is registered for version "kubelet.config.k8s.io/v1beta1"',
    HEAD + "a: b: c\n": "mapping values are not allowed here",
}  # fmt: skip
BAD_FIELDS = {
    "port: x": ("string", "port", "int32"),
    "failSwapOn: 1": ("number", "failSwapOn", "bool"),
    "clusterDNS: x": ("string", "clusterDNS", "[]string"),
    "clusterDomain: 1": ("number", "clusterDomain", "string"),
    "syncFrequency: 5": ("number", "syncFrequency", "string"),
    "authentication: x": ("string", "authentication", ""),
    "authentication: {anonymous: {enabled: 1}}": ("number", "authentication.anonymous.enabled", "bool"),
    "evictionHard: {a: 1}": ("number", "evictionHard", "string"),
}  # fmt: skip


@pytest.mark.parametrize("number", [10, 16, 20, 22, 23, 24, 28, 36])
def test_bad_files_are_refused(run: Run, tmp_path: Path, number: int) -> None:
    path = tmp_path / "config.yaml"

    def refused(text: str) -> str:
        path.write_text(text)
        ended = run(number, *needed(number), FAILS, f"--config={path}")
        assert ended.status == (255 if number < 21 else 1)
        found = ended.problem.replace('\\"', '"').replace("\\\\", "\\")
        assert f"failed to load Kubelet config file {path}, error " in found
        return found

    for text, problem in BAD_FILES.items():
        assert problem.replace("PATH", str(path)) in refused(text)
    for text, (kind, field, wanted) in BAD_FIELDS.items():
        found = refused(f"{HEAD}{text}\n")
        if number >= 23:
            place = f"Go struct field KubeletConfiguration.{field} of type {wanted}"
            assert f"failed to decode: json: cannot unmarshal {kind} into {place}" in found
        else:
            name = ".".join(part[0].upper() + part[1:] for part in field.split("."))
            assert f"v1beta1.KubeletConfiguration.{name}: " in found


@pytest.mark.parametrize("number", WITH_FILES)
def test_a_missing_file(run: Run, number: int) -> None:
    ended = run(number, *needed(number), "--config=/nonexist")
    found = ended.problem.replace('\\"', '"')
    problem = (
        "failed to load Kubelet config file /nonexist, error failed to read kubelet config file "
        '"/nonexist", error: open /nonexist: no such file or directory'
    )
    assert problem in found
    if number < 21:
        assert found == problem
    elif number < 24:
        assert found == f'"Failed to load kubelet config file" err="{problem}" path="/nonexist"'
    elif number < 28:
        assert f"failed to load kubelet config file, error: {problem}, path: /nonexist" in found
    else:
        assert f"failed to load kubelet config file, path: /nonexist, error: {problem}" in found


@pytest.mark.parametrize("number", [28, 29, 30, 36])
def test_drop_in_files(
    load: Callable[..., Loaded], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    folder = tmp_path / "kubelet.conf.d"
    folder.mkdir()
    (folder / "20.conf").write_text(HEAD + "maxPods: 20\nevictionHard: {memory.available: 1Gi}\n")
    (folder / "10.conf").write_text(HEAD + "maxPods: 10\npodsPerCore: 3\n")
    (folder / "30.yaml").write_text(HEAD + "maxPods: 30\n")
    text = HEAD + "maxPods: 7\nevictionHard: {nodefs.available: 5%}\n"
    if number < 30:
        with pytest.raises(Exception, match="KUBELET_CONFIG_DROPIN_DIR_ALPHA not set"):
            load(number, text, f"--config-dir={folder}")
        monkeypatch.setenv("KUBELET_CONFIG_DROPIN_DIR_ALPHA", "1")
    shown = load(number, text, f"--config-dir={folder}").shown
    assert (shown["maxPods"], shown["podsPerCore"]) == (20, 3)
    assert shown["evictionHard"] == {"nodefs.available": "5%", "memory.available": "1Gi"}
    with pytest.raises(Exception, match="failed to walk through kubelet dropin directory"):
        load(number, text, "--config-dir=/nonexist")


@pytest.mark.parametrize("number", [10, 21, 36])
def test_runs_with_a_configuration_file(
    start_minor: StartMinor, tmp_path: Path, number: int
) -> None:
    (tmp_path / "config.yaml").write_text(
        HEAD + "authentication:\n  webhook: {enabled: false}\n  anonymous: {enabled: true}\n"
        "authorization: {mode: AlwaysAllow}\n" + f"staticPodPath: {tmp_path}\n"
    )
    kubelet = start_minor(number, f"--config={tmp_path / 'config.yaml'}")
    shown = json.loads(kubelet.ask("/configz")[1])["kubeletconfig"]
    assert shown["staticPodPath"] == str(tmp_path)
    assert "Adding manifest file" in kubelet.log.read_text()
