"""Headless Chromium: what a page is once a browser has it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
_HARNESS = """
<script>
addEventListener("load", async () => {
  let result;
  try { result = await (async () => { %s })(); } catch (error) { result = { error: String(error) }; }
  const found = document.createElement("pre");
  found.id = "result-of-the-test";
  found.textContent = JSON.stringify(result);
  document.body.append(found);
});
</script>
</body>
"""
_RESULT = re.compile(r'<pre id="result-of-the-test">(.*?)</pre>', re.DOTALL)


def evaluate(page: str, script: str, folder: Path, *, width: int = 1200, dark: bool = False) -> Any:
    """Return what ``script``, the body of an async function, returns in a page."""
    path = folder / "page.html"
    path.write_text(page.replace("</body>", _HARNESS.replace("%s", script)), encoding="utf-8")
    argv = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={width},900",
        "--virtual-time-budget=20000",
        *(["--blink-settings=preferredColorScheme=0"] if dark else []),
        "--dump-dom",
        path.as_uri(),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    found = _RESULT.search(done.stdout)
    assert found, done.stderr[-2000:]
    return json.loads(unescape(found[1]))
