"""The floor plan is what its script draws, and the picture is of this drawing."""

import io
import shutil

import pytest

from tools import architecture

CHROMIUM = shutil.which("chromium")


def test_the_drawing_is_what_the_script_draws():
    drawn = architecture.DRAWING.read_text(encoding="utf-8")
    assert drawn == architecture.drawing(), "run: make architecture"
    assert architecture.noted() == architecture.digest(), "run: make architecture"


def test_the_readme_shows_it():
    readme = (architecture.DOCS.parent / "README.md").read_text(encoding="utf-8")
    assert "(docs/architecture.png)" in readme


@pytest.mark.engine
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_picture_is_the_drawing():
    """To within what another release of the browser does to the edges of letters."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    import numpy as np
    from PIL import Image

    def small(picture) -> np.ndarray:
        return np.asarray(picture.convert("L").resize((400, 255)), dtype=float)

    with Image.open(architecture.PICTURE) as kept:
        before = small(kept)
    again = small(Image.open(io.BytesIO(architecture.rendered())))
    assert np.abs(before - again).mean() < 2
    assert np.abs(before - again).max() < 60
