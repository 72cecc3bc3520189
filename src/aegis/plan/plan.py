"""The plan: what all parties agree on before a run, as one frozen value with a hash.

    Plan(task="heart", seed=1, federated={"num_rounds": 5})

takes the keys it is given (nested, or dotted as in ``**{"data.rows": "all"}``), fills in the task's
preset and the defaults, and checks each value by itself; which values go together is
``check_plan``'s question. A plan travels as canonical JSON of
all its keys; whoever receives it computes ``sha256`` from what was read, never from the bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NoReturn

from aegis.aggregation.conditions import planned_f
from aegis.errors import PlanError
from aegis.plan.keys import Keys, Rule, Trust
from aegis.plan.layers import Said, defaults, effective, flatten, nest
from aegis.plan.sentences import value_faults


class Plan(Keys):
    """All keys of the run, each with a value. Raises ``PlanError`` with every fault at once."""

    def __init__(self, **said: Any) -> None:
        values = {path: Said(value, "") for path, value in flatten(said)}
        if not values.keys() >= defaults().keys():
            values = effective(values)
        faults = value_faults(values)
        if faults:
            raise PlanError(*faults.values())
        super().__init__(**nest({path: said.value for path, said in values.items()}))

    @property
    def values(self) -> dict[str, Any]:
        """Every dotted key with its value, in order."""
        return dict(flatten(self.model_dump()))

    @property
    def effective_trust(self) -> Trust:
        """What the coordinator gets to see; a plan that left it open has it filled in."""
        return self.trust

    @property
    def rule(self) -> Rule:
        """The rule that makes one update of many: fedavg while robust aggregation is off."""
        return self.robust_aggregation.method if self.robust_aggregation.enabled else "fedavg"

    @property
    def asked(self) -> int:
        """How many hospitals are asked to train in a round."""
        federated = self.federated
        trainers = max(0, federated.num_clients - len(set(federated.evaluate_only)))
        if federated.selection == "all":
            return trainers
        return max(1, math.ceil(federated.fraction_fit * trainers - 1e-9))

    @property
    def byzantine(self) -> int:
        """How many dishonest hospitals (in grouped mode: groups) the rule is made to withstand."""
        robust = self.robust_aggregation
        if robust.num_byzantine is not None:
            return robust.num_byzantine
        everybody = max(1, self.federated.num_clients - len(set(self.federated.evaluate_only)))
        quorum = math.ceil(self.quorum(everybody) * self.asked / everybody - 1e-9)
        grouped = self.trust == "grouped"
        return planned_f(self.rule, self.asked, quorum, robust.trim_ratio, grouped)

    def quorum(self, hospitals: int) -> int:
        """How many of ``hospitals`` must answer: as planned, else floor(2n/3) + 1, at most n."""
        match self.federated.quorum:
            case None:
                return min(2 * hospitals // 3 + 1, hospitals)
            case "all":
                return hospitals
            case int() as count:
                return count

    def edited(self, changes: Mapping[str, Any]) -> Plan:
        """This plan with some dotted keys changed and every other key as it is."""
        return Plan(**{**self.values, **changes})

    def to_json(self) -> str:
        """Canonical JSON: all keys, sorted, no spaces, ASCII."""
        return _canonical(self)

    @property
    def sha256(self) -> str:
        return _digest(self)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The plan of ``to_json``. A key it lacks takes its default, whatever is installed here."""
        return _parsed(text)

    @classmethod
    def schema(cls) -> dict[str, Any]:  # type: ignore[override]
        """JSON schema of a plan file: descriptions, units, bounds."""
        return Keys.model_json_schema()


# A thousand simulated hospitals ask for the same hash in every round; plans are frozen values.
@lru_cache(maxsize=64)
def _canonical(plan: Plan) -> str:
    plain = {path: _plain(value) for path, value in plan.values.items()}
    return json.dumps(nest(plain), sort_keys=True, separators=(",", ":"), allow_nan=False)


@lru_cache(maxsize=64)
def _digest(plan: Plan) -> str:
    return hashlib.sha256(_canonical(plan).encode("ascii")).hexdigest()


@lru_cache(maxsize=64)
def _parsed(text: str) -> Plan:
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
        if not isinstance(document, dict):
            raise ValueError("it is not an object")
        flat = dict(flatten(document))
    except (ValueError, RecursionError) as error:
        raise PlanError(f"this is no plan in JSON ({error})") from error
    return Plan(**{**defaults(), **flat})


def _plain(value: Any) -> Any:
    """Equal values, one spelling: no negative zero, lists for tuples."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value + 0.0 if isinstance(value, float) else value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def chooses_by_scores(plan: Plan) -> bool:
    """Whether scores decide anything before the end; then they are those of validation rows."""
    return (
        plan.evaluation.keep == "best"
        or plan.evaluation.patience is not None
        or plan.evaluation.gate is not None
        or plan.training.schedule == "plateau"
    )


def follows_noise_rule(plan: Plan) -> bool:
    """Whether the plan is private full-batch descent, planned by ``aegis.plan.schedule``."""
    return (
        plan.privacy.enabled
        and plan.training.solver == "gradient"
        and plan.privacy.mechanism in ("dp_sgd", "distributed")
    )


def counts_are_fixed(plan: Plan) -> bool:
    """Whether noise is in proportion to the hospitals that began: then no other may join, and their
    number and that of their patients may not change."""
    distributed = plan.privacy.enabled and plan.privacy.mechanism == "distributed"
    return distributed or follows_noise_rule(plan)


def noises_steps(plan: Plan) -> bool:
    """Whether each hospital puts noise into every mini-batch step: DP-SGD."""
    privacy = plan.privacy
    return privacy.enabled and privacy.mechanism == "dp_sgd" and plan.training.solver == "sgd"


def noises_updates(plan: Plan) -> bool:
    """Whether each hospital puts noise on its whole update."""
    privacy = plan.privacy
    trains = plan.training.solver != "newton"
    return privacy.enabled and privacy.mechanism == "local_update" and trains
