"""What a test told of itself, and what its phases cost, in lines; bounded, and never more than a reader asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pytest_recall.answers.text import head
from pytest_recall.model import Attempt, Cost, Entry

_PATH = 120  # characters of the steps around an entry


def lines(attempt: Attempt, around: Iterable[Entry], *, number: int, most: int) -> list[str]:
    """The first *number* entries of *attempt*, after those of the scopes *around* it, each at most *most* characters."""
    entries = [*around, *attempt.context]
    shown = [head(_line(entry), most) for entry in entries[:number]]
    shown += [
        head(f"property {name}={text}", most) for name, text in attempt.properties[: number - len(shown)]
    ]
    more = len(entries) + len(attempt.properties) - len(shown)
    return [*shown, f"… and {more} more"] if more > 0 and number else shown


def costs(attempt: Attempt) -> list[str]:
    """A line for each phase that took 5 ms or printed something."""
    return [_cost(cost, attempt) for cost in attempt.costs[:20]]


def around(test: str, worker: str, scoped: Iterable[Entry]) -> Iterator[Entry]:
    """Those of *scoped* that hold for *test*, which ran in *worker*."""
    for entry in scoped:
        place = entry.where
        inside = place in {"", ".", test} or test.startswith((f"{place}::", f"{place}/"))
        if inside and entry.worker in {"", worker}:
            yield entry


def _line(entry: Entry) -> str:
    steps = head(" › ".join(entry.steps), _PATH) + ": " if entry.steps else ""
    fields = " ".join(f"{name}={text}" for name, text in entry.fields)
    kind = f"{entry.scope} {entry.kind}" if entry.scope else entry.kind
    text = f"{steps}{kind} {entry.name}".rstrip()
    if entry.kind == "step":
        text += f" ({_seconds(entry.duration_s)})" if entry.duration_s is not None else " (never ended)"
        text += f" raised {entry.error}" if entry.error else ""
    return f"{text}: {fields}" if fields else text


def _cost(cost: Cost, attempt: Attempt) -> str:
    wall = {"setup": attempt.setup_s, "call": attempt.call_s, "teardown": attempt.teardown_s}.get(
        cost.phase, 0.0
    )
    parts = [f"{_seconds(wall)}", f"CPU {_seconds(cost.cpu_s)}"]
    if cost.peak_kb:
        grown = f", {cost.grown_kb / 1024:.0f} MB of it new" if cost.grown_kb >= 1024 else ""  # noqa: PLR2004 - 1 MB
        parts.append(f"peak memory {cost.peak_kb / 1024:.0f} MB{grown}")
    if cost.output:
        parts.append(f"printed {cost.output} characters")
    return f"{cost.phase}: {', '.join(parts)}"


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.1f} ms"
