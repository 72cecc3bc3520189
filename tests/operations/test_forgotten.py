"""A restored ledger that knows less than the one it replaced is named."""

from __future__ import annotations

import shutil

from aegis.hospital.ledger import Ledger
from aegis.operations.hospital.forgotten import forgotten
from aegis.privacy.accounting import GaussianRelease
from aegis.privacy.filters import Cap
from aegis.store.backup.backups import Backups
from aegis.store.home import Home


def test_a_restored_ledger_that_forgets_spending_is_named(tmp_path):
    root = tmp_path / "data"
    path = root / "hospitals" / "north" / "ledger.db"
    Home(root).prepare()
    ledger = Ledger.open(path, "rows")
    ledger.reserve("one", 1, "train", GaussianRelease(5.0), Cap(4.0, 1e-5))
    backups = Backups(root / "backups")
    backups.create(Home(root))
    same = backups.restore(tmp_path / "same").root
    assert forgotten(same, root) == []
    ledger.reserve("one", 2, "train", GaussianRelease(5.0), Cap(4.0, 1e-5))
    ledger.close()
    done = backups.restore(root, force=True)
    said = forgotten(done.root, done.aside)
    assert len(said) == 1
    assert f"{path} has 2 rows, the one moved aside 3" in said[0]
    shutil.rmtree(root / "hospitals")
    assert "has 0 rows" in forgotten(done.root, done.aside)[0]
