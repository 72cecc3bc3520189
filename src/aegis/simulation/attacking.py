"""A plan's run with some of its hospitals dishonest, beside the same run with all of them honest.

Every rule asked for gets both runs on the same rows. The models are judged on all hospitals' true
test rows, the dishonest ones' included: what a liar says about a model is not asked. Nothing is
stored but the result; a poisoned model never reaches the registry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from aegis.aggregation.conditions import largest_f
from aegis.errors import BadInput, RunAborted
from aegis.evaluation.metrics import metrics
from aegis.events import Event, RunFlagged
from aegis.hospital.site import Site, VolatileMemory
from aegis.plan import Plan, check_plan
from aegis.simulation.attacks import Attack, DishonestRoad, Scene, drawn, trigger_for
from aegis.simulation.attacks.road import generator
from aegis.simulation.comparison import Fitted, pooled_site
from aegis.simulation.local import Federation
from aegis.simulation.stacked import StackedHospitals
from aegis.store.journal import Forgetful
from aegis.tasks.task import find_task
from aegis.transport.transport import Transport
from aegis.wiring import federate
