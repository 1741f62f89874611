"""What holds for all tests."""

import signal

from hypothesis import HealthCheck, settings

# A program that a test starts inherits which signals are ignored. Under nohup, or in the background
# of a shell, pytest itself ignores some of those by which tests end programs.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

# No example fails for being slow: that says something of the machine alone. On CI, Hypothesis has
# settled the rest already.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")
