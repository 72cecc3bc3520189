"""Commands that the pages on deployment show are known to Aegis, and files they name exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from aegis.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = ("coming-from.md", "deploying.md", "sagemaker.md")


def commands():
    for page in PAGES:
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        for block in re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line)
                at = [
                    n for n, word in enumerate(words) if word in ("aegis", "/opt/aegis/bin/aegis")
                ]
                if at:
                    yield pytest.param(words[at[0] + 1 :], id=f"{page}: {line[:60]}")


@pytest.mark.parametrize("words", list(commands()))
def test_a_command_on_a_page_is_one_that_aegis_knows(words):
    command = get_command(app)
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.split("=")[0] for word in words if word.startswith("--")} <= known
    assert not words or words[0] not in ("help",)


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?<!/)(?:deploy|examples|tests)/[\w./@-]+\.\w+", text))
    linked = set(re.findall(r"\]\((\w[\w.-]*\.md)\)", text))
    assert all((ROOT / name).exists() for name in named)
    assert all((ROOT / "docs" / name).exists() for name in linked)
