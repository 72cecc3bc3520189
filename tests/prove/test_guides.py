"""The guides and the README are typed, command by command: make prove PART=guides"""

import os

import pytest

from tests.docs.desk import desk
from tests.docs.pages import DOCS, follow, typed
from tests.docs.readme import commands, expected, furnish

__all__ = ["desk"]
GUIDES = sorted((DOCS / "guides").glob("*.md"))
DATA = os.environ.get("AEGIS_DATA_DIR", "")


@pytest.mark.prove
@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_a_guide_does_what_it_says(page, desk):
    ran = follow(page, desk)
    print(f"\n{page.stem}: {len(ran)} commands")
    assert ran or page.stem == "engineer"


@pytest.mark.prove
def test_every_command_of_the_readme_runs(desk, monkeypatch):
    furnish(desk)
    if DATA:
        monkeypatch.setenv("AEGIS_DATA_DIR", DATA)
    for command in commands():
        if "heart" in command and not DATA:
            print(f"left out, AEGIS_DATA_DIR is not set: {command}")
            continue
        code, said = typed(command, desk)
        print(f"{code}  {command}")
        assert code in expected(command), f"{command} ended with {code}\n{said}"
