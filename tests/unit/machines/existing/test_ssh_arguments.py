from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.existing.ssh_arguments import add_option, parse_arguments

FOLDER = Path("/project")


def options(arguments: str, folder: Path = FOLDER) -> dict[str, str]:
    added: dict[str, str] = {}
    for keyword, value in parse_arguments(arguments, folder):
        add_option(added, keyword, value)
    return added


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("-J bastion", {"ProxyJump": "bastion"}),
        (
            "-o ProxyCommand='ssh -W %h:%p b' -C",
            {"ProxyCommand": "ssh -W %h:%p b", "Compression": "yes"},
        ),
        (
            "-oStrictHostKeyChecking=no -o 'User core'",
            {"StrictHostKeyChecking": "no", "User": "core"},
        ),
        (
            "-i /key -p 2222 -l op -4",
            {"IdentityFile": "/key", "Port": "2222", "User": "op", "AddressFamily": "inet"},
        ),
        ("-o ControlMaster=auto -o ControlPersist=60s -q", {}),
        ("-o BatchMode=no -o loglevel=QUIET -vvv", {}),
        ("-o Port=1 -o port=2", {"Port": "1"}),
        ("-F none", {"Include": ""}),
        (
            "-i key -o IdentityFile=~/.ssh/other -o UserKnownHostsFile=known",
            {
                "IdentityFile": '"/project/key"\n  IdentityFile ~/.ssh/other',
                "UserKnownHostsFile": '"/project/known"',
            },
        ),
    ],
)
def test_arguments_become_keywords(arguments: str, expected: dict[str, str]) -> None:
    assert options(arguments) == expected


def test_configuration_file_is_relative_to_the_folder(tmp_path: Path) -> None:
    (tmp_path / "ssh.cfg").write_text("")
    assert options("-F ./ssh.cfg", tmp_path) == {"Include": f"{tmp_path}/ssh.cfg"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("-F other", "-F other: /project/other is not a file"),
        ("-L 1:b:2", "option -L is not supported; write what it does as -o KEYWORD=VALUE"),
        ("-o", "option -o requires argument"),
        ("-o 'open", "No closing quotation"),
        ("command", "command is not supported"),
    ],
)
def test_unusable_arguments_are_explained(arguments: str, message: str) -> None:
    with pytest.raises(KubeClusterError, match=message):
        options(arguments)
