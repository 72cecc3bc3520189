"""A report printed to a file by Chromium, or a sentence that says why not."""

import re
import shutil

import pytest

from aegis.errors import BadInput, RunAborted
from aegis.report import pdf
from aegis.report.html import html_report

CHROMIUM = pdf.chromium()


def test_without_a_chromium_the_way_out_is_named(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BadInput, match="no Chromium was found") as raised:
        pdf.pdf_of("<p>x</p>")
    assert "--html" in raised.value.way_out


def test_a_browser_that_prints_nothing_is_said_to(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/false")
    with pytest.raises(RunAborted, match="printed nothing"):
        pdf.pdf_of("<p>x</p>")


@pytest.mark.engine
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_report_becomes_pages_of_a4(a_result):
    data = pdf.pdf_of(html_report(a_result()))
    assert data.startswith(b"%PDF-")
    boxes = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox \[([^\]]+)\]", data)}
    assert boxes
    for _, _, width, height in boxes:
        assert (width, height) == pytest.approx((595, 842), abs=2)
