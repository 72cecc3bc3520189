"""The tutorial is typed, command by command, and says what comes out."""

import pytest

from tests.docs.pages import DOCS, follow, holds


def test_the_tutorial_does_what_it_says(desk):
    ran = follow(DOCS / "tutorial.md", desk)
    assert len(ran) > 18
    assert "</html>" in (desk / "report.html").read_text(encoding="utf-8")
    assert (desk / "second" / "federated_learning.db").exists()


def test_a_page_that_shows_what_did_not_come_out_is_caught(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- run -->\n```bash\necho one\n```\n\n<!-- expect -->\n```text\ntwo\n```\n",
        encoding="utf-8",
    )
    with pytest.raises(AssertionError, match="shows: two"):
        follow(page, tmp_path)
    assert holds("a 95.6 % and\n  more", "a ... % and more")
    assert not holds("a 95.6 % and less", "a ... % and more")
