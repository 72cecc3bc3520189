"""Accounts and policy of simulated hospitals: new for each run, marked as such, gone with it."""

from __future__ import annotations

from pathlib import Path

from aegis.hospital.ledger import Ledger
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
    ledger = Ledger.open(folder / f"{site.name}.db", rows_sha256(site.train))
    return Account(ledger, Cap(LOOSER * plan.privacy.epsilon_budget, plan.privacy.delta))
