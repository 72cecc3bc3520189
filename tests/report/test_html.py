from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aegis.report
from aegis.report.html import html_report

TEMPLATES = Path(aegis.report.__file__).parent / "templates"
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Every element with its attributes and text; unbalanced tags fail."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self.open: list[int] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {k: v or "" for k, v in attrs}, []))
        if tag not in VOID:
            self.open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, {k: v or "" for k, v in attrs}, []))

    def handle_endtag(self, tag):
        assert self.elements[self.open.pop()][0] == tag

    def handle_data(self, data):
        for index in self.open:
            self.elements[index][2].append(data)

    def all(self, tag: str) -> list[tuple[dict[str, str], str]]:
        return [(attrs, "".join(text)) for name, attrs, text in self.elements if name == tag]

    def text(self, tag: str = "main") -> str:
        return " ".join(self.all(tag)[0][1].split())


def of(result) -> Page:
    return Page(html_report(result))


def large(a_result):
    centres = {f"hospital {i:04d}": (60, 15, 0.5) for i in range(1000)}
    return a_result(rounds=1000, centres=centres)


def pc(share: float) -> str:
    return f"{100 * share:.1f} %"


def test_every_number_of_the_verdict_is_the_results(a_result):
    result = a_result()
    page = of(result)
    words = [gain["difference"]["ci95"] for gain in result["comparison"]["hospitals"]]
    better, worse = sum(low > 0 for low, _ in words), sum(high < 0 for _, high in words)
    assert re.findall(r"\d+", page.text("h1")) == [
        str(n) for n in (better, 4, 4 - better - worse, worse) if n or n == 4
    ]
    overall, (low, high) = result["global"], result["global"]["ci95"]["accuracy"]
    right = round(overall["accuracy"] * overall["examples"])
    text = page.text()
    assert f"right for {right} of 254 patients" in text
    assert f"({pc(overall['accuracy'])}, 95 % interval {100 * low:.1f} to {pc(high)})" in text
    assert f"({pc(result['pooled']['accuracy'])})" in text
    assert f"own models for {pc(result['mean_local']['accuracy'])}" in text
    assert f"right for {pc(result['mean_hospitals']['accuracy'])}" in text


@pytest.mark.parametrize("where", ["global", "pooled", "mean_hospitals", "mean_local"])
def test_the_verdict_follows_the_result(where, a_result):
    result = a_result()
    result[where]["accuracy"] = 0.6181
    assert "61.8 %" in " ".join(text for _, text in of(result).all("p")).replace("\u00a0", " ")


def test_every_hospitals_figures_are_on_the_page(a_result):
    result = a_result()
    text = of(result).text()
    for hospital in result["hospitals"]:
        assert pc(hospital["global"]["accuracy"]) in text
    for entry in result["comparison"]["hospitals"]:
        assert f"{100 * entry['alone']['ci95'][0]:.1f} to" in text


def test_the_page_asks_for_nothing_and_runs_nothing(a_result):
    page = of(a_result())
    for tag, attrs, _ in page.elements:
        assert tag not in {"script", "iframe", "object", "embed", "link", "img", "form", "base"}
        for name, value in attrs.items():
            assert not name.startswith("on")
            assert name not in {"style", "src", "srcset"}
            if name in {"href", "xlink:href"}:
                assert value == "#main"
    style = page.all("style")[0][1]
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_names_exactly_the_one_style_block(a_result):
    page = of(a_result())
    styles = page.all("style")
    assert len(styles) == 1
    digest = base64.b64encode(hashlib.sha256(styles[0][1].encode()).digest()).decode()
    policies = [a["content"] for a, _ in page.all("meta") if "http-equiv" in a]
    assert policies == [
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    ]


def test_readers_who_do_not_see_get_the_same(a_result):
    page = of(a_result())
    assert len(page.all("h1")) == 1
    assert len(page.all("caption")) == len(page.all("table")) > 4
    assert all(attrs.get("scope") in {"row", "col"} for attrs, _ in page.all("th"))
    identifiers = [attrs["id"] for _, attrs, _ in page.elements if "id" in attrs]
    assert len(identifiers) == len(set(identifiers))
    for _, attrs, _ in page.elements:
        for name in attrs.get("aria-labelledby", "").split():
            assert name in identifiers
    pictures = [attrs for attrs, _ in page.all("svg") if attrs.get("role") == "img"]
    assert len(pictures) == len(page.all("desc")) == len(page.all("title")) - 1 >= 2 + 2 * 4
    assert all(text.strip() for _, text in page.all("desc"))
    assert page.all("html")[0][0]["lang"] == "en"


def test_the_curve_says_its_finding_in_words(a_result):
    result = a_result()
    found = [text for _, text in of(result).all("desc")]
    last = result["history"][-1]["global"]
    assert any(pc(last["accuracy"]) in text.replace("\u00a0", " ") for text in found)
    assert any(f"{last['auc']:.3f} after round 7" in text for text in found)


def test_hostile_names_are_text(a_result):
    name = "<script>alert(1)</script>\"'><img src=x onerror=y>&amp;"
    result = a_result(centres={name: (90, 40, 0.5), "plain": (90, 40, 0.5)})
    result["run"] = result["task"] = result["status"] = name
    result["data"]["source"] = result["data"]["positive"] = name
    result["history"][0]["absent"] = [name]
    result["table_one"]["rows"][0]["label"] = result["odds_ratios"][0]["feature"] = name
    page = of(result)
    assert not page.all("script")
    assert not page.all("img")
    assert any(text.startswith(name) for _, text in page.all("th"))


