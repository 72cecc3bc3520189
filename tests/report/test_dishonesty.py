"""Runs with dishonest hospitals in words, in a table and as a picture."""

from aegis.report.dishonesty import picture, reading, says, table


def row(rule, clean, attacked, **more):
    return {
        "rule": rule,
        "clean": {"accuracy": clean, "recall": 0.9},
        "attacked": None if attacked is None else {"accuracy": attacked, "recall": 0.4},
        "clean_reason": "",
        "attacked_reason": "",
        "trigger": None,
        "flagged": [],
    } | more


def document(*rows, **more):
    return {
        "attack": "sign_flip",
        "says": "It sends its own update reversed.",
        "adaptive": False,
        "byzantine": 2,
        "hospitals": 11,
        "synthetic": False,
        "rules": list(rows),
    } | more


def test_a_rule_falls_holds_or_was_never_good():
    told = reading(
        document(row("fedavg", 0.95, 0.10), row("median", 0.93, 0.90), row("krum", 0.7, 0.69))
    )
    assert told.startswith("With 2 of 11 hospitals dishonest (sign flip): fedavg falls from 95.0")
    assert "median holds, 90.0" in told
    assert "krum is right on 70.0\u00a0% of patients even when all are honest" in told
    assert "krum holds" not in told


def test_an_aborted_run_gives_its_reason():
    told = reading(document(row("fedavg", 0.9, None, attacked_reason="not finite (a: too long)")))
    assert told.endswith("fedavg ends without a model (not finite).")
    clean = row("fedavg", None, None, clean_reason="nobody answered")
    assert "even when all are honest (nobody answered)" in reading(document(clean))


def test_turned_labels_are_told_in_the_ill_and_backdoors_in_the_triggered():
    flipped = reading(document(row("fedavg", 0.9, 0.88), attack="label_flip"))
    assert "40.0\u00a0% of the ill are found (all honest: 90.0\u00a0%)" in flipped
    trigger = {"clean": 0.02, "attacked": 0.97}
    told = reading(document(row("fedavg", 0.9, 0.9, trigger=trigger), attack="backdoor"))
    assert "97.0\u00a0% of the ill with the trigger are called healthy" in told


def test_the_table_leaves_out_what_nobody_measured_and_marks_the_honest():
    flagged = [
        {"hospital": "a", "rounds": 9, "dishonest": True},
        {"hospital": "b", "rounds": 1, "dishonest": False},
    ]
    header, rows = table(document(row("median", 0.93, 0.90, flagged=flagged)))
    assert header == ("Rule", "Accuracy, %", "Change", "Ill found, %", "Flagged")
    assert rows == [("median", "93.0 to 90.0", "\u22123.0", "90.0 to 40.0", "a (9), b (1, honest)")]
    trigger = {"clean": 0.02, "attacked": None}
    header, rows = table(document(row("median", 0.9, None, trigger=trigger)))
    assert dict(zip(header, rows[0], strict=True))["Trigger, %"] == "2.0 to n/a"


def test_an_adaptive_attack_says_that_it_searches():
    assert says(document(adaptive=True)).endswith("searched anew in every round.")
    assert "adaptive" in reading(document(row("fedavg", 0.9, 0.1), adaptive=True))


def test_equal_documents_give_equal_pictures(tmp_path):
    found = document(row("fedavg", 0.95, 0.1), row("krum", 0.9, None), row("x", None, None))
    first = picture(found, tmp_path / "a.png").read_bytes()
    assert first == picture(found, tmp_path / "b.png").read_bytes()
    assert first[:4] == b"\x89PNG"
    other = picture(document(row("fedavg", 0.95, 0.2)), tmp_path / "c.png").read_bytes()
    assert other != first
