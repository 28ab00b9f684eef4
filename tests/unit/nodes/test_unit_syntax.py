"""Unit files and environment files, with what systemd 252 was seen to make of them."""

from __future__ import annotations

import pytest

from pytest_kubecluster.nodes.verdict import unit_syntax

VARIABLES = {"A": "one", "B": "two  three", "C": "x\ty", "Q": "'a b' c"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a  b\tc", ["a", "b", "c"]),
        ("--x='a b'\"c d\"e", ["--x=a bc de"]),
        ("'' \"\"", ["", ""]),
        (r"\x41\101\u00e9 a\sb '\t'", ["AAé", "a b", "\t"]),
        (r"\q a\\b", [r"\q", r"a\b"]),
        ("'open", []),
        ("a # b", ["a", "#", "b"]),
    ],
)
def test_words_of_a_value(value: str, words: list[str]) -> None:
    assert unit_syntax.split_words(value) == words


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("$A", ["one"]),
        ("$B", ["two", "three"]),
        ("$Q", ["a b", "c"]),
        ("$UNSET", []),
        ("$", []),
        ("${B}", ["two  three"]),
        ("x${A}y", ["xoney"]),
        ("${UNSET}", [""]),
        ("$$A", ["$A"]),
        # Within a word only braces make a variable.
        ("x=$A", ["x=$A"]),
        ("$A,c", []),
    ],
)
def test_variables_of_a_command(word: str, words: list[str]) -> None:
    assert unit_syntax.with_variables(word, VARIABLES) == words


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("A=1\nB= two three \n", {"A": "1", "B": "two three"}),
        ("# A=1\n; A=2\n\nA=3", {"A": "3"}),
        ("A='a b' \"c d\"\n", {"A": "a bc d"}),
        ('A="x \\\n  y"\n', {"A": "x   y"}),
        ("A=x\\\ny\n", {"A": "xy"}),
        ('A="a\\"b\\$c\\d"\n', {"A": 'a"b$c\\d'}),
        ("A='a\nb'\nB=1\n", {"A": "a\nb", "B": "1"}),
        ("A=it's\n", {"A": "it's"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("export A=1\nB\n=C\nD=$A\n", {"D": "$A"}),
        ("Aé=1\n", {}),
        ("A=1\nA=\n", {"A": ""}),
        ("=\\\nB=1\n", {"B": "1"}),
        # Before systemd 254, a comment with a backslash at its end goes on.
        ("# c \\\nA=1\nB=2\n", {"B": "2"}),
    ],
)
def test_variables_of_an_environment_file(text: str, variables: dict[str, str]) -> None:
    assert unit_syntax.environment_file(text) == variables


def test_lines_of_a_unit() -> None:
    text = (
        "[Service]\r\nExecStart=/bin/x \\\r\n  # comment\r\n  --a \\\r\n; comment\r\n --b\r\n"
        "Environment=A=\\\\\n\n  Restart = always  \n[Install]\nWantedBy=multi-user.target"
    )
    assert list(unit_syntax.directives(text)) == [
        ("Service", "ExecStart", "/bin/x  --a  --b"),
        ("Service", "Environment", "A=\\\\"),
        ("Service", "Restart", "always"),
        ("Install", "WantedBy", "multi-user.target"),
    ]


def test_variables_of_a_unit() -> None:
    value = "A=1 \"B=two words\" 'C=%H' D"
    assert dict(unit_syntax.assignments(value)) == {"A": "1", "B": "two words", "C": "%H"}
