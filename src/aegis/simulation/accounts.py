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
from aegis.hospital.mechanisms import STATISTICS, TRAIN
from aegis.hospital.policy import ANY, Policy
from aegis.hospital.release import Account, rows_sha256
from aegis.hospital.site import Site
from aegis.plan import Plan
from aegis.plan.schedule import follows_noise_rule
from aegis.privacy.filters import Cap
from aegis.states import Sealing, State

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
    run: str,
    plan: Plan,
    state: State,
    events: Iterable[Mapping[str, Any]],
    accounts: Mapping[str, Account],
) -> None:
    """Raises ``RunAborted`` where a hospital counted in a round or in the noised statistics, by the
    run's state and events, and its ledger has no charge for it: then it would tell too little."""
    inner = state.of if isinstance(state, Sealing) else state
    progress = getattr(inner, "progress", None)
    begun = () if progress is None else progress.hospitals
    counted: set[tuple[int, str, str]] = set()
    for event in events:
        if event["event"] == "StatisticsReleased" and follows_noise_rule(plan):
            counted |= {(0, STATISTICS, one.hospital) for one in begun}
        elif event["event"] == "RoundAggregated":
            counted |= {(event["round"], TRAIN, name) for name in event["hospitals"]}
    for round, purpose, name in sorted(counted):
        if name in accounts and accounts[name].ledger.reserved(run, round, purpose) is None:
            what = f"round {round}" if round else "the statistics"
            raise RunAborted(
                f"the ledger of {name} has no charge for {what}, which the run {run} has",
                "a power cut can take the last charges of simulated hospitals",
                "Begin the run anew",
            )
