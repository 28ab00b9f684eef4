"""The ways in which a kubelet ends."""

from __future__ import annotations


class Failure(Exception):
    """An error as Go returns one; at the top it ends the kubelet."""


class Refusal(Failure):
    """An error of one of the steps before the kubelet runs; ``step`` is a key of STEPS."""

    def __init__(self, step: str, text: str) -> None:
        super().__init__(text)
        self.step = step


class Fatal(Exception):
    """An error that glog.Fatal logs; it ends the program with exit status 255."""

    def __init__(self, where: str, text: str) -> None:
        super().__init__(text)
        self.where = where


class Exit(Exception):
    """An error that klog.ErrorS logs before os.Exit(1); ``text`` is the whole log line."""

    def __init__(self, where: str, text: str) -> None:
        super().__init__(text)
        self.where = where


class Panic(Exception):
    """A crash of the real kubelet, imitated: it ends the program with exit status 2."""
