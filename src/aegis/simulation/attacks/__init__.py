"""What dishonest hospitals do, for tests and trials in a simulation; no real node can do any of it.

An ``Attack`` is a frozen value with its paper. Some change a hospital's rows before it trains
(``poison``), some what it sends (``forge``). Who forges sees everything: the round's honest
updates, the model and, where the attack is adaptive, the rule, against which it then searches the
strength that moves the result furthest from the honest mean.
"""

from __future__ import annotations

from aegis.errors import BadInput
from aegis.simulation.attacks.attack import Attack, Sight, malicious
from aegis.simulation.attacks.forging import (
    alie,
    gaussian,
    inner_product,
    mimic,
    own,
    reversed_own,
    sybil,
)
from aegis.simulation.attacks.poisoning import Scene, Trigger, backdoored, flipped, trigger_for
from aegis.simulation.attacks.road import DishonestRoad, drawn

__all__ = [
    "ATTACKS",
    "Attack",
    "DishonestRoad",
    "Scene",
    "Sight",
    "Trigger",
    "attack",
    "drawn",
    "malicious",
    "trigger_for",
]

ATTACKS = {
    found.name: found
    for found in (
        Attack(
            "label_flip",
            "Its training labels are turned round.",
            "Tolpegin et al. 2020",
            poison=flipped,
            forge=own,
        ),
        Attack(
            "sign_flip",
            "It sends its own update reversed.",
            "Li et al. 2019 (RSA)",
            forge=reversed_own,
        ),
        Attack(
            "gaussian",
            "It sends noise ten times as long as an honest update.",
            "Blanchard et al. 2017",
            forge=gaussian,
            strength=10.0,
        ),
        Attack(
            "alie",
            "It hides within the spread of the honest updates.",
            "Baruch et al. 2019",
            forge=alie,
            strength=None,
            searched=(-20.0, 20.0),
        ),
        Attack(
            "inner_product",
            "It sends the honest mean reversed and halved.",
            "Xie et al. 2020",
            forge=inner_product,
            strength=0.5,
            searched=(0.05, 50.0),
        ),
        Attack(
            "scaling",
            "It sends its own update reversed and ten times as long.",
            "Bagdasaryan et al. 2020",
            forge=reversed_own,
            strength=10.0,
            searched=(0.05, 50.0),
        ),
        Attack(
            "mimic",
            "It repeats one honest hospital, so that this one counts too much.",
            "Karimireddy et al. 2022",
            forge=mimic,
        ),
        Attack(
            "sybil",
            "All dishonest hospitals send one and the same reversed update.",
            "Fung et al. 2020",
            forge=sybil,
        ),
        Attack(
            "backdoor",
            "Half of its rows carry a trigger and the label the attacker wants.",
            "Bagdasaryan et al. 2020",
            poison=backdoored,
            forge=own,
        ),
    )
}


def attack(name: str, *, adaptive: bool = False) -> Attack:
    """The attack of this name. Raises ``BadInput`` for an unknown one, and for an adaptive form
    of one that has no strength to search."""
    if name not in ATTACKS:
        raise BadInput(f"no attack is called {name}", f"there are {', '.join(ATTACKS)}")
    found = ATTACKS[name]
    if not adaptive:
        return found
    if found.searched is None:
        able = ", ".join(one.name for one in ATTACKS.values() if one.searched is not None)
        raise BadInput(
            f"the attack {name} has no strength to search",
            f"adaptive forms exist for {able}",
            "Leave --adaptive out",
        )
    return found.made_adaptive()
