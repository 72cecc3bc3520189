"""docs/evidence.md, made from what the benchmarks wrote and what the proofs assert.

Each row of ``PROOFS`` quotes the line of the test that holds it: a bar that is changed there and
not here is found by ``tests/docs``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tools.tables import code, table

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "evidence.md"
RESULTS = ROOT / "benchmarks" / "results"


class Proof(NamedTuple):
    claim: str
    bar: str
    part: str
    line: str  # of tests/prove/test_PART.py


PROOFS = (
    Proof(
        "Heart disease, four real centres, 740 patients: mean accuracy of the centres",
        "83 to 87 %, in at most 10 rounds",
        "tables",
        "assert done.mean_accuracy >= 0.83",
    ),
    Proof(
        "The same model as one fit of all rows in one place: largest difference of a weight",
        "at most 0.000001",
        "tables",
        "assert apart <= 1e-6",
    ),
    Proof(
        "Wisconsin, 20 splits: mean accuracy",
        "97.5 to 99 %, and within 0.5 points of the pooled fit",
        "tables",
        "assert federated_mean >= 0.975",
    ),
    Proof(
        "Cleveland by age in three hospitals: mean accuracy",
        "82 to 87 %, within 1 point of the pooled fit",
        "tables",
        'assert mean["federated"] >= 0.82',
    ),
    Proof(
        "FLamby's published means for heart disease, pooled training",
        "within 1.5 points of 73.5 %",
        "flamby",
        "assert abs(mean - 0.7353) <= 0.015",
    ),
    Proof(
        "Wisconsin at a total epsilon of 1, everything charged, one noise in the sum",
        "95.5 % or more",
        "dpgd",
        "(1, 1): (0.955, 0.985)",
    ),
    Proof(
        "The same with all noise at each hospital",
        "93.8 % or more",
        "dpgd",
        "(1, 5): (0.938, 0.980)",
    ),
    Proof(
        "Radiographs of children, four hospitals: AUC on the 624 published test images",
        "0.965 or more",
        "pneumonia",
        'assert min(one["auc"] for one in found) >= 0.965',
    ),
    Proof(
        "The same at a total epsilon of 1, per image",
        "0.920 or more",
        "pneumonia",
        "1.0: 0.920",
    ),
    Proof(
        "Heartbeats of 22 patients nobody trained on: AUC, shared model",
        "0.93 or more",
        "ecg",
        "assert means[0] >= 0.93",
    ),
    Proof(
        "The privacy audit on a model that overfits (its positive control): AUC of the attack",
        "0.65 or more, or the audit says nothing",
        "membership",
        "assert min(values) >= 0.65",
    ),
    Proof(
        "The privacy audit on private models: mean AUC of the attack",
        "0.55 or less",
        "membership",
        "assert np.mean([m.value for m in models]) <= 0.55",
    ),
    Proof(
        "Sealed sums over 10,000 federations with losses at every stage",
        "each exact, or aborted without a leak",
        "secagg",
        'assert total["opened"] + total["aborted"] == FEDERATIONS',
    ),
    Proof(
        "Coordinator killed (kill -9) at every write of a run",
        "each resume ends with the same model",
        "kill",
        "assert told.split()[1] == expected",
    ),
    Proof(
        "Real processes over XMPP and over Flower: coordinator, courier and hospitals killed at "
        "three moments each, a line cut for 5, 30 and 120 s",
        "each run ends with the simulator's model",
        "kills",
        'assert figures["same_model"]',
    ),
    Proof(
        "A courier's whole memory and files, searched for models and plans that go over it",
        "none is found; both are found at the coordinator",
        "courier",
        'assert figures["at_courier"] == {"models": 0, "plan": 0}',
    ),
    Proof(
        "200 seeds of loss, delay, repetition, reordering, spoilt bytes, partitions and death at "
        "any step, on a virtual clock; after each the six invariants are held against the files",
        "they always hold; 70 % of the runs or more end with the undisturbed model, the others say "
        "which hospitals were missing",
        "chaos",
        "assert ended >= 0.7 * SEEDS",
    ),
    Proof(
        "Over 20,000 made-up requests to both consoles by every role, by nobody and by people of "
        "other hospitals",
        "no server error, and nobody gets what is not theirs",
        "console_api",
        'assert found["wrong"] == []',
    ),
    Proof(
        "Every page of both consoles for every role, 320 to 1440 px wide, light and dark, in "
        "Chromium: what axe-core, the content policy and the page's own budgets object to",
        "nothing",
        "pages",
        'assert found["faults"] == []',
    ),
    Proof(
        "10,000 spoilt inputs for each of 16 parsers, and more along what they reach",
        "each is taken, or refused in words",
        "fuzz",
        'assert found["findings"] == []',
    ),
    Proof(
        "10,000 changes of an audit log",
        "each found",
        "auditlog",
        'assert told["found"] == share',
    ),
    Proof(
        "100,000 events verified",
        "in at most 10 seconds",
        "auditlog",
        'assert told["verifying"] <= 10',
    ),
    Proof(
        "Digits, 2 of 11 hospitals dishonest, unlike hospitals, the worst of nine attacks",
        "84 % or more by our presets, where plain averaging falls to 15 % or less",
        "robustness",
        "assert least(ours) >= 0.84",
    ),
)

# Which file of benchmarks/results, in words, and the command that writes it.
BENCHES = (
    ("engine", "A round of plain training", "aegis bench engine --out benchmarks/results/engine"),
    (
        "privacy",
        "A round of private training",
        "aegis bench privacy --out benchmarks/results/privacy",
    ),
    ("secagg", "A sealed sum", "aegis bench secagg --out benchmarks/results/secagg"),
    (
        "rules",
        "Rules against dishonest hospitals",
        "aegis bench rules --out benchmarks/results/rules",
    ),
    (
        "transports",
        "Real processes over Flower: times faster than Flower as it comes",
        "aegis bench transports --out benchmarks/results/transports",
    ),
    (
        "console",
        "The coordinator's console under 50 clients and 200 open pages: at most so much",
        "aegis bench console --out benchmarks/results/console",
    ),
)

# What a reader of the figures must know beside them.
NOTES = {
    "engine": "Flower's simulation has no log, noise, ledger or envelope: a run with them does "
    "more than what it is held against. With sealed envelopes, four signatures are made or "
    "checked and four messages sealed or opened for each hospital in each round, one after the "
    "other in one process; real hospitals do their part side by side.",
}

# What holds however large or long a run becomes: at most so much.
GROWTH = (
    ("scale", "Growth", "aegis bench scale --out benchmarks/results/scale"),
    ("scaling", "Large federations in one process", "make prove PART=scale"),
    ("soak", "Long runs in which something always goes wrong", "make prove PART=soak"),
)


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def figure(value: float) -> str:
    """Three significant figures."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def measured(name: str) -> str:
    """The targets of one benchmark, those that were missed included."""
    rows = []
    for one in read(name)["targets"]:
        value = one.get("value", one.get("found"))
        wanted = one.get("target", one.get("wanted"))
        met = one.get("met", value >= wanted)
        rows.append((one["what"], figure(value), figure(wanted), "met" if met else "missed"))
    return table(("What", "Measured", "Wanted", ""), rows)


