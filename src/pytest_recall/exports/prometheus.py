"""How a project stands, as Prometheus reads it: counts that rise, and the last runs as gauges.

Seconds, ratios of 0-1, no test ids as labels; a percentage only where people know that name. A label combination
that may come is there with 0 from the start: an increase from nothing would not be seen as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, generate_latest, push_to_gateway
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from pytest_recall.errors import BadRequest, quoted
from pytest_recall.history.tally import BOUNDS, FAILURES, Standing, selection, termination
from pytest_recall.model import Outcome, RunRow, Status

_PUSH_S = 10.0
_BROKEN, _FLAKY = "broken", "flaky"
_ENDS = [status.value for status in Status if status is not Status.RUNNING]


class Observed(Collector):
    """A project's metrics, made anew each time somebody asks."""

    def __init__(self, stand: Callable[[], Standing]) -> None:
        self._stand = stand

    def describe(self) -> Iterable[Metric]:
        return ()  # registering must ask nothing

    def collect(self) -> Iterator[Metric]:
        standing = self._stand()
        yield from _counters(standing)
        yield from _last_runs(standing)
        yield from _now(standing)


def registry(stand: Callable[[], Standing]) -> CollectorRegistry:
    made = CollectorRegistry(auto_describe=False)
    made.register(Observed(stand))
    return made


def text(standing: Standing) -> bytes:
    """The exposition, for a file of node_exporter's textfile collector."""
    return generate_latest(registry(lambda: standing))


def push(standing: Standing, gateway: str) -> None:
    """Replace what *gateway* holds of this project.

    Raises:
        BadRequest: no http(s) address, or nobody there takes it.
    """
    if urlsplit(gateway).scheme not in {"http", "https"}:
        raise BadRequest(f"{quoted(gateway)} is no address of a Pushgateway: 'http://host:9091' is one.")
    try:
        push_to_gateway(
            gateway,
            job="pytest-recall",
            registry=registry(lambda: standing),
            grouping_key={"project": standing.project},
            timeout=_PUSH_S,
        )
    except (OSError, ValueError) as error:
        raise BadRequest(
            f"The Pushgateway at {quoted(gateway)} did not take the metrics: {error}."
        ) from error


def _counters(standing: Standing) -> Iterator[Metric]:
    runs = CounterMetricFamily(
        "pytest_runs", "Runs, by how they ended.", labels=[*_WHO, "status", "termination"]
    )
    tests = CounterMetricFamily("pytest_tests", "Tests of all runs, by outcome.", labels=[*_WHO, "outcome"])
    failures = CounterMetricFamily(
        "pytest_test_failures",
        "Tests and collectors of all runs that failed, by kind.",
        labels=[*_WHO, "outcome"],
    )
    spread = HistogramMetricFamily(
        "pytest_test_duration_seconds", "Setup, call and teardown of tests that were executed.", labels=_WHO
    )
    for space, counted in sorted(standing.tally.spaces.items()):
        who = [standing.project, space]
        for status in _ENDS:
            runs.add_metric([*who, status, termination(status)], counted.runs.get(status, 0))
        for outcome in Outcome:
            tests.add_metric([*who, outcome.value], counted.tests.get(outcome.value, 0))
        for kind in FAILURES:
            failures.add_metric([*who, kind], counted.failures.get(kind, 0))
        edges = [*map(str, BOUNDS), "+Inf"]
        buckets = [
            (edge, float(n)) for edge, n in zip(edges, accumulate(counted.spread.buckets), strict=True)
        ]
        spread.add_metric(who, buckets=buckets, sum_value=counted.spread.seconds)
    yield from (runs, tests, failures, spread)


def _last_runs(standing: Standing) -> Iterator[Metric]:
    labels = [*_WHO, "selection"]
    outcomes = GaugeMetricFamily(
        "pytest_last_run_tests", "Tests of the last run, by outcome.", labels=[*labels, "outcome"]
    )
    statuses = GaugeMetricFamily(
        "pytest_last_run_status", "1 for the status of the last run.", labels=[*labels, "status"]
    )
    ended = GaugeMetricFamily(
        "pytest_last_run_completion_timestamp_seconds", "When the last run ended.", labels=labels
    )
    duration = GaugeMetricFamily(
        "pytest_session_duration_seconds", "How long the last run took.", labels=labels
    )
    percent = GaugeMetricFamily(
        "pytest_coverage_percent", "Coverage of the last run that measured it, 0-100.", labels=labels
    )
    ratio = GaugeMetricFamily(
        "pytest_coverage_ratio", "Coverage of the last run that measured it, 0-1.", labels=labels
    )
    for row in standing.last:
        who = _who(standing, row)
        for outcome in Outcome:
            outcomes.add_metric([*who, outcome.value], row.counts.get(outcome.value, 0))
        for status in _ENDS:
            statuses.add_metric([*who, status], row.status == status)
        ended.add_metric(who, row.started_at + row.duration_s)
        duration.add_metric(who, row.duration_s)
    for row in standing.measured:
        percent.add_metric(_who(standing, row), row.coverage or 0.0)
        ratio.add_metric(_who(standing, row), (row.coverage or 0.0) / 100)
    yield from (outcomes, statuses, ended, duration, percent, ratio)


def _now(standing: Standing) -> Iterator[Metric]:
    if standing.verdicts is None:  # a gap says more than a wrong 0
        return
    for name, text, number in (
        ("pytest_failing_tests", "Tests whose last outcome was bad.", standing.failing),
        (
            "pytest_flaky_tests",
            "Tests that passed and failed on the same code.",
            standing.verdicts.get(_FLAKY, 0),
        ),
        (
            "pytest_broken_tests",
            "Tests that fail alike since three revisions or more.",
            standing.verdicts.get(_BROKEN, 0),
        ),
    ):
        gauge = GaugeMetricFamily(name, text, labels=["project"])
        gauge.add_metric([standing.project], number)
        yield gauge


_WHO = ["project", "space"]


def _who(standing: Standing, row: RunRow) -> list[str]:
    return [standing.project, row.space, selection(row)]
