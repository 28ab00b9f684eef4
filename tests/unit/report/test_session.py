from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

from pytest_kubecluster.nodes.journal import JournalLine
from pytest_kubecluster.report.session import write_session_report
from tests.unit.report.reports import EVIL, run, with_evil_names

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq3\n-----END RSA PRIVATE KEY-----\n"
SUDO = "correct horse"
TOKEN = "abcdef.0123456789abcdef"
SECRETS = (KEY, SUDO)


def test_secrets_reach_neither_the_page_nor_the_data(tmp_path: Path) -> None:
    encoded = base64.b64encode(KEY.encode()).decode()
    said = f"{KEY} client-key-data: {encoded} {SUDO} token={TOKEN}"
    report = run()
    facts = {
        name: replace(one, argv=(*one.argv, said), journal=(JournalLine(said),), unseen=(said,))
        for name, one in report.facts.items()
    }
    results = tuple(
        replace(one, reason=said, text=said, outcome="failed") for one in report.results
    )
    about = replace(report.about, command=said, error=said)
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "ansible.log").write_text(said)
    report = replace(report, facts=facts, results=results, about=about)
    folder = tmp_path / "report"
    write_session_report(folder, report, (), logs, SECRETS)
    assert {path.name for path in folder.iterdir()} == {"index.html", "report.json", "ansible.log"}
    for path in folder.iterdir():
        text = path.read_text()
        assert "REDACTED" in text
        for secret in ("MIIEpAIBAAKCAQEA7bq3", encoded[:40], SUDO, TOKEN):
            assert secret not in text, (path, secret)


def test_folder_that_exists_keeps_its_mode_and_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    folder.mkdir(mode=0o755)
    (folder / "mine").write_text("mine")
    write_session_report(folder, run(failing=()), (), tmp_path)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())}
    assert (modes["report"], modes["index.html"], modes["report.json"]) == (0o755, 0o600, 0o600)
    assert (folder / "mine").read_text() == "mine"


def test_data_is_json_with_everything_the_page_shows(tmp_path: Path) -> None:
    write_session_report(tmp_path / "report", with_evil_names(), (), tmp_path)
    data = json.loads((tmp_path / "report" / "report.json").read_text())
    assert (data["format"], data["about"]["command"]) == (1, EVIL)
    assert {
        "nodes",
        "results",
        "facts",
        "phases",
        "spans",
        "certificates",
        "changes",
        "cis",
    } <= data.keys()


def test_text_that_no_encoding_knows_is_replaced(tmp_path: Path) -> None:
    report = run()
    odd = replace(report, about=replace(report.about, command="\udcff"))
    write_session_report(tmp_path / "report", odd, (), tmp_path)
    assert "pytest-kubecluster" in (tmp_path / "report" / "index.html").read_text()
