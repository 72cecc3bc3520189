"""The sealed sum: the coordinator learns what hospitals add up to, and nothing else.

Secure aggregation after Bonawitz et al. (CCS 2017), the variant for a malicious coordinator. Pure:
``Participant`` (a hospital) and ``begin``, ``requests`` and ``step`` (the coordinator) take and
return messages; roads, clocks and stores belong to others.
"""

from aegis.secagg.answered import replayed
from aegis.secagg.beacon import Beacon
from aegis.secagg.combiner import begin, doubts, requests, step
from aegis.secagg.commitment import Commitment, opens
from aegis.secagg.context import DOMAIN, LEAST, MOST, Context, threshold
from aegis.secagg.encoding import Encoding, Slot
from aegis.secagg.participant import Participant
from aegis.secagg.sums import CLASSES, Aborted, Combiner, Group, Opening
from aegis.secagg.topology import Topology, complete, groups

__all__ = [
    "CLASSES",
    "DOMAIN",
    "LEAST",
    "MOST",
    "Aborted",
    "Beacon",
    "Combiner",
    "Commitment",
    "Context",
    "Encoding",
    "Group",
    "Opening",
    "Participant",
    "Slot",
    "Topology",
    "begin",
    "complete",
    "doubts",
    "groups",
    "opens",
    "replayed",
    "requests",
    "step",
    "threshold",
]
