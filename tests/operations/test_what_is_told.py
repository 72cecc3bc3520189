"""What a coordinator hears of a hospital whose files do not fit together: that, and no more."""

from __future__ import annotations

import logging
from contextlib import closing

from aegis.hospital.ledger import Ledger
from aegis.messages import Invite, Refusal
from aegis.operations.hospital.federation import Federation
from aegis.operations.hospital.folder import Registered
from aegis.operations.hospital.hospital import Hospital
from aegis.operations.hospital.rows import data_sha256
from aegis.plan import load_plan
from tests.operations.here import Here


def test_a_ledger_of_other_data_is_refused_without_the_hash_of_these(tmp_path, caplog):
    """The hash of all rows would confirm a guess about the one that is not known."""
    here = Here(tmp_path)
    with here.coordinator:
        folder = here.make("north", Registered("breast_cancer", share="1/3"))
        other = "ab" * 32
        Ledger.open(folder.ledger, other).close()
        plan = load_plan(None, {"federated.num_clients": "3"}).plan
        identity, federation = folder.identity(), Federation.load(folder.federation)
        with (
            closing(Hospital(folder, identity, federation)) as hospital,
            caplog.at_level(logging.ERROR),
        ):
            reply = hospital.answer(Invite("run", plan.sha256, plan.to_json()))
    assert isinstance(reply, Refusal)
    assert "its own log says why" in reply.reason
    for told in (data_sha256(folder.registered)[:8], other[:8], str(tmp_path)):
        assert told not in reply.reason
    assert other[:12] in caplog.text  # for the hospital's own people
