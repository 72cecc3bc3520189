"""The README says what a run says."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parent.parent


def _results():
    spec = importlib.util.spec_from_file_location(
        "readme_results", ROOT / "benchmarks" / "readme_results.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_results_sentence_is_that_of_a_run_made_now(tmp_path):
    text = _results().block(tmp_path)
    assert text in (ROOT / "README.md").read_text(encoding="utf-8"), "run: make results"
    assert (ROOT / "docs" / "aegis_results.png").stat().st_size > 10_000


def test_what_must_be_said_is_said():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "Not medical software. Not independently audited." in readme
    assert "Activate.ps1" in readme


def test_links_lead_somewhere():
    import re

    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
