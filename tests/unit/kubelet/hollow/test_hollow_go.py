from __future__ import annotations

import pytest
from hollow_common.go import format_duration, parse_duration
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(-(2**62), 2**62))
def test_durations_survive(nanoseconds: int) -> None:
    text = format_duration(nanoseconds // 1000 * 1000)
    assert abs(parse_duration(text) - nanoseconds) <= 1000


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (60 * 10**9, "1m0s"),
        (14400 * 10**9, "4h0m0s"),
        (1_500_000, "1.5ms"),
        (-2_030_000_000, "-2.03s"),
    ],
)
def test_durations_are_written_as_go_writes_them(nanoseconds: int, text: str) -> None:
    assert format_duration(nanoseconds) == text
