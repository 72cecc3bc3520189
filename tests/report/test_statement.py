"""The privacy statement says what was protected and what was not, and claims nothing else."""

import pytest

from aegis.report.statement import statement, statement_html

PRIVATE = {
    "run": "r",
    "task": "breast_cancer",
    "model_sha256": "ab" * 32,
    "trust": "open",
    "transport": "inprocess",
    "hospitals": [{"name": "<b>one</b>", "epsilon": 0.9}, {"name": "two", "epsilon": None}],
    "privacy": {
        "mechanism": "dp_sgd",
        "epsilon": 0.9,
        "epsilon_rdp": 0.98,
        "budget": 1.0,
        "delta": 1e-5,
        "unit": "patient record at one hospital",
        "neighbouring": "add or remove one",
        "accountant": "pld",
        "assumes": "no patient is in two hospitals",
        "not_covered": ["scores on held-out patients"],
    },
}


def test_a_private_model_states_its_total_unit_and_limits():
    found = statement(PRIVATE)
    assert found["protected"] is True
    assert "Total epsilon 0.9" in found["summary"]
    assert "at most 72 of 100" in found["summary"]
    assert "scores on held-out patients" in found["not_protected"]
    assert any("simulated on one machine" in text for text in found["not_protected"])
    page = statement_html(found)
    assert "<b>one</b>" not in page
    assert "n/a: not recorded" in page
    assert "Not independently audited" in page


@pytest.mark.parametrize("privacy", [{}, {"mechanism": "none"}])
def test_a_model_without_noise_promises_nothing(privacy):
    found = statement({**PRIVATE, "privacy": privacy})
    assert found["protected"] is False
    assert "no differential privacy" in found["summary"]
    assert found["assumptions"] == []
    assert "Nobody" in found["against"][0]
    assert "epsilon 0" not in statement_html(found)


def test_noise_without_a_recorded_epsilon_promises_nothing():
    found = statement({**PRIVATE, "privacy": {"mechanism": "dp_sgd"}, "hospitals": []})
    assert "nothing is promised" in found["summary"]
    assert "nothing is promised" in statement_html(found)
