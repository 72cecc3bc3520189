from __future__ import annotations

from aegis.report.sentence import results_sentence
from aegis.report.summary import comparison_rows, hospital_rows, partition_rows, summary_lines


def test_the_sentence_names_hospitals_accuracy_interval_and_references(a_result):
    result = a_result()
    text = results_sentence(result)
    low, high = result["global"]["ci95"]["accuracy"]
    assert text.startswith(
        f"Our federated learning approach reached {100 * result['global']['accuracy']:.1f} % "
        f"accuracy (95 % interval {100 * low:.1f} to {100 * high:.1f} %) on 254 held-out patients "
        "of 4 hospitals"
    )
    assert f"{100 * result['pooled']['accuracy']:.1f} % for one model trained on all rows" in text
    assert "seed 16" in text
    assert "\u00a0" not in text


def test_the_sentence_is_honest_about_gaps_and_synthetic_data(a_result):
    result = a_result() | {"pooled": None, "comparison": None, "mean_local": None}
    for hospital in result["hospitals"]:
        hospital["local"] = None
    result["data"]["synthetic"] = True
    text = results_sentence(result)
    assert "against" not in text
    assert "SYNTHETIC" in text
    assert "no accuracy" in results_sentence(result | {"global": {"accuracy": None}})


def test_the_terminal_hears_first_last_and_best_round(a_result):
    result = a_result()
    result["history"][4]["global"]["accuracy"] = 0.99
    lines = dict(summary_lines(result))
    first = result["history"][0]["global"]
    assert lines["First scored round"].startswith(
        f"[ROUND 1] accuracy: {100 * first['accuracy']:.1f} %"
    )
    assert lines["Last scored round"].startswith("[ROUND 7]")
    assert lines["Best round"].startswith("[ROUND 5] accuracy: 99.0 %")
    fell = 1 - result["history"][-1]["global"]["log_loss"] / first["log_loss"]
    assert lines["Loss reduced by"].startswith(f"{100 * fell:.1f} %")


def test_the_last_line_is_the_disclaimer(a_result):
    assert summary_lines(a_result())[-1] == (
        "", "Not medical software. Not independently audited."
    )  # fmt: skip


def test_terminal_text_is_plain(a_result):
    result = a_result()
    cells = [value for _, value in summary_lines(result)]
    for header, rows in (comparison_rows(result), hospital_rows(result), partition_rows(result)):
        cells += [*header, *(cell for row in rows for cell in row)]
    assert all(cell.isascii() for cell in cells)


def test_every_row_is_as_wide_as_its_header(a_result):
    for rows_of in (comparison_rows, hospital_rows, partition_rows):
        header, rows = rows_of(a_result())
        assert len(rows) == 4
        assert all(len(row) == len(header) for row in rows)


def test_the_comparison_fits_eighty_columns(a_result):
    header, rows = comparison_rows(a_result())
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    assert sum(widths) + 2 * (len(widths) - 1) <= 80


def test_a_hospital_with_one_class_reads_not_applicable(a_result):
    header, rows = hospital_rows(a_result())
    row = next(row for row in rows if row[0] == "switzerland")
    assert row[header.index("AUC")] == "n/a: one class absent"


def test_a_hospital_with_few_test_patients_has_no_figures(a_result):
    result = a_result(centres={"tiny": (30, 9, 0.5), "large": (90, 40, 0.5)})
    for rows_of in (comparison_rows, hospital_rows):
        _, rows = rows_of(result)
        tiny = next(row for row in rows if row[0] == "tiny")
        assert "fewer than 10" in " ".join(tiny)
        assert not any("." in cell and "%" in cell for cell in tiny)


def test_nothing_compared_gives_no_rows(a_result):
    result = a_result() | {"comparison": None, "hospitals": [], "partition": None}
    assert comparison_rows(result) == ((), ())
    assert partition_rows(result) == ((), ())


def test_a_run_that_was_never_scored_says_so(a_result):
    lines = dict(summary_lines(a_result() | {"history": [], "global": {}}))
    assert lines["Rounds"] == "n/a: no round was scored"
    assert lines["Shared model"].startswith("n/a")
