"""Opacus's PRV accountant and ours agree within half a per cent on twelve plans."""

from __future__ import annotations

import pytest

from aegis.privacy.accounting import epsilon_pld, epsilon_rdp
from tests.privacy.test_accounting import DELTA, TABLE, prv


@pytest.mark.prove
@pytest.mark.filterwarnings("ignore")
def test_three_accountants_agree_on_twelve_plans():
    assert len(TABLE) == 12
    print(f"\n{'PLD':>9} {'PRV':>9} {'RDP':>9}   PRV/PLD  RDP/PLD")
    for event in TABLE:
        pld, rdp = epsilon_pld([event], DELTA), epsilon_rdp([event], DELTA)
        other = prv(event, error=0.002 * pld)
        print(f"{pld:9.4f} {other:9.4f} {rdp:9.4f}   {other / pld:.4f}   {rdp / pld:.4f}  {event}")
        assert abs(other / pld - 1) <= 0.005, event
        assert pld <= rdp <= 1.15 * pld, event
