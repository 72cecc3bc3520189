"""The reference is what the code says, and the code says something about everything."""

import re

import pytest

from tests.docs.pages import DOCS, ROOT
from tools import rest
from tools.evidence import PROOFS
from tools.evidence import page as evidence_page
from tools.reference import (
    FOLDER,
    PAGES,
    command_line,
    drawn,
    error_classes,
    event_classes,
    examples,
    said_of,
    walk,
)
from tools.scale import page as scale_page

COMMANDS = dict(walk(command_line()))


@pytest.fixture(scope="module")
def http():
    with rest.apps() as found:
        yield found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_the_reference_is_what_the_code_says(name):
    page = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    assert page == PAGES[name](), "run: make reference"


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_says_what_it_does_and_shows_an_example(path):
    command = COMMANDS[path]
    assert (command.help or "").strip().endswith("."), f"{path} has no help"
    grouped = getattr(command, "commands", None)
    assert examples(command) or grouped, f"{path} has no example"
    for parameter in command.params:
        option = parameter.param_type_name == "option"
        assert parameter.help or not option, f"{path} {parameter.name} has no help"


def test_every_plan_key_has_a_sentence():
    from aegis.plan.layers import defaults
    from aegis.plan.sentences import schema_of

    page = (FOLDER / "plan.md").read_text(encoding="utf-8")
    for key in defaults():
        assert schema_of(key)["description"].endswith("."), key
        assert f"| `{key}` |" in page


@pytest.mark.parametrize("cls", event_classes(), ids=lambda cls: cls.__name__)
def test_every_event_says_what_happened(cls):
    assert said_of(cls).endswith("."), f"{cls.__name__} has no docstring of its own"


def test_every_error_is_explained():
    for cls in error_classes():
        assert cls.__name__ in drawn() or cls.__name__ == "AegisError", cls


def test_every_route_is_in_the_reference_and_says_what_it_does(http):
    page = (FOLDER / "rest.md").read_text(encoding="utf-8")
    silent = []
    for title, app in http.items():
        for method, path, operation in rest.operations(app):
            assert f"| {method} | `{path}` |" in page
            if not rest.said(operation):
                silent.append(f"{title}: {method} {path}")
        for _, path, right in rest.pages(app):
            assert f"`{path}` |" in page
            assert right, f"{title}: {path} is open to nobody and not public"
    assert not silent, "routes without a docstring: " + ", ".join(silent)


def test_the_addresses_of_the_documents_are_there(http):
    """What the pages for newcomers call an address of a console is one."""
    known = {path for app in http.values() for _, path, _ in rest.operations(app)}
    known |= {path for app in http.values() for _, path, _ in rest.pages(app)}
    found = []
    for page in (DOCS / "coming-from").glob("*.md"):
        found += re.findall(r"`(/[\w/-]*)`", page.read_text(encoding="utf-8"))
    assert len(found) > 10
    assert set(found) <= known, set(found) - known


def test_evidence_is_what_was_measured():
    page = (DOCS / "evidence.md").read_text(encoding="utf-8")
    assert page == evidence_page(), "run: make evidence"


def test_the_figures_of_the_page_on_scale_are_those_that_were_measured():
    page = (DOCS / "scale.md").read_text(encoding="utf-8")
    assert page == scale_page(), "run: make evidence"


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.claim[:40])
def test_a_bar_on_the_evidence_page_is_asserted_by_its_proof(proof):
    source = (ROOT / "tests" / "prove" / f"test_{proof.part}.py").read_text(encoding="utf-8")
    assert proof.line in source


def test_figures_of_other_pages_about_speed_and_accuracy_are_on_the_evidence_page():
    """A percentage in the README is one of a run that the README names."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    outside = re.sub(r"<!-- results -->.*?<!-- /results -->", "", readme, flags=re.S)
    for figure in re.findall(r"\d+(?:\.\d+)? ?%", outside):
        assert figure in evidence_page()
