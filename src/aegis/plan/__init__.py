"""What all parties agree on before a run: read, explained, checked, mended, hashed.

    loaded = load_plan("plan.yaml", {"federated.num_rounds": "5"}, os.environ, Path(".env"))
    loaded.plan.sha256, loaded.origins["federated.num_rounds"]

``parse_plan`` asks whether each value is legal by itself, ``check_plan`` whether they go together,
``load_plan`` both; ``suggest`` finds the nearest plan that does.
"""

from aegis.plan.environment import ENVIRONMENT
from aegis.plan.faults import Edit, Fault
from aegis.plan.keys import DEFAULT_TRUST
from aegis.plan.later import NOT_YET
from aegis.plan.plan import Plan
from aegis.plan.reading import Loaded, explain, load_plan, parse_plan
from aegis.plan.soundness import check_plan, find_faults
from aegis.plan.suggest import suggest, suggested_yaml

__all__ = [
    "DEFAULT_TRUST",
    "ENVIRONMENT",
    "NOT_YET",
    "Edit",
    "Fault",
    "Loaded",
    "Plan",
    "check_plan",
    "explain",
    "find_faults",
    "load_plan",
    "parse_plan",
    "suggest",
    "suggested_yaml",
]
