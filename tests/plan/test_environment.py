"""The environment: one table, one example file, and what each variable does to a plan."""

import re
from pathlib import Path

import pytest

from aegis.errors import PlanError
from aegis.plan import ENVIRONMENT, load_plan, parse_plan
from aegis.plan.layers import defaults

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")


def test_the_example_names_exactly_what_is_read():
    named = re.findall(r"^(?:# )?([A-Z0-9_]+)=", EXAMPLE, flags=re.MULTILINE)
    assert named == list(ENVIRONMENT)


@pytest.mark.parametrize("variable", ENVIRONMENT.values(), ids=list(ENVIRONMENT))
def test_the_example_explains_each_variable_as_the_table_does(variable):
    above = EXAMPLE.split(f"# {variable.name}=")[0].splitlines()[-2:]
    assert above == [f"# {variable.meaning}", f"# Default: {variable.default or 'none'}."]
    assert set(variable.keys) <= set(defaults())


def test_an_untouched_copy_of_the_example_changes_nothing(tmp_path):
    copy = tmp_path / ".env"
    copy.write_text(EXAMPLE)
    assert load_plan(dotenv=copy).plan == load_plan().plan


def test_every_value_in_the_example_can_be_switched_on(tmp_path):
    copy = tmp_path / ".env"
    copy.write_text(re.sub(r"^# ([A-Z0-9_]+=)", r"\1", EXAMPLE, flags=re.MULTILINE))
    loaded = parse_plan(dotenv=copy)
    keys = [key for variable in ENVIRONMENT.values() for key in variable.keys]
    assert all(loaded.origins[key].startswith(".env ") for key in keys)


def test_no_module_reads_a_variable_that_the_table_lacks():
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    pattern = r"""(?:environ\.get\(|environ\[|getenv\()\s*["']([A-Z0-9_]+)["']"""
    read = set(re.findall(pattern, text))
    read |= set(re.findall(r"""["'](AEGIS_[A-Z0-9_]+)["']""", text))
    assert read <= set(ENVIRONMENT)


@pytest.mark.parametrize(
    ("variable", "text", "path", "value"),
    [
        ("MIN_AGENTS", "4", "federated.quorum", 4),
        ("MIN_AGENTS", "all", "federated.quorum", "all"),
        ("MIN_AGENTS", "  ", "federated.quorum", None),
        ("DP_EPSILON", "0", "privacy.enabled", False),
        ("DP_EPSILON", "0.0", "privacy.enabled", False),
        ("DP_EPSILON", "1e0", "privacy.enabled", True),
        ("DP_EPSILON", "2.5", "privacy.epsilon_budget", 2.5),
        ("DP_CLIP_NORM", "3", "privacy.max_grad_norm", 3.0),
    ],
)
def test_a_variable_stands_in_for_its_key(variable, text, path, value):
    loaded = parse_plan(environment={variable: text})
    assert loaded.plan.values[path] == value
    if text.strip():
        assert loaded.origins[path] == f"environment {variable}"


def test_an_epsilon_of_zero_switches_off_what_the_file_switched_on(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text("privacy: {enabled: true, epsilon_budget: 3}\n")
    plan = load_plan(path, environment={"DP_EPSILON": "0"}).plan
    assert not plan.privacy.enabled


def test_an_epsilon_above_zero_is_never_silently_left_out():
    privacy = load_plan(environment={"DP_EPSILON": "1"}).plan.privacy
    assert (privacy.enabled, privacy.mechanism, privacy.epsilon_budget) == (True, "dp_sgd", 1.0)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("MIN_AGENTS", "0"),
        ("MIN_AGENTS", "two"),
        ("DP_EPSILON", "-1"),
        ("DP_EPSILON", "much"),
        ("DP_EPSILON", ".nan"),
        ("DP_EPSILON", "false"),
        ("DP_CLIP_NORM", "0"),
        ("DP_CLIP_NORM", "[1"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_the_name_of_its_variable(variable, text):
    with pytest.raises(PlanError) as caught:
        parse_plan(environment={variable: text})
    [fault] = caught.value.faults
    assert fault.endswith(f"(environment {variable})")


def test_variables_that_are_read_elsewhere_leave_the_plan_alone():
    others = {v.name: "anything" for v in ENVIRONMENT.values() if not v.keys}
    assert len(others) == len(ENVIRONMENT) - 3
    assert load_plan(environment=others).plan == load_plan().plan
