"""Folders whose paths mean something to a shell, to ssh or to Ansible, or are too long for a socket."""

from __future__ import annotations

from tests.runs.conftest import Bench


def test_state_and_temporary_files_in_an_odd_folder(bench: Bench) -> None:
    odd = bench.path / ('it\'s 100% "%h" $HOME\n' + "x" * 101)
    odd.mkdir()
    bench.state = odd / "state"
    bench.environment |= {"XDG_STATE_HOME": str(bench.state), "TMPDIR": str(odd)}
    bench.write("test_it.py", "def test_it(kube_node): assert kube_node.kubelet.unit\n")
    status, output = bench.run()
    assert status == 0, output
    assert sorted(path.name for path in odd.iterdir()) == ["state"]