def made(name: str, title: str, command: str) -> list[str]:
    problem = f": {read(name)['problem']}" if "problem" in read(name) else ""
    note = [NOTES[name]] if name in NOTES else []
    return [f"### {title}", f"Made by `{command}`{problem}.", measured(name), *note]


def curve() -> str:
    found = read("utility_curve")["curves"]
    titles = list(found)
    rows = [
        (
            f"{point['epsilon']:g}",
            *(f"{100 * found[name][place]['mean']:.1f} %" for name in titles),
        )
        for place, point in enumerate(found[titles[0]])
    ]
    return table(("Total epsilon", *titles), rows)


def robust() -> str:
    """The least accuracy under nine attacks, for each rule, where hospitals are least alike."""
    text = (RESULTS / "robustness.md").read_text(encoding="utf-8")
    part = text.split("## Dirichlet 0.3", 1)[1].split("\n## ", 1)[0]
    rows = part.strip().split("\n\n")[0].splitlines()
    titles, _, *found = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    none, least = titles.index("none"), titles.index("least")
    clean = [(row[0], row[none], re.sub(r"\*", "", row[least]).split(" ")[0]) for row in found]
    return table(
        ("Rule", "Nobody lies, %", "Worst of nine attacks, %"),
        sorted(clean, key=lambda row: float(row[2]), reverse=True),
    )


