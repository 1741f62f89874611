"""What holds for all tests."""

import signal

from hypothesis import HealthCheck, settings

# What tests start begins with the signals as a terminal leaves them, also where pytest itself runs
# in the background or under nohup, which ignore some.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

# No example fails for being slow: that says something of the machine alone. On CI, Hypothesis has
# settled the rest already.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")
