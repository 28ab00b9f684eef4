"""Binary data as text."""

from __future__ import annotations

import base64


def base64_text(data: bytes) -> str:
    """Return data in base64, as kubeconfigs and Secrets embed it."""
    return base64.b64encode(data).decode()