def parts() -> str:
    """What each part of `make prove` came to when all of it was run last."""
    rows = []
    for key, one in sorted(read("proofs").items()):
        part, *said = key.split(" ")
        counted = [f"{one[name]} {name}" for name in ("passed", "failed", "skipped") if one[name]]
        command = " ".join([*said, f"make prove PART={part}"])
        rows.append((code(command), ", ".join(counted), one["date"]))
    return table(("Command", "Tests", "Last run whole"), rows)


def results_sentence() -> str:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.split("<!-- results -->", 1)[1].split("<!-- /results -->", 1)[0]
    return block.strip().split("\n")[-1]


def page() -> str:
    machine = read("engine")["machine"]
    proofs = [(p.claim, p.bar, code(f"make prove PART={p.part}")) for p in PROOFS]
    text = [
        "# Evidence\n\n<!-- Made by `make evidence` from benchmarks/results and tests/prove. -->",
        "Every figure on this page names the command that makes it. A figure without a command is "
        "not here. Public data only; nothing here says that a model is fit for use with patients.",
        "## The figure in the README",
        results_sentence(),
        "## What privacy costs",
        "Accuracy on the Wisconsin data, five hospitals, delta 0.00001, everything charged. Made "
        "by `python benchmarks/utility_curve.py`.",
        curve(),
        "## What the proofs hold",
        "A proof fails when its bar does not hold, and also when a result is too good to be true. "
        "The bar stands in the test; `make prove PART=NAME` runs it. Those on real data need "
        "`AEGIS_DATA_DIR` (`aegis data fetch heart`).",
        table(("What", "Bar", "Command"), proofs),
        "Parts that were run whole on the machine of this page; each test of a part may hold many "
        "cases. What a test skips it says when it is run.",
        parts(),
        "## Dishonest hospitals",
        "Accuracy on digits, 11 hospitals of which 2 lie, hospitals unlike each other (Dirichlet "
        "0.3), mean of 5 seeds. Made by `make prove PART=robustness`. The whole matrix is in "
        "`benchmarks/results/robustness.md`.",
        robust(),
        "## Speed, beside others",
        f"Measured side by side in one run on a machine of {machine['cores']} cores that was also "
        "doing other things, so only ratios mean anything. Targets that were missed are listed as "
        "missed.",
    ]
    for name, title, command in BENCHES:
        text += made(name, title, command)
    text += [
        "## How it grows",
        "At most so much, whatever the machine: exponents (1 is proportional, 2 is every pair), "
        "slopes and bounds. More on [scale](scale.md).",
    ]
    for name, title, command in GROWTH:
        if (RESULTS / f"{name}.json").exists():
            text += made(name, title, command)
    text += [
        "## What is not shown here",
        "- No result on patients of a hospital that takes part in anything: all data are public or "
        "invented.\n"
        "- No audit by an outside party of the cryptography or of the privacy accounting.\n"
        "- No comparison with clinicians, and no study of what a model changes in care.\n"
        "- Times of other machines, networks between continents, or more than 1000 hospitals.",
        "What can still go wrong is in [sharp edges](sharp-edges.md); who could do what is in the "
        "[threat model](threat-model.md).",
    ]
    return "\n\n".join(text) + "\n"


def main(argv: list[str] | None = None) -> int:
    reader = argparse.ArgumentParser(description="Write docs/evidence.md.")
    reader.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    check = reader.parse_args(argv).check
    text = page()
    stale = not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text
    if stale and not check:
        PAGE.write_text(text, encoding="utf-8")
    print(f"docs/evidence.md is {'stale' if check and stale else 'as measured'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
