"""A page of ours as PDF, printed by Chromium without a window; by nothing else.

A report loads nothing, and Chromium is told to ask nobody: no profile of the user's is read, no
host name is resolved.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from aegis.errors import BadInput, RunAborted

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
    "chrome",
    "msedge",
    "microsoft-edge",
)
LONGEST_S = 120
_QUIET = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--no-first-run",
    "--no-default-browser-check",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--no-pdf-header-footer",
)


def chromium() -> str | None:
    """The path of a Chromium on this machine, or None."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def pdf_of(html: str) -> bytes:
    """The page ``html``, printed on A4 as its own style says.

    Raises ``BadInput`` where there is no Chromium, ``RunAborted`` where it prints nothing.
    """
    browser = chromium()
    if browser is None:
        raise BadInput(
            "no Chromium was found on this machine",
            "a PDF is printed by Chromium, and by nothing else",
            "Install chromium, or write the page with --html and print it from any browser",
        )
    with tempfile.TemporaryDirectory(prefix="aegis-pdf-") as folder:
        page, printed = Path(folder) / "page.html", Path(folder) / "page.pdf"
        page.write_text(html, encoding="utf-8")
        # A sandbox needs rights that root in a container does not have; the page has no script.
        root = ("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()
        command = [
            browser,
            *_QUIET,
            *root,
            f"--user-data-dir={folder}/profile",
            f"--print-to-pdf={printed}",
            page.as_uri(),
        ]
        try:
            done = subprocess.run(  # noqa: S603  a browser found by name, and paths of ours
                command, capture_output=True, timeout=LONGEST_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise _nothing(f"it did not finish in {LONGEST_S} s") from error
        except OSError as error:
            raise _nothing(error.strerror or str(error)) from error
        if not printed.exists():
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise _nothing(said[-1][:300] if said else f"exit status {done.returncode}")
        return printed.read_bytes()


def _nothing(why: str) -> RunAborted:
    return RunAborted(
        f"Chromium printed nothing ({why})",
        way_out="Write the page with --html and print it from any browser",
    )
