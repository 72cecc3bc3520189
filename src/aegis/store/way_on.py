"""How a run that did not come to its end is gone on with.

A simulation goes on by its name. A run over a road belongs to its coordinator, which goes on with
what was interrupted when it starts again, and not with what failed.
"""

from __future__ import annotations

from aegis.states import Failed
from aegis.store.journal import StoredRun

ANEW = "start its plan again: aegis run PLAN.yaml --coordinator URL"


def way_on(stored: StoredRun, before: str = "") -> str:
    """One sentence: the command that goes on with this run, or what to do instead. ``before``
    stands before the command, as in ``AEGIS_HOME=new ``."""
    road = stored.options.get("transport")
    if road is None:
        return f"Go on with: {before}aegis run --resume {stored.run}"
    if isinstance(stored.state, Failed):
        return f"It is over; {ANEW}"
    command = f"{before}aegis coordinator --transport {road}"
    return f"Its coordinator goes on with it when it starts: {command}"
