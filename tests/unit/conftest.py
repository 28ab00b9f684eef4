from __future__ import annotations

from hypothesis import settings

# No test asserts a time: another process may have the processor just then.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
