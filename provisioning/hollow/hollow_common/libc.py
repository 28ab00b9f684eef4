"""The C library, for what Python's standard library does not offer everywhere."""

import ctypes

libc = ctypes.CDLL(None, use_errno=True)
