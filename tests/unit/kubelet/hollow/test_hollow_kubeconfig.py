from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
import yaml
from hollow_common.errors import Failure
from hollow_kubelet.api_server import ApiError, ApiServer
from hollow_kubelet.kubeconfig import ClientConfig, client_config

from tests.unit.kubelet.hollow.support import (
    BAD_KUBECONFIGS,
    CERTIFICATES,
    FakeApi,
    Pki,
    Play,
    Run,
    Start,
    eventually,
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


@pytest.mark.parametrize(
    ("number", "version", "refused"),
    [
        (16, "v1alpha1", False), (23, "v1alpha1", False), (24, "v1alpha1", True),
        (36, "v1beta1", False), (21, "v1", True), (22, "v1", False), (36, "v2", True),
    ],
)  # fmt: skip
def test_versions_of_exec_plugins(play: Play, number: int, version: str, refused: bool) -> None:
    play(number)
    name = f"client.authentication.k8s.io/{version}"
    config = ClientConfig("https://a", plugin={"command": "x", "apiVersion": name})
    if not refused:
        ApiServer(config)
        return
    with pytest.raises(Failure, match=f'exec plugin: invalid apiVersion "{name}"'):
        ApiServer(config)


def test_an_exec_plugin_of_v1_says_whether_it_is_interactive(play: Play, tmp_path: Path) -> None:
    play(36)
    path = tmp_path / "kubeconfig"
    plugin = {"command": "x", "apiVersion": "client.authentication.k8s.io/v1"}
    path.write_text(one_cluster(user={"exec": plugin}))
    with pytest.raises(Failure, match="interactiveMode must be specified for u to use exec"):
        client_config(str(path))


def one_cluster(server: str = "https://127.0.0.1:1", user: object = None, **cluster: str) -> str:
    document = {
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
        "users": [{"name": "u", "user": user or {}}],
    }
    return json.dumps(document)


@pytest.mark.parametrize(("number", "refused"), [(9, True), (17, True), (18, False), (36, False)])
def test_a_certificate_in_a_file_that_holds_none(
    play: Play, tmp_path: Path, number: int, refused: bool
) -> None:
    # A real 1.9.8 refuses it; a real 1.36.3 reads it for each connection.
    play(number)
    empty, path = tmp_path / "empty", tmp_path / "kubeconfig"
    empty.write_text("nothing")
    user = {"client-certificate": str(empty), "client-key": str(empty)}
    path.write_text(one_cluster(user=user))
    problem = "failed to find any PEM data in certificate input"
    if refused:
        with pytest.raises(Failure, match=problem):
            ApiServer(client_config(str(path)))
        return
    with pytest.raises(ApiError, match=problem):
        ApiServer(client_config(str(path))).request("GET", "/api")


@pytest.mark.parametrize(("number", "refused"), [(9, False), (16, False), (30, True), (36, True)])
def test_an_authority_in_a_file_that_holds_none(
    play: Play, tmp_path: Path, number: int, refused: bool
) -> None:
    play(number)
    empty, path = tmp_path / "empty", tmp_path / "kubeconfig"
    empty.write_text("nothing")
    path.write_text(one_cluster(**{"certificate-authority": str(empty)}))
    if not refused:
        ApiServer(client_config(str(path)))
        return
    with pytest.raises(Failure, match="unable to load root certificates: unable to parse bytes"):
        ApiServer(client_config(str(path)))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (one_cluster("https://127.0.0.1:1/%zz"), 'invalid URL escape "%zz"'),
        (one_cluster().replace('"user": "u"', '"namespace": true'), "cannot unmarshal bool"),
    ],
)
def test_what_a_real_kubelet_refuses_in_a_kubeconfig(
    play: Play, tmp_path: Path, text: str, problem: str
) -> None:
    play(36)
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(Failure, match=problem):
        ApiServer(client_config(str(path)))


@pytest.mark.parametrize("form", ["json", "indented with tabs", "quoted", "block scalars"])
def test_kubeconfigs_in_all_forms(pki: Pki, tmp_path: Path, form: str) -> None:
    key = pki.client.data()[1]
    config = yaml.safe_load(kubeconfig(pki, "https://master03:443"))
    text = {
        "json": json.dumps(config),
        "indented with tabs": json.dumps(config, indent="\t"),
        "quoted": yaml.safe_dump(config, default_style='"'),
        "block scalars": kubeconfig(
            pki, "https://master03:443",
            **{"client-key-data": "|\n      " + "\n      ".join(re.findall(".{1,64}", key))},
        ),
    }[form]  # fmt: skip
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    read = client_config(str(path))
    assert (read.certificate, read.key) == (
        pki.client.crt.read_bytes(),
        pki.client.key.read_bytes(),
    )


