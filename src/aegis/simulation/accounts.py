"""Privacy accounts of simulated hospitals: new for each run, marked as such, gone with it."""

from __future__ import annotations

from pathlib import Path

from aegis.hospital.ledger import Ledger
from aegis.hospital.release import Account, rows_sha256
from aegis.hospital.site import Site
from aegis.plan import Plan
from aegis.privacy.filters import Cap

# A simulated hospital's own cap is counted by Renyi, which states more than the run's exact budget.
LOOSER = 2.0


def simulated_account(site: Site, plan: Plan, folder: Path) -> Account:
    """An account under ``folder``, no tighter than the plan's own budget."""
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger.open(folder / f"{site.name}.db", rows_sha256(site.train))
    return Account(ledger, Cap(LOOSER * plan.privacy.epsilon_budget, plan.privacy.delta))
