"""Whatever is in a file or on the command line, a kubelet ends with an error, not a traceback."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hollow_common.errors import Failure, Panic
from hollow_kubelet.api_server import ApiServer
from hollow_kubelet.flags import FlagSet
from hollow_kubelet.kubeconfig import client_config
from hollow_kubelet.program import prepare
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.kubelet.hollow.support import KUBEADM, Loaded, Play, needed

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: c
clusters: [{name: k, cluster: {server: "https://127.0.0.1:1", insecure-skip-tls-verify: true}}]
contexts:
- name: c
  context: {cluster: k, user: u}
users:
- name: u
  user:
    token: t
    exec: {command: "true", apiVersion: v1, args: [a], env: [{name: a, value: b}]}
"""
PIECES = st.sampled_from(
    ["\t", "&a ", "*a", "<<: ", "|", ">", "---\n", "...\n", '"', "'", "[", "]", "{", "}", "!!", "%", "? ", ": ",
     "#", "\0", "\u2028", "\x85", "-", "!!binary ", "!!float ", "@", "\r\n", "\ufeff", "null", "0x", "1e999", "=", "~"]
) | st.text(max_size=3)  # fmt: skip
VALUES = st.sampled_from(
    ["", "-1", "99999999999999999999", "1.5", "x", "a=b", "a=b,c", "a<b", "<", "=", ",", ";", ":", '"', '"a', "0:x=1", "1-2",
     "3-1", "10%", "1Gi", "5s", "-5s", "::1", "/x", "AllAlpha=x", "memory.available<", "cpu=1,cpu=", "a=b:No", "unix://"]
) | st.text(max_size=4)  # fmt: skip
EXAMPLES = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def damaged(draw: st.DrawFn, text: str) -> str:
    """Return a text with pieces put in, and parts cut out."""
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(text)))
        length = draw(st.integers(0, 6))
        text = text[:place] + draw(PIECES) + text[place + length :]
    return text


@pytest.mark.parametrize("number", [10, 24, 36])
@given(text=damaged(KUBEADM))
@EXAMPLES
def test_configuration_files(load: Callable[..., Loaded], number: int, text: str) -> None:
    with contextlib.suppress(Failure, Panic, UnicodeEncodeError):
        load(number, text)


@pytest.mark.parametrize("number", [7, 24, 36])
@given(text=damaged(KUBECONFIG))
@EXAMPLES
def test_kubeconfigs(play: Play, tmp_path: Path, number: int, text: str) -> None:
    play(number)
    path = tmp_path / "kubeconfig"
    path.write_bytes(text.encode("utf-8", "replace"))
    with contextlib.suppress(Failure):
        ApiServer(client_config(str(path)))


@pytest.mark.parametrize("number", [7, 10, 24, 36])
@given(data=st.data())
@EXAMPLES
def test_command_lines(play: Play, number: int, data: st.DataObject) -> None:
    play(number)
    flags = FlagSet()
    names = st.sampled_from(sorted(set(flags.flags) - {"config", "config-dir"}))
    given_flags = data.draw(st.lists(st.tuples(names, VALUES), min_size=1, max_size=3))
    words = [*needed(number), *(f"--{name}={value}" for name, value in given_flags)]
    with contextlib.suppress(Failure, Panic):
        flags.parse(words)
        prepare(flags, words)
