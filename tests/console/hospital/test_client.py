"""The client's REST, with the shapes that its users know."""

from __future__ import annotations

import pytest

from aegis.console.window.routes import routes_of
from tests.console.hospital.conftest import ANA, OTTO, VERA
from tests.console.hospital.test_uploading import HEADER, ROWS, send


def trained(window):
    answer = window(OTTO).post("/client/train/north")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_upload_answers_with_shapes_and_counts(window, desk):
    answer = send(window(OTTO), HEADER + ROWS, path="/client/upload-data/")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert {"message", "client_id", "train_shape", "test_shape"} <= set(found)
    assert found["client_id"] == "north"
    assert (found["healthy_count"], found["total_samples"]) == (30, 60)
    assert found["train_shape"][1] == found["test_shape"][1] == 4
    parts = [found[name][0] for name in ("train_shape", "validation_shape", "test_shape")]
    assert sum(parts) == 60
    assert desk.acts.all(1)[0].act == "registered data"


def test_a_faulty_upload_names_row_and_column_and_changes_nothing(window, desk):
    before = desk.folder.registered
    data = HEADER + "300,120,80,97,1\n"
    answer = send(window(OTTO), data, path="/client/upload-data/")
    assert answer.status_code == 422
    (problem,) = answer.json()["error"]["problems"]
    assert (problem["row"], problem["column"]) == (2, "heart_rate")
    assert "300" not in answer.text
    assert desk.folder.registered == before


