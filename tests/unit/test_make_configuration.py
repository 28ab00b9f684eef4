from __future__ import annotations

import pytest

from tests.make_configuration import CONSTANTS, evaluate, folded


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("metav1.Duration{Duration: 2 * time.Minute}", "2m0s"),
        ("&metav1.Duration{Duration: 100 * time.Millisecond}", "100ms"),
        ("metav1.Duration{Duration: time.Minute}", "1m0s"),
        ("utilpointer.BoolPtr(true)", True),
        ("ptr.To[int32](50)", 50),
        ("utilpointer.Int32Ptr(int32(qos.KubeletOOMScoreAdj))", -999),
        ('"127.0.0.1"', "127.0.0.1"),
        ("kubeletconfigv1beta1.PromiscuousBridge", "promiscuous-bridge"),
    ],
)
def test_defaults_are_read_as_go_writes_them(expression: str, value: object) -> None:
    assert evaluate(expression, CONSTANTS) == value


def test_what_holds_per_minor_is_folded() -> None:
    assert folded({7: "a", 8: "a", 9: "b", 11: "b"}) == [[7, 8, "a"], [9, 9, "b"], [11, 11, "b"]]
