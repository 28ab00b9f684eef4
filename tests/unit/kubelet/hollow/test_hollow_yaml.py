from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from hollow_common.yaml_reader import YamlError, load_yaml, load_yaml_or_json
from hypothesis import given, settings
from hypothesis import strategies as st

# go-yaml has y and n for booleans and 1e1 for a number, PyYAML has not.
PLAIN = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=12
).filter(lambda text: not re.match(r"[-+.0-9]|[yYnN]$", text))
DOCUMENTS = st.recursive(
    PLAIN | st.booleans() | st.none() | st.integers(-999, 999),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(PLAIN, DOCUMENTS, max_size=4), st.booleans())
@settings(max_examples=100)
def test_yaml_is_read_as_it_was_written(document: Any, flow: bool) -> None:
    text = yaml.safe_dump(document, default_flow_style=flow, width=10**6, allow_unicode=True)
    assert load_yaml(text.encode()) == document


@given(DOCUMENTS)
@settings(max_examples=50)
def test_json_is_yaml(document: Any) -> None:
    text = json.dumps({"a": document}, indent=2, ensure_ascii=False)
    assert load_yaml(text.encode()) == {"a": document}
    assert load_yaml_or_json(text.encode()).value == {"a": document}


def test_yaml_as_people_write_it() -> None:
    text = """\
---
# a comment
"kind": 'Config'   # another
url: https://example.org:443/#fragment
nested:
- name: a # comment
  list: [a, "b # c", {d: 'it''s'}]
-   - deep
    - 0x10
  # less indented
empty:
multi: [
  1, 2.5,
  true ]
text: |
  one
    two # no comment

  three
folded: >-
  one
  two
last: ~
---
ignored: true
"""
    expected = yaml.safe_load(text.partition("---\nignored")[0])
    assert load_yaml(text.encode()) == expected
    assert expected["nested"][0]["list"][2] == {"d": "it's"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &x 1\nb: *x", {"a": 1, "b": 1}),
        ("a: &x {b: [1]}\nc: {<<: *x, d: 2}", {"a": {"b": [1]}, "c": {"b": [1], "d": 2}}),
        ("a: {<<: [{b: 1}, {b: 2, c: 3}]}", {"a": {"b": 1, "c": 3}}),
        ("a: {b: 1, <<: {b: 2}}", {"a": {"b": 2}}),
        ('"<<": 1', {"<<": 1}),
        ("a: !!str 1\nb: !!int '2'\nc: !local x\nd: !!float 1", {"a": "1", "b": 2, "c": "x", "d": 1}),
        ("a: !!binary aGVsbG8=", {"a": "hello"}),
        ("%YAML 1.1\n---\na: 1", {"a": 1}),
        ("\ufeffa: 1", {"a": 1}),
        ("a: b\n  c\n\n  d", {"a": "b c\nd"}),
        ("a: 'b\n  c'", {"a": "b c"}),
        ('a: "b\\\n  c"', {"a": "bc"}),
        ("? a\n: b", {"a": "b"}),
        ("1: a\n1.5: b\ntrue: c", {"1": "a", "1.5": "b", "true": "c"}),
        ("a:\tb\tc\t# d\n", {"a": "b\tc"}),
        ('{\n\t"a": 1\n}', {"a": 1}),
        ("# nothing but a comment\n", None),
        ("a: 1\n--- \nb: [", {"a": 1}),
        ("a: 2001-12-14", {"a": "2001-12-14"}),
        ("a: 1:30", {"a": "1:30"}),
        ("a: [y, N, on, Off, yes, 'yes']", {"a": [True, False, True, False, True, "yes"]}),
    ],
)  # fmt: skip
def test_all_of_yaml_is_read(text: str, value: Any) -> None:
    assert load_yaml(text.encode()) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("110.0", 110), ("1e2", 100), ("1_10", 110), ("0o156", 110), ("0156", 110), ("0b1101110", 110),
        ("0x6E", 110), ("+5", 5), ("-0", 0), ("1.5", 1.5), (".5", 0.5), ("08", 8), ("-0b11", -3),
        ("18446744073709551615", 2**64 - 1), ("1e400", "1e400"), ("9" * 5000, "9" * 5000), ("1.2.3", "1.2.3"),
    ],
)  # fmt: skip
def test_numbers_are_read_as_go_yaml_reads_them(text: str, value: Any) -> None:
    found = load_yaml(f"a: {text}".encode())["a"]
    assert (found, type(found)) == (value, type(value))


def test_duplicate_keys_are_reported_and_the_last_one_counts() -> None:
    document = load_yaml_or_json(b"a: 1\nb: {c: 2, c: 3}\na: 4\n")
    assert document.value == {"a": 4, "b": {"c": 3}}
    assert document.duplicates == [
        'line 2: key "c" already set in map',
        'line 3: key "a" already set in map',
    ]
    assert load_yaml_or_json(b'{"a": 1, "a": 2}').duplicates == ['duplicate field "a"']


@pytest.mark.parametrize(
    "text",
    ["a: *x", "{{{", "a: b: c", "a:\n\tb: c", "a: 'x", "a: [1", "a: b\n  c: d", "- a\nb: c",
     "a: 1\n b: 2", "a: |x\n  b", "a: {b: 1", "a: &x [*x]", "<<: 1", "a: !!int x", "[a]: b", "null: 1",
     "a: !!binary _", "a: @x", "%YAML 2.0\n---\na: 1"],
)  # fmt: skip
def test_bad_yaml_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(YamlError, match=r"^yaml: line \d: "):
        load_yaml(text.encode())


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "data",
    [b"\xff\xfe\xff", b"a: \xe9", b"a: \x01", b"a: .inf", b"[" * 5000, BOMB.encode()],
    ids=["utf-16", "latin-1", "control", "infinity", "deep", "aliases"],
)
def test_unreadable_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(YamlError):
        load_yaml(data)


@pytest.mark.parametrize(
    "text",
    ["{a: 1}", '{"a": NaN}', '{"a": 1} x', '{"a"', '{"a": ' + "9" * 5000 + "}", '{"a": ' + "[" * 5000],
    ids=["unquoted", "nan", "more", "unfinished", "digits", "deep"],
)  # fmt: skip
def test_a_text_that_starts_with_a_brace_has_to_be_json(text: str) -> None:
    with pytest.raises(YamlError):
        load_yaml_or_json(text.encode())
