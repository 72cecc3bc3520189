"""The guides are typed, command by command: make prove PART=guides"""

import pytest

from tests.docs.desk import desk
from tests.docs.pages import DOCS, follow

__all__ = ["desk"]
GUIDES = sorted((DOCS / "guides").glob("*.md"))


@pytest.mark.prove
@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_a_guide_does_what_it_says(page, desk):
    ran = follow(page, desk)
    print(f"\n{page.stem}: {len(ran)} commands")
    assert ran or page.stem == "engineer"
