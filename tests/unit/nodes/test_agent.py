"""The program that runs on nodes, without one."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kubecluster.artifacts.pki import Pki
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.nodes import transport
from pytest_kubecluster.nodes.agent import credentials, documents, look, process, system
from pytest_kubecluster.nodes.agent.main import MARK
from pytest_kubecluster.nodes.agent.process import Process

CUT = "(cut out)"


def kubeconfig(key: bytes, certificate: bytes) -> dict[str, Any]:
    def encoded(pem: bytes) -> str:
        return base64.b64encode(pem).decode()

    user = {
        "client-certificate-data": encoded(certificate),
        "client-key-data": encoded(key),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "default",
        "clusters": [{"name": "c", "cluster": {"server": "https://10.0.0.1"}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "default", "context": {"cluster": "c", "user": "u"}}],
    }


def quoted(document: dict[str, Any]) -> str:
    return yaml.dump(document, default_style='"')


def block_scalar(document: dict[str, Any]) -> str:
    user = document["users"][0]["user"]
    text: str = yaml.safe_dump({**document, "users": []}).replace("users: []\n", "")
    lines = "\n".join(textwrap.wrap(user["client-key-data"], 64))
    block = textwrap.indent(lines, " " * 8)
    certificate = user["client-certificate-data"]
    return (
        f"{text}users:\n- name: u\n  user:\n    client-certificate-data: {certificate}\n"
        f"    client-key-data: |\n{block}\n"
    )


def next_line(document: dict[str, Any]) -> str:
    return block_scalar(document).replace("client-key-data: |", "client-key-data: >-")


def aliased(document: dict[str, Any]) -> str:
    key = document["users"][0]["user"]["client-key-data"]
    text: str = yaml.safe_dump(document)
    return f"x-keys:\n- &key {key}\n" + text.replace(key, "*key")


@pytest.mark.parametrize(
    "write", [yaml.safe_dump, json.dumps, quoted, block_scalar, next_line, aliased]
)
def test_private_key_stays_on_the_node_however_it_is_written(
    write: Any, pki: Pki, tmp_path: Path
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(write(kubeconfig(pki.kubelet_key, pki.kubelet_cert)))
    clients: list[Any] = []
    seen = credentials.describe(str(path), "", clients)
    assert seen["key"] == "matches"
    assert len(clients) == 1
    assert seen["document"]["users"][0]["user"]["client-key-data"] == CUT
    shown = json.dumps(seen)
    encoded = base64.b64encode(pki.kubelet_key).decode()
    assert "PRIVATE KEY" not in shown
    assert encoded[200:260] not in shown.replace("\\n", "")
    assert pki.kubelet_key.decode().splitlines()[3] not in shown


def test_other_secrets_of_a_kubeconfig_are_cut_out(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    document = kubeconfig(b"", b"")
    document["users"] = [
        {"name": "t", "user": {"token": "canary1", "tokenFile": "/run/token"}},
        {"name": "p", "user": {"username": "admin", "password": "canary2"}},
        {"name": "a", "user": {"auth-provider": {"name": "oidc", "config": {"id": "canary3"}}}},
        {
            "name": "e",
            "user": {
                "exec": {
                    "command": "login",
                    "args": ["--token", "canary4", "--secret=canary5", "--region", "eu"],
                    "env": [{"name": "AWS", "value": "canary6"}],
                }
            },
        },
    ]
    cluster = document["clusters"][0]["cluster"]
    cluster |= {"server": "https://u:canary7@api", "proxy-url": "http://u:canary8@proxy:3128"}
    path.write_text(yaml.safe_dump(document))
    seen = credentials.describe(str(path), "", [])
    shown = json.dumps(seen)
    assert "canary" not in shown
    assert {"/run/token", "login", "eu"} <= set(shown.replace('"', " ").replace(",", " ").split())


def test_combined_pem_shows_certificates_alone(pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "both.pem").write_bytes(pki.kubelet_cert + pki.kubelet_key)
    path = tmp_path / "kubeconfig"
    document = kubeconfig(b"", b"")
    document["users"][0]["user"] = {"client-certificate": "both.pem", "client-key": "both.pem"}
    path.write_text(yaml.safe_dump(document))
    seen = credentials.describe(str(path), "", [])
    assert seen["key"] == "matches"
    assert seen["certificates"] == [pki.kubelet_cert.decode()]


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ({"client-certificate": "none.pem", "client-key": "none.pem"}, "none.pem does not exist"),
        ({"client-certificate-data": "%"}, "client-certificate-data is not base64"),
    ],
)
def test_unusable_key(user: dict[str, str], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(
        yaml.safe_dump({**kubeconfig(b"", b""), "users": [{"name": "u", "user": user}]})
    )
    assert credentials.describe(str(path), "", [])["key"].endswith(reason)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2024-01-01", "2024-01-01"),
        ("a: 22:30", "22:30"),
        ("a: 0644", 420),
        ("a: yes", True),
        ('{"a": 1e3}', 1000.0),
        ("\ufeffa: 1", 1),
        ("&x a: 1", 1),
        # Tabs between tokens, as in a file of JSON with a comment above it.
        ("a:\t1\t# tabs", 1),
        ('# comment\n{\n\t"a": 1}', 1),
        # A kubelet reads the first document alone.
        ("# comment\n---\na: 1\n---\n[", 1),
    ],
)
def test_values_are_read_as_go_reads_them(text: str, value: Any) -> None:
    assert documents.mapping(text.encode()) == {"a": value}


@pytest.mark.parametrize("text", ['{"a": 1}\n[', '{"a": 1,}', "{a: 1}"])
def test_configuration_that_begins_with_a_brace_is_json(text: str) -> None:
    assert documents.mapping(text.encode()) == {"a": 1}
    with pytest.raises(documents.DocumentError, match=r"cannot be parsed: .* \(line \d, column"):
        documents.mapping(text.encode(), json_by_brace=True)


LAUGHS = "a: &a [x, x]\n" + "\n".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]"
    for before, name in zip("abcdefghi", "bcdefghij", strict=False)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [secret", "it cannot be parsed: expected ',' or ']'"),
        ("- a", "it is not a mapping"),
        ("[" * 5000, "nested too deeply"),
        (LAUGHS, "too many values"),
        ("a: \x01", "characters that YAML does not allow"),
    ],
)
def test_text_that_is_not_a_document(text: str, reason: str) -> None:
    with pytest.raises(documents.DocumentError) as error:
        documents.mapping(text.encode())
    assert reason in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("/usr/bin/kubelet --v=2", "/usr/bin/kubelet"),
        ("/hyperkube kubelet --v=2", "/hyperkube"),
        ("/hyperkube proxy", None),
        ("/opt/bin/kubelet-v1.30.14 --v=2", "/opt/bin/kubelet-v1.30.14"),
        ("/opt/hyperkube_1.9.8 kubelet --v=2", "/opt/hyperkube_1.9.8"),
        ("/nix/store/x/bin/.kubelet-wrapped --v=2", "/nix/store/x/bin/.kubelet-wrapped"),
        ("/usr/bin/kubelet-csr-approver --v=2", None),
        ("/usr/bin/kubelet.sh --v=2", None),
        ("python3 /opt/bin/kubelet --v=2", "/opt/bin/kubelet"),
        ("/usr/bin/python3.11 -u /opt/hyperkube kubelet", "/opt/hyperkube"),
        ("/bin/bash /opt/start-kubelet.sh", None),
        ("/bin/sh /usr/local/bin/kubelet", None),
        ("podman run --name kubelet example.org/kubelet:v1.30.4 --v=2", None),
        ("conmon -n kubelet", None),
        ("", None),
    ],
)
def test_program_of_a_command_line(argv: str, expected: str | None) -> None:
    assert process.program(tuple(argv.split())) == expected


UNIT = {"MainPID": "10", "ControlGroup": "/system.slice/kubelet.service"}


def running(pid: int, parent: int, argv: str, group: str = "/user.slice") -> Process:
    return Process(pid, parent, tuple(argv.split()), f"0::{group}\n", pid)


@pytest.mark.parametrize(
    ("every", "pid"),
    [
        ([running(10, 1, "/usr/bin/kubelet")], 10),
        ([running(10, 1, "/bin/bash /opt/start.sh"), running(11, 10, "/usr/bin/kubelet")], 11),
        (
            [
                running(9, 1, "/usr/bin/kubelet --other"),
                running(10, 1, "/bin/bash /opt/start.sh"),
                running(12, 1, "/usr/bin/kubelet", "/x/system.slice/kubelet.service/inner"),
            ],
            12,
        ),
        ([running(10, 1, "/usr/bin/podman run kubelet"), running(30, 20, "kubelet --v=2")], 30),
        ([running(10, 1, "/usr/bin/systemd-run --wait kubelet"), running(30, 1, "kubelet")], 30),
        ([running(10, 1, "/bin/bash /opt/start.sh"), running(30, 20, "kubelet --v=2")], None),
        ([replace(running(10, 1, "node-agent --v=2"), executable="/usr/bin/kubelet")], 10),
    ],
)
def test_kubelet_of_a_unit(every: list[Process], pid: int | None) -> None:
    found = process.kubelet_of(UNIT, every)
    assert (found.pid if found else None) == pid


def test_kubelet_of_a_unit_that_left_it_to_a_container_runtime() -> None:
    unit = {"MainPID": "0", "ControlGroup": "", "SubState": "exited"}
    kubelet = running(30, 20, "kubelet --v=2")
    assert process.kubelet_of(unit, [kubelet]) == kubelet
    assert process.kubelet_of({**unit, "SubState": "dead"}, [kubelet]) is None


@pytest.mark.parametrize(
    ("group", "unit"),
    [
        ("0::/system.slice/k0sworker.service", "k0sworker.service"),
        ("5:memory:/a.service\n1:name=systemd:/system.slice/k3s.service/inner", "k3s.service"),
        ("0::/system.slice/docker-0123.scope", ""),
        ("", ""),
    ],
)
def test_unit_of_a_process(group: str, unit: str) -> None:
    assert process.unit_of(replace(running(1, 1, "kubelet"), group=group)) == unit


def test_environment_files_by_a_pattern(tmp_path: Path) -> None:
    for name in ("20-b.env", "10-a.env", "c.conf"):
        (tmp_path / name).write_text("A=1\n")
    files = f"{tmp_path}/*.env (ignore_errors=yes)\n{tmp_path}/d (e).env (ignore_errors=no)"
    found = look.unit_files({"EnvironmentFiles": files})
    assert list(found) == [f"{tmp_path}/{name}" for name in ("10-a.env", "20-b.env", "d (e).env")]


def test_links_of_a_container_are_followed_inside_it(tmp_path: Path) -> None:
    (tmp_path / "var/lib").mkdir(parents=True)
    (tmp_path / "var/lib/current.pem").symlink_to("/var/lib/2026.pem")
    (tmp_path / "var/lib/2026.pem").write_text("content")
    assert system.read("/var/lib/current.pem", str(tmp_path)) == b"content"


def test_path_that_is_not_a_file_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(system.Unreadable, match="not a regular file"):
        system.read(str(tmp_path / "fifo"))
    for path in ("/dev/zero", str(tmp_path)):
        with pytest.raises(system.Unreadable, match="not a regular file"):
            system.read(path)


def test_answers_of_the_kubelet_show_no_secrets() -> None:
    pods = '{"kind": "PodList", "items": [{"env": "canary1"}]}'
    assert look.kind_shown(pods) == '{"kind": "PodList"}'
    configuration = {
        "kubeletconfig": {
            "maxPods": 50,
            "staticPodURL": "http://u:canary2@host/pods",
            "staticPodURLHeader": {"Authorization": ["canary3"]},
        }
    }
    shown = look.configuration_shown(json.dumps(configuration))
    assert "canary" not in shown
    assert json.loads(shown)["kubeletconfig"]["maxPods"] == 50
    for broken in ("[1]", "canary", "null", '{"a": 1}'):
        assert "canary" not in look.configuration_shown(broken) + look.kind_shown(broken)


def test_paths_with_spaces_are_quoted_by_systemd() -> None:
    assert system.paths('"/etc/a b.conf" /etc/c.conf') == ["/etc/a b.conf", "/etc/c.conf"]
    assert system.paths("") == []


def test_passwords_of_units_and_environment_files_are_cut_out(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text(
        "HTTPS_PROXY=http://user:canary@proxy:3128\nAWS_SECRET_ACCESS_KEY='canary'\n"
        "MY_TOKEN=canary\nKUBELET_ARGS=--v=2\n"
    )
    seen = system.describe(str(path))
    assert seen is not None
    text = base64.b64decode(seen["content"]).decode()
    assert "canary" not in text
    assert "KUBELET_ARGS=--v=2" in text
    assert seen["cut"]


REQUEST: dict[str, Any] = {
    "do": "look",
    "unit": "no-such-unit.service",
    "files": {"/etc/passwd": False, "/dev/null": False, "/no/such/file": False},
    "expected": {},
    "asked_ports": {"healthz": 1, "kubelet": 2},
    "timeout_factor": 1.0,
}


def test_agent_runs_from_memory_and_misses_no_part_for_another() -> None:
    argv = transport.command(sys.executable, REQUEST)
    done = subprocess.run(argv, input=transport.archive(), capture_output=True, check=False)
    seen = transport.result("node", done.stdout, done.stderr, done.returncode)
    assert seen["kubelet"] is None
    assert seen["files"]["/etc/passwd"]["owner"] == "root"
    assert seen["files"]["/no/such/file"] is None
    assert seen["answers"]["healthz"]["status"] == 0
    assert set(seen) >= {"unit", "verify", "journal", "addresses", "problems"}


def test_part_that_fails_is_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(process, "processes", broken)
    monkeypatch.setattr(system, "show", broken)
    monkeypatch.setattr(system, "journal", broken)
    seen = look.look(**{name: value for name, value in REQUEST.items() if name != "do"})
    assert seen["problems"]["processes"] == "No space left on device"
    assert seen["problems"]["unit"] == "No space left on device"
    assert seen["problems"]["journal"] == "No space left on device"
    assert seen["hostname"]


def test_greeting_of_a_login_shell_is_not_part_of_the_result() -> None:
    printed = f'Loading environment\n{{"a": 1}}\n\n{MARK}\n{{"b": 2}}\nbye\n'
    assert transport.result("node", printed.encode(), b"", 0) == {"b": 2}


def test_words_of_a_node_without_a_result_are_in_the_message() -> None:
    with pytest.raises(KubeClusterError, match=r"w-1: .*exit status 127\): sudo: no python3"):
        transport.result("w-1", b"Loading\n", b"sudo: no python3\n", 127)
