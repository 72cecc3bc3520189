"""A busy machine is no failure: hypothesis looks for counterexamples, not at the clock."""

from hypothesis import HealthCheck, settings

settings.register_profile("aegis", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("aegis")
