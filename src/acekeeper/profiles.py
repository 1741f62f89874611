"""Sets of values for settings that are not given."""

from collections.abc import Mapping
from typing import Literal

Profile = Literal["none", "high-load", "constrained", "high-availability"]

PROFILES: Mapping[Profile, Mapping[str, str]] = {
    "none": {},
    "high-load": {
        "API_REQUEST_TIMEOUT_S": "60",
        "PROVISION_TIMEOUT_S": "180",
        "MAX_RETRIES": "5",
        "RETRY_BACKOFF_S": "3",
        "MAX_CONCURRENT_PROVISIONS": "10",
        "MIN_PROVISION_INTERVAL_S": "0.2",
        "HEALTH_CHECK_INTERVAL_S": "15",
    },
    "constrained": {
        "API_REQUEST_TIMEOUT_S": "90",
        "PROVISION_TIMEOUT_S": "240",
        "MAX_CONCURRENT_PROVISIONS": "3",
        "MIN_PROVISION_INTERVAL_S": "1",
        "HEALTH_CHECK_INTERVAL_S": "60",
        "CIRCUIT_BREAKER_THRESHOLD": "3",
        "CIRCUIT_BREAKER_TIMEOUT_S": "600",
    },
    "high-availability": {
        "MAX_RETRIES": "10",
        "RETRY_BACKOFF_S": "2",
        "MAX_CONCURRENT_PROVISIONS": "8",
        "HEALTH_CHECK_INTERVAL_S": "10",
        "MONITOR_INTERVAL_S": "5",
        "MIN_REPLICAS": "5",
        "ENGINE_GRACE_PERIOD_S": "15",
    },
}
