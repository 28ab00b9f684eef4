from __future__ import annotations

from hypothesis import settings

# No test asserts a time: another process may have the processor just then.
# The examples are the same in every run, so that a change is judged by what it changes; others are
# searched for with --hypothesis-profile=search.
settings.register_profile("search", deadline=None, max_examples=1000)
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")
