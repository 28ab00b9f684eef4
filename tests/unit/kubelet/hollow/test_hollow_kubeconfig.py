from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hollow_kubelet.errors import Failure
from hollow_kubelet.kubeconfig import ClientConfig, client_config

from tests.unit.kubelet.hollow.support import (
    BAD_KUBECONFIGS,
    CERTIFICATES,
    Pki,
    Run,
    Start,
    kubeconfig,
    needed,
    start_error,
)


@pytest.mark.parametrize(
    ("text", "problem"), BAD_KUBECONFIGS.items(), ids=range(len(BAD_KUBECONFIGS))
)
def test_bad_kubeconfigs_are_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(Failure) as refusal:
        client_config(str(path))
    assert str(refusal.value) == problem.replace("PATH", str(path)).replace("FOLDER", str(tmp_path))


def test_kubeconfig_of_the_article(pki: Pki, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig(pki, "https://master03:443"))
    config = client_config(str(path))
    assert config.server == "https://master03:443"
    assert (config.ca, config.certificate) == (pki.ca.crt.read_bytes(), pki.client.crt.read_bytes())


def test_credentials_are_not_sent_in_the_clear(pki: Pki, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig(pki, "http://master03:8080", token="secret"))
    assert client_config(str(path)) == ClientConfig("http://master03:8080")


@pytest.mark.parametrize(
    ("user", "problem"),
    [
        ("foreign", "tls: private key does not match public key"),
        ("rubbish", "tls: failed to find any PEM data in key input"),
    ],
)
def test_unusable_credentials_crash_it_like_the_real_kubelet(
    program: Path, pki: Pki, tmp_path: Path, user: str, problem: str
) -> None:
    key = pki.foreign.data()[1] if user == "foreign" else base64.b64encode(b"rubbish").decode()
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig(pki, **{"client-key-data": key}))
    status, lines = start_error(
        program,
        "--require-kubeconfig",
        f"--kubeconfig={path}",
        f"--tls-cert-file={pki.serving.crt}",
        f"--tls-private-key-file={pki.serving.key}",
    )
    assert status == 2
    assert lines.count(f"New kubeClient from clientConfig error: {problem}") == 2
    assert "panic: runtime error: invalid memory address or nil pointer dereference" in lines
    assert not any(secret in "".join(lines) for secret in (key, pki.client.data()[1]))


def test_kubeconfig_is_ignored_in_standalone_mode(start: Start) -> None:
    kubelet = start("--kubeconfig=/nonexist").wait_healthy()
    assert "No API client: no api servers specified" in kubelet.log


@pytest.mark.parametrize("number", range(8, 37))
def test_a_kubeconfig_without_a_server(run: Run, tmp_path: Path, number: int) -> None:
    (tmp_path / "kubeconfig").write_text("kind: Config\napiVersion: v1\n")
    ended = run(
        number,
        *needed(number),
        *CERTIFICATES,
        "--authorization-mode=Nope",
        f"--kubeconfig={tmp_path / 'kubeconfig'}",
    )
    problem = "invalid kubeconfig: invalid configuration: no configuration has been provided"
    hint = ", try setting KUBERNETES_MASTER environment variable"
    assert (problem in ended.problem) == (number >= 10)
    assert (problem + hint in ended.problem) == (number >= 18)
    assert ("nknown authorization mode Nope" in ended.problem) == (number < 10)