def test_one_hospital_with_one_class_reads_not_applicable(a_result):
    result = a_result(centres={"only": (90, 40, 1.0)})
    for metrics in (result["global"], result["hospitals"][0]["global"], result["pooled"]):
        metrics["auc"] = metrics["balanced_accuracy"] = None
    for entry in result["history"]:
        entry["global"]["auc"] = None
    text = of(result).text()
    assert "AUC n/a: one class absent" in text
    assert "AUC by round" not in text
    assert "1 hospital" in text
    assert "1 hospitals" not in text


def test_a_missing_pooled_reference_is_said(a_result):
    result = a_result() | {"pooled": None, "pooled_reason": "rows may not be put together"}
    text = of(result).text()
    assert (
        "There is no reference with all rows in one place (rows may not be put together)." in text
    )


@pytest.mark.parametrize(
    ("section", "said"),
    [("comparison", "There is no comparison: not asked for."),
     ("table_one", "There is no table of patients: not asked for."),
     ("odds_ratios", "Odds ratios are withheld: not asked for.")],
)  # fmt: skip
def test_an_absent_section_says_why(section, said, a_result):
    result = a_result() | {section: None, f"{section}_reason": "not asked for"}
    if section == "comparison":
        for hospital in result["hospitals"]:
            hospital["global"] = hospital["local"] = None
    assert said in of(result).text()


def test_no_figure_is_a_bare_dash_or_an_invented_zero(a_result):
    result = json.loads(json.dumps(a_result()))
    for hospital in result["hospitals"]:
        hospital["global"] = hospital["local"] = None
    result["global"] = result["pooled"] = result["mean_local"] = result["mean_hospitals"] = None
    result["comparison"] = None
    page = of(result)
    cells = [text.strip() for tag in ("td", "dd", "p", "small") for _, text in page.all(tag)]
    assert not {"-", "–", "—", "None", "nan", "null", ""} & set(cells) - {""}
    assert not any(re.match(r"0(\.0+)?\s?%?$", cell) for cell in cells)
    assert "n/a: not measured" in cells


def test_a_thousand_hospitals_and_rounds_fit_in_one_page(a_result):
    result = large(a_result)
    html = html_report(result)
    assert len(html.encode()) < 1_000_000
    page = Page(html)
    text = page.text()
    assert "50 of 1,000 hospitals are shown" in text
    assert "The full list is in the JSON result." in text
    assert re.search(r"The curve draws \d+ of 1,000 scored rounds", text)
    assert re.search(r"(49|50) of 1,000 rounds are shown", text)
    assert max(a["d"].count("L") for a, _ in page.all("path") if "d" in a) <= 202


def test_synthetic_data_are_shouted_and_real_data_are_not(a_result):
    result = a_result()
    assert "SYNTHETIC" not in html_report(result)
    result["data"]["synthetic"] = True
    page = of(result)
    assert page.all("p")[0][1].startswith("SYNTHETIC DATA.")
    assert "SYNTHETIC" in page.text("footer")


def test_the_footer_never_forgets_what_this_is_not(a_result):
    for result in (a_result(), {}):
        text = of(result).text("footer")
        assert text.startswith("Not medical software. Not independently audited.")


FORBIDDEN = re.compile(
    r"HIPAA|GDPR|complian|anonym|guarantee|military|100 ?% secure|AI says|state.of.the.art"
    r"|\bnodes?\b|\bclients?\b|\bshards?\b|\baggregator",
    re.IGNORECASE,
)


def test_forbidden_words_are_nowhere(a_result):
    for path in TEMPLATES.rglob("*.html"):
        assert not FORBIDDEN.search(path.read_text(encoding="utf-8")), path.name
    noisy = a_result()
    noisy["privacy"] = {"mechanism": "dp_sgd", "epsilon": 3.0, "delta": 1e-5, "unit": "record"}
    for result in (a_result(), noisy, {}):
        assert not FORBIDDEN.search(of(result).text("body"))


def test_templates_hold_no_style_script_or_address():
    for path in TEMPLATES.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"style=|\son[a-z]+=|<script|https?://|\|\s*safe", text), path.name


def test_equal_results_give_equal_pages(a_result):
    assert html_report(a_result()) == html_report(json.loads(json.dumps(a_result())))


def test_a_page_needs_no_matplotlib_and_no_torch():
    import subprocess
    import sys

    code = (
        "import sys; from aegis.report.html import html_report; html_report({})\n"
        "assert not {'matplotlib', 'torch', 'sklearn', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def holes(document, path=()):
    """Every place in a result that may be missing."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield (*path, key)
            yield from holes(value, (*path, key))
    elif isinstance(document, list):
        for index, value in enumerate(document[:2]):
            yield from holes(value, (*path, index))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_gap_in_a_result_breaks_the_page(data, a_built_result):
    result = json.loads(json.dumps(a_built_result))
    places = sorted(holes(result), key=str)
    for path in data.draw(st.lists(st.sampled_from(places), max_size=6)):
        at = result
        try:
            for step in path[:-1]:
                at = at[step]
            at[path[-1]] = data.draw(st.sampled_from([None, {}, [], "", float("nan"), "text"]))
        except (KeyError, TypeError, IndexError):
            continue
    page = of(result)
    assert len(page.all("h1")) == 1
    assert "nan" not in page.text("h1")
