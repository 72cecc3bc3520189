"""How tests start Chromium: it asks nobody on the network, and we hear what a page was denied."""

from __future__ import annotations

from aegis.report.pdf import chromium

CHROMIUM = chromium()
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
COMPLAINTS = """
window.complaints = [];
document.addEventListener("securitypolicyviolation", e => complaints.push(e.violatedDirective));
"""
