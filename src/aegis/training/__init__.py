"""Behind the wall: rows become an update. Imported by simulation, wiring and the hospital only."""

from aegis.training.choose import trainer_for

__all__ = ["trainer_for"]
