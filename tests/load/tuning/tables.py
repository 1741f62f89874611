"""The tables of docs/tuning.md, in its order; `make docs` writes them there. No figure in them
depends on the machine."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from . import days, faults, outages
from .choices import CONSTRAINED, DEFAULT, HIGH_LOAD, WHOLE, Choice, alone
from .days import START_S, VIEWERS, Outcome

MINUTE, THREE_MINUTES = 60.0, 180.0
AN_HOUR = 3600.0
MATCHES = 3
MACHINE_S = (0.6, 1.2, 2.0)  # of all its processors, for one start
SHORT_CAUSE_S = 10.0
ONCE_S = 0.5  # a cause that meets what is started at that moment
PHASES = (0.25, 0.75)  # of the breaker's timeout, at which a cause may end
SLOW_STARTS = (6.0, 12.0, 24.0, 40.0)
OUTAGES = range(20, 61)
# What docs/timeouts.md says of each call.
PODMAN_WITHIN, READ_WITHIN, STOP_WITHIN = 10.0, 20.0, 60.0


class Table(NamedTuple):
    """A row for each choice. `quick`: all of it takes no second, so that a test may do it anew."""

    columns: Sequence[str]
    choices: Sequence[Choice]
    cells: Callable[[Choice], Sequence[object]]
    quick: bool

    @property
    def head(self) -> str:
        return f"| {' | '.join(self.columns)} |\n|{'---|' * len(self.columns)}\n"

    def row(self, choice: Choice) -> str:
        return f"| {' | '.join(map(str, (choice.name, *self.cells(choice))))} |\n"

    @property
    def text(self) -> str:
        return self.head + "".join(map(self.row, self.choices))


def _profile(choice: Choice) -> Sequence[object]:
    evening = days.evening(choice.rules())
    match = days.match(choice.rules(), MINUTE, MATCHES)
    rules, interval = choice.rules(), choice.settings().health_check_interval_s
    hang = faults.hang(rules, interval).unlisted
    late = faults.broken(rules, faults.FAILS_AT_ONCE, SHORT_CAUSE_S).late
    return (
        f"{len(evening.waits)} of {evening.viewers}",
        evening.starts,
        f"{evening.engine_hours:.0f}",
        f"{len(match.waits)} of {match.viewers}",
        match.refused,
        match.shared,
        f"{hang.mean:.0f} s, at most {hang.most:.0f} s",
        f"{late:.0f} s",
        f"{AN_HOUR / interval:.0f}",
    )


def _by_both(choice: Choice) -> Sequence[object]:
    rules = choice.rules()
    told = [
        [
            *_told(days.evening(rules, by_gateway=gateway)),
            *_told(days.match(rules, MINUTE, MATCHES, by_gateway=gateway)),
        ]
        for gateway in (False, True)
    ]
    return [f"{client} / {player}" for client, player in zip(*told, strict=True)]


def _started(choice: Choice) -> Sequence[object]:
    return [
        cell
        for within in (MINUTE, THREE_MINUTES)
        for cell in _told(days.match(choice.rules(), within, MATCHES))
    ]


def _told(match: Outcome) -> Sequence[object]:
    return len(match.waits), f"{match.most_waited:.1f} s", match.refused, match.shared


def _crowded(choice: Choice) -> Sequence[object]:
    """As many starts at once as may be, which share the machine."""
    at_once = choice.settings().max_concurrent_provisions
    takes = [max(START_S, at_once * each) for each in MACHINE_S]
    matches = [days.match(choice.rules(), MINUTE, MATCHES, seconds) for seconds in takes]
    return [
        f"{match.without_picture} (a start takes {seconds:g} s)"
        for match, seconds in zip(matches, takes, strict=True)
    ]


def _kept(choice: Choice) -> Sequence[object]:
    evening = days.evening(choice.rules())
    match = days.match(choice.rules(), MINUTE, MATCHES)
    return (
        len(evening.waits),
        evening.starts,
        f"{evening.engine_hours:.1f}",
        len(match.waits),
        match.refused,
        match.shared,
    )


def _slow(choice: Choice) -> Sequence[object]:
    matches = (days.match(choice.rules(), THREE_MINUTES, 1, seconds) for seconds in SLOW_STARTS)
    rules = choice.rules()
    hangs = (faults.never_created(rules.provision_timeout), faults.NEVER_READY)
    once = [faults.broken(rules, how, ONCE_S) for how in hangs]
    return (
        *(match.without_picture for match in matches),
        *(f"{ONCE_S + each.late:.0f} s" for each in once),
    )


def _probed(choice: Choice) -> Sequence[object]:
    interval = choice.settings().health_check_interval_s
    hang = faults.hang(choice.rules(), interval)
    return (
        f"{hang.unlisted.least:.0f} to {hang.unlisted.most:.0f} s",
        f"{hang.unlisted.mean:.0f} s",
        f"{hang.made_up.mean:.0f} s",
        f"{hang.gone.mean:.0f} s",
        f"{hang.unlisted.mean / 60:.2f}",
        f"{AN_HOUR / interval:.0f}",
    )


def _looked_at(choice: Choice) -> Sequence[object]:
    settings = choice.settings()
    interval = settings.monitor_interval_s
    lost = faults.lost_end(choice.rules(), interval)
    return (
        f"{lost.mean:.1f} s, at most {lost.most:.0f} s",
        f"{AN_HOUR / interval:.0f}",
        f"{settings.stats_history_max * interval / AN_HOUR:g} h",
    )


def _broken(choice: Choice) -> Sequence[object]:
    rules = choice.rules()
    short = faults.broken(rules, faults.FAILS_AT_ONCE, SHORT_CAUSE_S)
    hanging = faults.broken(rules, faults.NEVER_READY, AN_HOUR / 10)
    hours = [
        faults.broken(rules, faults.FAILS_AT_ONCE, AN_HOUR + phase * rules.breaker_timeout)
        for phase in PHASES
    ]
    an_hour = faults.broken(rules, faults.FAILS_AT_ONCE, AN_HOUR)
    return (
        f"{short.opens:.1f} s",
        f"{hanging.opens:.0f} s",
        an_hour.starts,
        f"{short.late:.0f} s",
        f"{sum(each.late for each in hours) / len(hours):.0f} s",
    )


def _repeated(choice: Choice) -> Sequence[object]:
    settings = choice.settings()
    policy = settings.max_retries, settings.retry_backoff_s
    limits = (PODMAN_WITHIN, READ_WITHIN, STOP_WITHIN, settings.provision_timeout_s)
    spreads = [outages.rides_out(*policy, within) for within in limits]
    late = outages.late(*policy, settings.provision_timeout_s, OUTAGES)
    return (
        *(f"{spread.least:.0f} to {spread.most:.0f} s" for spread in spreads),
        "has failed" if late is None else f"{late:.0f} s",
    )


TABLES: Sequence[Table] = (
    Table(
        (
            "Profile",
            "evening: waited",
            "starts",
            "engine-hours",
            "a match: waited",
            "refused",
            "shared",
            "a hung engine is off the list after",
            "starts failed for 10 s: an engine again after",
            "probes of an engine per hour",
        ),
        WHOLE,
        _profile,
        quick=False,
    ),
    Table(
        (
            "clients of the API / players of the gateway",
            "evening: waited",
            "95 % waited at most",
            "refused",
            "shared",
            "a match: waited",
            "95 % waited at most",
            "refused",
            "shared",
        ),
        WHOLE,
        _by_both,
        quick=False,
    ),
    Table(
        (
            f"{VIEWERS} viewers, {MATCHES} times",
            "in a minute: waited",
            "95 % waited at most",
            "refused",
            "shared",
            "in three minutes: waited",
            "95 % waited at most",
            "refused",
            "shared",
        ),
        [DEFAULT, *alone("MAX_CONCURRENT_PROVISIONS", "MIN_PROVISION_INTERVAL_S")],
        _started,
        quick=False,
    ),
    Table(
        (
            f"without a picture, of {MATCHES * VIEWERS} in a minute; a start costs the machine",
            *(f"{each:g} s" for each in MACHINE_S),
        ),
        [DEFAULT, *alone("MAX_CONCURRENT_PROVISIONS")],
        _crowded,
        quick=False,
    ),
    Table(
        (
            "",
            "evening: waited",
            "starts",
            "engine-hours",
            "a match: waited",
            "refused",
            "shared",
        ),
        [DEFAULT, *alone("MIN_REPLICAS", "ENGINE_GRACE_PERIOD_S")],
        _kept,
        quick=False,
    ),
    Table(
        (
            "",
            "off the list after",
            "on average",
            "made up for",
            "replaced",
            "viewers it fails, of one a minute",
            "probes of an engine per hour",
        ),
        [DEFAULT, *alone("HEALTH_CHECK_INTERVAL_S")],
        _probed,
        quick=True,
    ),
    Table(
        (
            "",
            "an engine whose stream's end was lost is free after",
            "looks at a stream per hour",
            "what `STATS_HISTORY_MAX` shows",
        ),
        [DEFAULT, *alone("MONITOR_INTERVAL_S")],
        _looked_at,
        quick=True,
    ),
    Table(
        (
            "",
            "opens, when starts fail at once",
            "when they hang",
            "failed starts in an hour",
            "an engine again after a cause of 10 s",
            "after one of an hour",
        ),
        [
            DEFAULT,
            *alone("CIRCUIT_BREAKER_THRESHOLD", "CIRCUIT_BREAKER_TIMEOUT_S"),
            CONSTRAINED,
            Choice("`CIRCUIT_BREAKER_TIMEOUT_S=60`", {"CIRCUIT_BREAKER_TIMEOUT_S": "60"}),
        ],
        _broken,
        quick=True,
    ),
    Table(
        (
            "outages a call rides out",
            "Podman, the end of a stream (10 s)",
            "questions to systemd (20 s)",
            "a stop (60 s)",
            "a start (`PROVISION_TIMEOUT_S`)",
            "a start after an outage of 20 to 60 s is tried again",
        ),
        [DEFAULT, *alone("MAX_RETRIES", "RETRY_BACKOFF_S"), HIGH_LOAD],
        _repeated,
        quick=True,
    ),
    Table(
        (
            f"viewers without a picture, of {VIEWERS}; starts take",
            *(f"{seconds:g} s" for seconds in SLOW_STARTS),
            "a creation hangs once: an engine again after",
            "an engine never answers, once: again after",
        ),
        [
            DEFAULT,
            *alone("PROVISION_TIMEOUT_S"),
            Choice("`PROVISION_STARTUP_GRACE_S=90`", {"PROVISION_STARTUP_GRACE_S": "90"}),
            *alone("MIN_REPLICAS"),
        ],
        _slow,
        quick=False,
    ),
)
