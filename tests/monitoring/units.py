"""Numbers as Grafana says them, for the units that the dashboard has."""

import math

_TIMES = ((3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_DECIMAL = ((1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s"), (1.0, "B/s"))
_BINARY = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))
_SCALES = {
    "short": ((1.0, ""),),
    "s": _TIMES,
    "Bps": _DECIMAL,
    "bytes": _BINARY,
    "percentunit": ((0.01, "%"),),
    "ops": ((1.0, "ops/s"),),
    "reqps": ((1.0, "req/s"),),
}
_MOST_TICKS = 4


def said(value: float, unit: str) -> str:
    if math.isnan(value):
        return "-"
    factor, name = _scale(value, unit)
    return f"{_number(value / factor)} {name}".strip()


def ticks(highest: float, unit: str) -> list[float]:
    """From 0 to what holds the highest value, at round numbers of the unit it is said in."""
    factor, _ = _scale(highest, unit)
    most = highest / factor or 1.0
    power = 10.0 ** math.floor(math.log10(most / _MOST_TICKS))
    step = next(s * power for s in (1, 2, 5, 10, 20, 50) if s * power * _MOST_TICKS >= most)
    return [n * step * factor for n in range(math.ceil(most / step - 1e-9) + 1)]


def _scale(value: float, unit: str) -> tuple[float, str]:
    """Its own size decides, so that a number is never long."""
    scales = _SCALES[unit]
    if not value:
        return next((s for s in scales if s[0] == 1.0), scales[-1])
    return next((s for s in scales if abs(value) >= s[0]), scales[-1])


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
