from __future__ import annotations

from pytest_kubecluster.nodes.journal import JournalLine, digest

REFUSED = "E1125 10:11:{:02}.123456     123 reflector.go:205] dial tcp 10.17.4.101:443: connection refused"


def test_lines_that_repeat_are_one_with_their_number() -> None:
    lines = [REFUSED.format(second) for second in range(30)]
    lines[10:10] = ["I1125 10:11:10.000001     123 server.go:1] Started kubelet v1.7.5"]
    found = digest(lines)
    assert found == (
        JournalLine(lines[10], 1, loud=False),
        JournalLine(REFUSED.format(29), 30, loud=True),
    )
    assert str(found[1]).endswith("connection refused (30 times)")
    assert str(found[0]) == lines[10]


def test_last_messages_are_kept_and_long_ones_cut() -> None:
    words = ("one", "two", "three", "four " + "x" * 500)
    found = digest(words, most=2)
    assert [line.text[:5] for line in found] == ["three", "four "]
    assert len(found[1].text) == 240


def test_nothing_of_nothing() -> None:
    assert digest([]) == ()