def test_own_training_divides_in_three_and_keeps_the_best_round(window):
    found = trained(window)
    history = found["training_history"]
    assert {"loss", "accuracy", "val_accuracy", "metrics"} <= set(history)
    lengths = {len(history[name]) for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
    assert len(lengths) == 1
    at = found["best_round"] - 1
    assert history["val_loss"][at] == min(history["val_loss"])
    assert found["best_accuracy"] == history["val_accuracy"][at]
    assert sum(found["rows"].values()) == 150
    assert found["test_metrics"]["examples"] == found["rows"]["test"]
    assert len(set(history["learning_rate"])) > 1  # it fell where the loss stood still
    again = window(VERA).get("/client/history/north").json()
    assert again["training_history"] == history
    assert again["model_path"] == found["model_path"]


def test_predictions_are_of_the_test_rows(window, desk):
    rows = trained(window)["rows"]
    found = window(OTTO).get("/client/predict/north/test").json()
    assert {"accuracy", "predictions", "actual_values", "probabilities"} <= set(found)
    assert len(found["predictions"]) == len(found["actual_values"]) == rows["test"]
    right = [a == b for a, b in zip(found["predictions"], found["actual_values"], strict=True)]
    assert found["accuracy"] == pytest.approx(sum(right) / len(right))
    said = [int(p >= 0.5) for p in found["probabilities"]]
    assert said == found["predictions"]


@pytest.mark.parametrize("id", ["south", "North", "north2", "..", "%00", "1"])
def test_another_hospital_does_not_exist_here(window, id):
    client = window(OTTO)
    assert client.post(f"/client/train/{id}").status_code == 404
    assert client.get(f"/client/predict/{id}/test").status_code == 404
    assert client.get(f"/client/history/{id}").status_code == 404
    answer = send(client, HEADER + ROWS, path="/client/upload-data/", client_id="south")
    assert answer.status_code == 404


def test_without_a_model_there_is_no_prediction_and_it_says_why(window):
    answer = window(OTTO).get("/client/predict/north/test")
    assert answer.status_code == 404
    assert "not trained" in answer.text
    status = window(OTTO).get("/client/global-model-status").json()
    assert status == {"exists": False, "reason": "no shared model has reached this hospital yet"}
    assert window(OTTO).get("/client/global-model-metrics").status_code == 404
    assert window(OTTO).get("/client/predict/north/test?model=both").status_code == 422


def test_a_round_is_asked_for_an_approved_plan_only(window, desk):
    answer = window(OTTO).post("/client/aggregate/")
    assert answer.status_code == 409
    assert "no plan is approved" in answer.text
    from tests.console.hospital.test_approving import proposed

    plan = proposed(desk)
    assert "1 wait for a decision" in window(OTTO).post("/client/aggregate/").text
    desk.decisions.approve(plan.sha256, "ana")
    answer = window(OTTO).post("/client/aggregate/")
    assert answer.status_code == 409
    assert "has not joined" in answer.text
    assert window(OTTO).post("/client/aggregate/?wait_s=-1").status_code == 422


def test_who_may_not_train_or_predict_is_told_so(window):
    for method, path in (
        ("POST", "/client/upload-data/"),
        ("POST", "/client/train/north"),
        ("POST", "/client/aggregate/"),
        ("GET", "/client/predict/north/test"),
    ):
        assert window(VERA).request(method, path).status_code == 403
        assert window(None).request(method, path).status_code == 401


def test_the_pages_of_results_say_what_is_missing_and_then_show_it(window, desk):
    for path in ("/results", "/results/own", "/results/shared", "/results/gain"):
        page = window(VERA).get(path)
        assert page.status_code == 200
        assert "not trained" in page.text or "No own model" in page.text or "no shared" in page.text
    assert window(OTTO).post("/results/train").status_code == 303
    desk.training.wait(60)
    assert desk.training.error == ""
    assert "Accuracy of the own model by round" in window(VERA).get("/results/own").text
    assert "Own probability" in window(OTTO).get("/results/predict").text
    assert window(VERA).get("/results/predict").status_code == 403


def test_a_typed_patient_is_answered_and_a_bad_one_is_not_repeated(window):
    trained(window)
    good = {"c0": "72", "c1": "120", "c2": "80", "c3": "97"}
    answer = window(OTTO).post("/results/predict", data=good)
    assert answer.status_code == 200
    assert "Own model, probability" in answer.text
    bad = good | {"c0": "SECRET"}
    answer = window(OTTO).post("/results/predict", data=bad)
    assert answer.status_code == 422
    assert "heart_rate: is not a number" in answer.text
    far = window(OTTO).post("/results/predict", data=good | {"c0": "500"})
    assert far.status_code == 200
    assert "outside 50 to 120" in far.text
    assert window(OTTO).post("/results/predict", data={}).status_code == 422


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", "header and at least one row"),
        ("a,b\n1,2", "are missing"),
        ("heart_rate,systolic_bp,diastolic_bp,spo2\n1,2,3", "as many cells"),
        ("heart_rate,systolic_bp,diastolic_bp,spo2\n1,2,3,HIDDEN", "row 1, column spo2"),
        ("heart_rate,systolic_bp,diastolic_bp,spo2\n" + "1,2,3,4\n" * 200, "more than 100 rows"),
        ("x" * 70_000, "65,536"),
        ('heart_rate,"\n1', "no table"),
    ],
)
def test_pasted_rows_that_are_none_are_refused(window, text, said):
    answer = window(OTTO).post("/results/predict", data={"pasted": text})
    assert answer.status_code == 422
    assert said in answer.text
    assert "HIDDEN" not in answer.text


def test_the_example_for_streamlit_calls_routes_that_exist(window):
    import ast
    import re
    from pathlib import Path

    path = Path(__file__).parents[3] / "examples" / "streamlit_app.py"
    text = path.read_text(encoding="utf-8")
    ast.parse(text)
    called = set(re.findall(r'"(/client/[^"?]*)"', text))
    assert len(called) >= 6
    known = {re.sub(r"\{[^}]*\}", "*", one.path) for one in routes_of(window(ANA).app)}
    assert {re.sub(r"\{[^}]*\}", "*", one) for one in called} <= known


def test_the_routes_describe_themselves_without_another_host(window):
    described = window(VERA).get("/openapi.json").json()
    assert {"/client/upload-data/", "/client/train/{id}", "/client/history/{id}"} <= set(
        described["paths"]
    )
    page = window(VERA).get("/docs")
    assert page.status_code == 200
    assert "/client/aggregate/" in page.text
    assert "$AEGIS_HOME/hospitals/" in page.text
    assert "coordinator’s own machine" not in page.text
