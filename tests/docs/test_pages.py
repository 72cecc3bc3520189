"""Every page: links lead somewhere, commands parse, and some words are not used."""

import re
import shlex

import pytest
import typer

from tests.docs.pages import ROOT, boxes, joined, pages
from tools.reference import command_line

PAGES = pages()
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
USAGE = typer.BadParameter.__mro__[1]

# What must not be said, and the sentences that may say it.
FORBIDDEN = {
    r"\b(HIPAA|GDPR)\b": (),
    r"\bcompliant\b": (),
    r"\banonym(ous|i[sz]ed?)\b": (),
    r"\bguarantee[ds]?\b": ("carries no differential privacy guarantee",),
    r"\bmilitary[- ]grade\b": (),
    r"\b100 ?% (secure|safe|private)\b": (),
    r"\bunbreakable\b": (),
    r"\b(AI|artificial intelligence) says\b": (),
    r"\b(revolutionary|cutting[- ]edge|state[- ]of[- ]the[- ]art|seamless(ly)?|blazing)\b": (),
    r"\b(world[- ]class|best[- ]in[- ]class|game[- ]chang\w+|production[- ]ready)\b": (),
}
LEFT_OUT = ("MissingParameter", "BadOptionUsage")
EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")


def slug(heading: str) -> str:
    words = re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", words)).strip("-")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in LINK.findall(re.sub(r"```.*?```", "", text, flags=re.S)):
        if re.match(r"(https?|mailto):", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path) if path else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.M)
            assert anchor in map(slug, headings), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_some_words_are_not_used(page):
    text = page.read_text(encoding="utf-8")
    for pattern, allowed in FORBIDDEN.items():
        for sentence in allowed:
            text = text.replace(sentence, "")
        found = re.search(pattern, text, re.I)
        assert found is None, f"{page.name} says {found and found[0]!r}"
    assert not EMOJI.search(text)


def test_templates_do_not_say_them_either():
    for path in (ROOT / "src").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        for pattern, allowed in FORBIDDEN.items():
            for sentence in allowed:
                text = text.replace(sentence, "")
            assert re.search(pattern, text, re.I) is None, f"{path.name}: {pattern}"


def commands(page) -> list[tuple[str, bool]]:
    """What a page tells people to type, and whether it is a whole line: boxes of a shell, and code
    in sentences, which may leave out what must be given."""
    text = page.read_text(encoding="utf-8")
    whole = [c for box in boxes(page) if box.kind in ("bash", "sh") for c in joined(box.lines)]
    outside = re.sub(r"```.*?```", "", text, flags=re.S)
    part = [
        c
        for c in re.findall(r"`([^`\n]+)`", outside)
        if " " in c and not re.search(r"[.]{3}|\w[|]\w", c)
    ]
    return [(c, True) for c in whole] + [(c, False) for c in part]


def words_of(command: str) -> list[str]:
    """Behind an environment, another user or a container stands the command itself."""
    words = shlex.split(re.split(r" [|>] | && ", command)[0])
    while words:
        match words:
            case (
                ["sudo", "-u", _, *rest] | ["sudo", *rest] | ["docker", "compose", "exec", _, *rest]
            ):
                words = rest
            case [first, *rest] if re.match(r"\w+=", first):
                words = rest
            case _:
                return [words[0].rpartition("/bin/")[2], *words[1:]]
    return words


def parse(words: list[str]) -> None:
    """Raises what the command line would, without running anything."""
    command, path = command_line(), "aegis"
    below = getattr(command, "commands", {})
    while words and words[0] in below:
        path, command, words = f"{path} {words[0]}", below[words[0]], words[1:]
        below = getattr(command, "commands", {})
    if not words and below:
        return
    if below and not words[0].startswith("-"):
        raise typer.BadParameter(f"{path} has no command {words[0]}")
    try:
        command.make_context(path, list(words))
    except (typer.Exit, SystemExit):  # --help and --version
        return


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_on_a_page_can_be_typed(page):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for command, whole in commands(page):
        match words_of(command):
            case ["aegis", *rest]:
                try:
                    parse(rest)
                except USAGE as error:
                    if not whole and type(error).__name__ in LEFT_OUT:
                        continue
                    pytest.fail(f"{page.name}: {command}: {error.format_message()}")
            case ["make", *rest]:
                wanted = [w for w in rest if "=" not in w]
                assert set(wanted) <= targets, f"{page.name}: {command}"
            case ["python", script, *_] if script.endswith(".py") and "backend" not in script:
                own = {box.mark.removeprefix("file ") for box in boxes(page)}
                assert (ROOT / script).exists() or script in own, f"{page.name}: {command}"


def test_a_command_that_does_not_exist_is_found():
    parse(["run", "plan.yaml", "--set", "seed=1"])
    parse(["coordinator", "--port", "5000"])
    for wrong in (["run", "--no-such"], ["models", "polish"], ["keys", "revoke"]):
        with pytest.raises(USAGE):
            parse(wrong)