def test_a_kubeconfig_with_several_contexts(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    entries = [f"{{name: {name}, cluster: {{server: 'https://{name}'}}}}" for name in "ab"]
    contexts = [f"{{name: {name}, context: {{cluster: {name}, user: u}}}}" for name in "ab"]
    path.write_text(
        f"current-context: b\nclusters: [{', '.join(entries)}]\ncontexts: [{', '.join(contexts)}]\n"
        "users: [{name: u, user: {tokenFile: token}}]\npreferences: {}\n"
    )
    (tmp_path / "token").write_text("secret\n")
    read = client_config(str(path))
    assert (read.server, read.token) == ("https://b", "secret")


def test_one_pem_file_for_certificate_and_key(
    start_with_api: Start, api: FakeApi, pki: Pki, tmp_path: Path
) -> None:
    pem = tmp_path / "kubelet-client-current.pem"
    pem.write_bytes(pki.client.crt.read_bytes() + pki.client.key.read_bytes())
    none = {"client-certificate-data": "", "client-key-data": ""}
    both = {"client-certificate": str(pem), "client-key": str(pem)}
    start_with_api(api.url, **none, **both)
    assert eventually("the Node", lambda: api.find("POST", "/api/v1/nodes")).user == "kubelet"


@pytest.mark.parametrize(
    ("command", "token"), [("echo", "Bearer t"), ("/nonexist", None), ("false", None)]
)
def test_an_exec_plugin(
    play: Play, api: FakeApi, pki: Pki, tmp_path: Path, command: str, token: str | None
) -> None:
    play(30)
    answer = json.dumps({"kind": "ExecCredential", "status": {"token": "t"}})
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1", "command": command, "args": [answer],
        "env": [{"name": "A", "value": "b"}], "interactiveMode": "IfAvailable",
    }  # fmt: skip
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig(pki, api.url, exec=json.dumps(plugin)))
    server = ApiServer(client_config(str(path)))
    if token is None:
        with pytest.raises(ApiError, match="getting credentials: exec: executable"):
            server.request("GET", "/api/v1/nodes/node1")
        return
    with pytest.raises(ApiError, match="not found"):
        server.request("GET", "/api/v1/nodes/node1")
    assert api.asked[-1].token == token


@pytest.mark.parametrize(
    "text",
    ["clusters: [{cluster: {server: 'https://[::1'}}]", "clusters: [{cluster: {server: 'https://a:b'}}]",
     "clusters: 1", "clusters: [1]", "users: [{user: {token: [1]}}]", "kind: [1]", "contexts: [{context: 1}]",
     "clusters: [{cluster: {certificate-authority-data: _}}]", "- 1", "{a", "users: [{user: {exec: x}}]"],
)  # fmt: skip
def test_no_kubeconfig_ends_in_a_traceback(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(Failure):
        ApiServer(client_config(str(path)))


def test_token_with_characters_invalid_in_a_header(
    play: Play, api: FakeApi, tmp_path: Path
) -> None:
    play(30)
    server = ApiServer(ClientConfig(api.url, insecure=True, token="a\nb"))
    with pytest.raises(ApiError, match="Invalid header value"):
        server.request("GET", "/api/v1/nodes/node1")


@pytest.mark.parametrize("number", [10, 11, 36])
def test_two_entries_with_the_same_name(play: Play, tmp_path: Path, number: int) -> None:
    play(number)
    path = tmp_path / "kubeconfig"
    path.write_text(
        "current-context: c\ncontexts: [{name: c, context: {cluster: a, user: u}}]\n"
        "clusters: [{name: a, cluster: {server: 'https://one'}}, {name: a, cluster: {server: 'https://two'}}]\n"
        "users: [{name: u, user: {token: secret}}]\n"
    )
    if number < 11:
        assert client_config(str(path)).server == "https://two"
        return
    with pytest.raises(Failure, match=r'NamedCluster .* duplicate name "a" in list') as refusal:
        client_config(str(path))
    assert "secret" not in str(refusal.value)
