from __future__ import annotations

from pytest_kubecluster.util.poll import poll


def test_first_true_answer_is_returned() -> None:
    answers = iter([0, 0, 7, 8])
    assert poll(lambda: next(answers), 60, every=0) == 7


def test_last_answer_is_returned_at_the_deadline() -> None:
    answers = iter([0])
    assert poll(lambda: next(answers), 0) == 0
