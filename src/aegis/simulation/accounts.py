"""Accounts and policy of simulated hospitals: new for each run, marked as such, gone with it.

Their ledgers outlive the process but no power cut, which the run's journal outlives too (ADR 24).
Whoever goes on with a run holds the one against the other first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aegis.errors import RunAborted
from aegis.hospital.ledger import Ledger
from aegis.hospital.mechanisms import TRAIN
from aegis.hospital.policy import ANY, Policy
from aegis.hospital.release import Account, rows_sha256
from aegis.hospital.site import Site
from aegis.plan import Plan
from aegis.privacy.filters import Cap

# A simulated hospital's own cap is counted by Renyi, which states more than the run's exact budget.
LOOSER = 2.0

# Simulated hospitals hold public data and approve every plan that can be kept: what they share is
# not covered by any epsilon, and says so.
PUBLIC = Policy(
    tasks=(ANY,),
    plugins=(ANY,),
    approval="automatic",
    trust=("open", "masked", "grouped"),
    mechanisms=("none", "dp_sgd", "local_update", "distributed"),
    epsilon_total=None,
    epsilon_per_run=None,
    minimum_rows=0,
    queries="allowed",
    scores="shared",
    demonstration=True,
)


def simulated_account(site: Site, plan: Plan, folder: Path) -> Account:
    """An account under ``folder``, no tighter than the plan's own budget."""
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger.open(folder / f"{site.name}.db", rows_sha256(site.train), synced=False)
    return Account(ledger, Cap(LOOSER * plan.privacy.epsilon_budget, plan.privacy.delta))


def check_charges(
    run: str, events: Iterable[Mapping[str, Any]], accounts: Mapping[str, Account]
) -> None:
    """Raises ``RunAborted`` where a hospital counted in a round, by the run's events, and its
    ledger has no charge for it: then it would count too little from there on."""
    counted = {
        (event["round"], name)
        for event in events
        if event["event"] == "RoundAggregated"
        for name in event["hospitals"]
    }
    for round, name in sorted(counted):
        if name in accounts and accounts[name].ledger.reserved(run, round, TRAIN) is None:
            raise RunAborted(
                f"the ledger of {name} has no charge for round {round}, which the run {run} has",
                "a power cut can take the last charges of simulated hospitals",
                "Begin the run anew",
            )
