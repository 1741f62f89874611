"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# No example fails for being slow: that says something of the machine alone. On CI, Hypothesis has
# settled the rest already.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")
