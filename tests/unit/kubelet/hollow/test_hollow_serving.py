from __future__ import annotations

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hollow_common.errors import Exit, Failure, Fatal
from hollow_common.tls import ServingTls
from hollow_kubelet.checks import check_cloud, check_kubelet
from hollow_kubelet.flags import FlagSet
from hollow_kubelet.resources import check_capacity
from hollow_kubelet.serving import check_given, lacks_certificate

from tests.unit.kubelet.hollow.support import Pki, Play


def flags(*words: str) -> FlagSet:
    given = FlagSet()
    given.parse(list(words))
    return given


@pytest.mark.parametrize(
    ("number", "words", "values", "lacks"),
    [
        (9, [], {}, False),
        (9, ["--feature-gates=RotateKubeletServerCertificate=true"], {}, True),
        (36, [], {}, False),
        (36, [], {"serverTLSBootstrap": True}, True),
        (30, ["--tls-cert-file=/a"], {}, False),
        (36, ["--tls-cert-file=/a"], {}, True),
        (36, ["--tls-cert-file=/a", "--tls-private-key-file=/b"], {"serverTLSBootstrap": True}, False),
    ],
)  # fmt: skip
def test_who_has_no_certificate(
    play: Play, number: int, words: list[str], values: dict[str, Any], lacks: bool
) -> None:
    play(number)
    assert lacks_certificate(flags(*words), values, False) is lacks
    assert not lacks_certificate(flags(), values, standalone=True)


def test_no_handshake_without_a_certificate() -> None:
    server, client = socket.socketpair()
    tls = ServingTls(b"", b"", None, "")
    with ThreadPoolExecutor() as pool:
        accepted = pool.submit(tls.accept, server)
        context = ssl.create_default_context()
        with pytest.raises(ssl.SSLError, match="internal error"):
            context.wrap_socket(client, server_hostname="node1")
        assert isinstance(accepted.exception(10), OSError)
    for one in (server, client):
        one.close()


def test_a_given_pair_is_loaded_before_the_start_from_1_31_on(
    play: Play, pki: Pki, tmp_path: Path
) -> None:
    words = ["--tls-cert-file=/nonexist", "--tls-private-key-file=/nonexist"]
    play(30)
    check_given(flags(*words))
    play(36)
    with pytest.raises(Failure, match="cert files: open /nonexist: no such file or directory"):
        check_given(flags(*words))
    (tmp_path / "text").write_text("nothing")
    words = [f"--tls-cert-file={tmp_path}/text", f"--tls-private-key-file={tmp_path}/text"]
    with pytest.raises(Failure, match="failed to find any PEM data in certificate input"):
        check_given(flags(*words))
    check_given(
        flags(f"--tls-cert-file={pki.serving.crt}", f"--tls-private-key-file={pki.serving.key}")
    )


@pytest.mark.parametrize(
    ("words", "resource"),
    [
        (["--kube-reserved=cpu=4000"], "cpu"),
        (["--system-reserved=memory=900Ti"], "memory"),
        (["--eviction-hard=memory.available<900Ti"], "memory"),
        (["--kube-reserved=memory=1Mi", "--eviction-hard=memory.available<100%"], ""),
        (["--kube-reserved=cpu=1m,memory=1Mi"], ""),
    ],
)
@pytest.mark.parametrize("number", [9, 36])
def test_more_is_reserved_than_the_machine_has(
    play: Play, number: int, words: list[str], resource: str
) -> None:
    play(number)
    if not resource and number == 9:
        words = [words[0]]
    if not resource:
        check_capacity(flags(*words))
        return
    with pytest.raises(Exit if number == 36 else Fatal) as end:
        check_capacity(flags(*words))
    assert "nvalid Node Allocatable configuration. Resource" in str(end.value)
    assert f'"{resource}' in str(end.value).replace("\\", "")


def test_docker_has_another_cgroup_driver(play: Play) -> None:
    play(9)
    problem = 'kubelet cgroup driver: "foo" is different from docker cgroup driver: "cgroupfs"'
    with pytest.raises(Failure, match=problem):
        check_kubelet(flags("--cgroup-driver=foo"))
    check_kubelet(flags("--cgroup-driver=systemd"))


def test_cloud_providers(play: Play) -> None:
    play(36)
    check_cloud(flags("--cloud-provider=external"))
    with pytest.raises(Failure, match=r'^failed to create kubelet: cloud provider "aws" was spec'):
        check_cloud(flags("--cloud-provider=aws"))
