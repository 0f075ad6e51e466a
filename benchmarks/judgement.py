"""How well history judges, in figures: fingerprints and search on real failures, verdicts on simulated pasts.

    python benchmarks/judgement.py [data] [--more FILE]        (default: ../shared/data)

*data* holds `mutfail.jsonl`, real failures of one-line mutants, each recorded twice (B: 37 lines
further down, in another folder, with another hash seed), and `flakeflagger.csv`, the failing and
passing runs of 811 flaky tests. FILE, made by `mutants.py`, has failures of more projects. Prints Markdown tables; ends with 1 if a figure is missed.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from pytest_recall.history.fingerprint import document, fingerprint, first_line, normalise
from pytest_recall.history.similar import NEAR, likest, matches
from pytest_recall.history.trend import fold
from pytest_recall.history.verdict import Verdict, judge
from pytest_recall.model import Failure, FailureHistory, Frame, Outcome, Sample, TestHistory

MISSED: list[str] = []


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(f'{x:.3f}' if isinstance(x, float) else str(x) for x in row)} |")


def must(name: str, value: float, least: float) -> None:
    if value < least:
        MISSED.append(f"{name}: {value:.3f}, wanted {least}")


# --- real failures -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One recorded failure, its root cause, and the text that a search may look at."""

    project: str
    mutant: str
    variant: str
    test: str
    failure: Failure
    root: str
    whole: str


def read_case(line: str) -> Case:
    raw = json.loads(line)
    message, exception = raw["message"], "AssertionError"
    named = re.match(r"([A-Za-z_][\w.]*)(?:: |$)", message.partition("\n")[0])
    if named and not message.startswith("assert"):
        exception, message = named[1], message[named.end() :]
    root = raw.get("root") or "/".join(raw["crash"][0].split("/")[:5])
    frames = tuple(read_frame(*entry) for entry in raw["frames"])
    prints = fingerprint(
        exception=exception, message=message, frames=frames, root=root, test_id=raw["nodeid"]
    )
    rendering = "\n".join(f"{path}:{n} {text}" for path, n, _, text in raw["frames"])
    return Case(
        project=raw["project"],
        mutant=raw["mutant"],
        variant=raw["variant"],
        test=raw["nodeid"],
        failure=Failure(
            phase=raw["when"],
            exception=exception,
            message=message,
            frames=frames,
            fingerprint=prints,
            text=rendering,
        ),
        root=root,
        whole=f"{raw['message']}\n{rendering}",
    )


def read_frame(path: str, line: int, what: str, text: str) -> Frame:
    """An entry of pytest's longrepr: its own line is marked `>`, or in short style the last one."""
    lines = [one for one in text.split("\n") if one.strip() and not one.startswith("E ")]
    marked = [one[1:] for one in lines if one.startswith(">")] or lines or [""]
    return Frame(
        path=path,
        line=line,
        function=what.removeprefix("in ") if what.startswith("in ") else "",
        source=marked[-1].strip(),
        project="site-packages" not in path and not path.startswith("/"),
    )


def recurrence(a: Sequence[Case], b: Sequence[Case]) -> None:
    rows = []
    for level in ("strict", "group", "loose"):
        known = defaultdict(list)
        for case in a:
            known[getattr(case.failure.fingerprint, level)].append(case)
        hits = [(case, known[getattr(case.failure.fingerprint, level)]) for case in b]
        found = fmean(any((h.mutant, h.test) == (case.mutant, case.test) for h in hit) for case, hit in hits)
        clean = fmean(fmean(h.mutant == case.mutant for h in hit) for case, hit in hits if hit)
        rows.append((level, found, clean, len({id(hit) for _, hit in hits})))
        must(f"{level} recurrence", found, 0.99)
        must(f"{level} precision", clean, 0.95)
    table(
        "Does a failure find itself after the code has moved?",
        ("fingerprint", "recurrence", "precision", "groups"),
        rows,
    )


Similarity = Callable[[Sequence[str], Sequence[str]], list[list[float]]]


def tfidf(corpus: Sequence[str], queries: Sequence[str]) -> list[list[float]]:
    """The yardstick: words and pairs of them, sublinear counts, smoothed idf, cosine."""

    def terms(text: str) -> Counter[str]:
        words = re.findall(r"[A-Za-z_<>][\w<>.]*|\d+", text)
        return Counter(words + [f"{one} {two}" for one, two in pairwise(words)])

    counted = [terms(text) for text in corpus]
    seen = Counter(term for counts in counted for term in counts)

    def vector(counts: Counter[str]) -> dict[str, float]:
        weights = {
            term: (1 + math.log(n)) * (1 + math.log((1 + len(corpus)) / (1 + seen[term])))
            for term, n in counts.items()
            if term in seen
        }
        length = math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
        return {term: weight / length for term, weight in weights.items()}

    vectors = [vector(counts) for counts in counted]
    return [
        [sum(weight * other.get(term, 0.0) for term, weight in query.items()) for other in vectors]
        for query in (vector(terms(text)) for text in queries)
    ]


def embedded(corpus: Sequence[str], queries: Sequence[str]) -> list[list[float]]:
    import numpy as np  # noqa: PLC0415 -- the rest of this script runs without it

    from pytest_recall.store.embedding import embed  # noqa: PLC0415

    known = np.array([embed(text) for text in corpus])
    found: list[list[float]] = (np.array([embed(text) for text in queries]) @ known.T).tolist()
    return found


def retrieval(a: Sequence[Case], b: Sequence[Case], where: str = "") -> None:
    def doc(case: Case) -> str:
        return document(case.failure, root=case.root)

    def whole(case: Case) -> str:
        return normalise(case.whole, root=case.root)

    def message(case: Case) -> str:
        return f"{case.failure.exception}: {case.failure.message}"

    def line(case: Case) -> str:
        last = case.failure.frames[-1:]
        placed = "".join(f"{frame.path}: {frame.source}" for frame in last)
        return f"{case.failure.exception}: {first_line(case.failure.message)}\n{placed}"

    def pasted(case: Case) -> str:
        return f"{message(case)}\n{case.failure.text}"

    # The last of these is a known failure's look-up, the others what somebody may paste. All but the first three go
    # the product's way: the nearest vectors, of which `matches` makes the answer.
    ways: list[tuple[str, Callable[[Case], str], Callable[[Case], str], Similarity, bool | None]] = [
        ("TF-IDF, whole normalised text", whole, whole, tfidf, None),
        ("TF-IDF, document", doc, doc, tfidf, None),
        ("vector of the document", doc, doc, embedded, None),
        ("ours, exception and message pasted", doc, message, embedded, False),
        ("ours, first line and its place pasted", doc, line, embedded, False),
        ("ours, everything pasted", doc, pasted, embedded, False),
        ("ours, a failure with its fingerprint", doc, doc, embedded, True),
    ]
    rows = []
    for name, text, asked, similarity, tiers in ways:
        queries = [asked(case) for case in b]
        scores = similarity([text(case) for case in a], queries)
        ranks = [rank(*one, a, tiers=tiers) for one in zip(b, queries, scores, strict=True)]
        ranks = [r for r in ranks if r]
        first, fifth = (fmean(r <= most for r in ranks) for most in (1, 5))
        rows.append((name, first, fifth, fmean(1 / r for r in ranks), len(ranks)))
    table(
        f"Does it find another test broken by the same cause?{where}",
        ("way", "hit@1", "hit@5", "MRR", "queries"),
        [*rows, ("the most that any text could", *ceiling(a, b, doc), "", rows[0][-1])],
    )
    yardstick, ours = rows[0], rows[-1]
    must(f"hit@1 beside TF-IDF{where}", ours[1], yardstick[1])
    must(f"hit@5 beside TF-IDF{where}", ours[2], yardstick[2])
    must(f"hit@1{where}", ours[1], 0.90)
    must(f"hit@5{where}", ours[2], 0.97)


def resemblance(a: Sequence[Case], b: Sequence[Case], where: str = "") -> None:
    """What the answer of a run says of a failure whose fingerprint is new: of a cause that came with another one, and of a new one."""
    scores = embedded(*([document(case.failure, root=case.root) for case in cases] for cases in (a, b)))
    told: dict[bool, list[bool | None]] = {True: [], False: []}  # whether it is right; None: nothing is said
    for case, line in zip(b, scores, strict=True):
        groups = defaultdict(list)  # as the store keeps them
        for n, one in enumerate(a):
            if (one.project, one.failure.fingerprint.group) != (case.project, case.failure.fingerprint.group):
                groups[one.project, one.failure.fingerprint.group].append(n)
        of_it = {key: {a[n].mutant for n in group} for key, group in groups.items() if key[0] == case.project}
        for came in (True, False):
            known = [key for key, mutants in of_it.items() if came or case.mutant not in mutants]
            if came and not any(case.mutant in of_it[key] for key in known):
                continue
            near = [
                (
                    replace(cause(a[groups[key][0]], at), tests=tuple(a[n].test for n in groups[key])),
                    max(line[n] for n in groups[key]),
                )
                for at, key in enumerate(known)
            ]
            near = sorted(near, key=lambda each: each[1], reverse=True)[:NEAR]
            best = likest(document(case.failure, root=case.root), near, tests=[case.test], root=case.root)
            told[came].append(case.mutant in of_it[known[int(best.failure.first_run)]] if best else None)
    rows = []
    for came, kind in ((True, "came with another fingerprint"), (False, "never came")):
        said = [right for right in told[came] if right is not None]
        rows.append((kind, len(told[came]), len(said) / len(told[came]), fmean(said) if said else 0.0))
    table(
        f"A fingerprint that is new: what is it like?{where}", ("its cause", "asked", "told", "right"), rows
    )
    must(f"likeness of causes that came{where}", rows[0][3], 0.85)
    must(f"likeness of causes that never came{where}", -rows[1][2], -0.10)


def rank(case: Case, text: str, scores: Sequence[float], known: Sequence[Case], *, tiers: bool | None) -> int:
    """The place, from 1, of the first other test with the same cause; 0 where there is none.

    By *scores*; unless *tiers* is None by what the product makes of the nearest, with the fingerprint or without.
    """
    others = [n for n, one in enumerate(known) if one.project == case.project and one.test != case.test]
    ordered = sorted(others, key=lambda n: scores[n], reverse=True)
    if tiers is not None:
        near = [(cause(known[n], n), scores[n]) for n in ordered[:NEAR]]
        own = case.failure.fingerprint if tiers else None
        found = matches(text, near, fingerprint=own, test=case.test, root=case.root)
        first = [int(match.failure.first_run) for match in found]
        shown = set(first)
        ordered = [*first, *(n for n in ordered if n not in shown)]
    return next((place for place, n in enumerate(ordered, 1) if known[n].mutant == case.mutant), 0)


def cause(case: Case, number: int) -> FailureHistory:
    """*case* as the store knows it."""
    failure = case.failure
    inside = [frame for frame in failure.frames if frame.project] or list(failure.frames)
    return FailureHistory(
        fingerprint=failure.fingerprint.group,
        exception=failure.exception,
        message=failure.message[:1_000],  # as it keeps them
        path=inside[-1].path if inside else "",
        source=inside[-1].source if inside else "",
        tests=(case.test,),
        first_seen=0.0,
        last_seen=0.0,
        first_run=str(number),
        last_run="",
    )


def ceiling(a: Sequence[Case], b: Sequence[Case], text: Callable[[Case], str]) -> tuple[float, float]:
    """What nobody can beat: one test that fails with one text for several causes gets one answer, best for most of them."""
    alike: defaultdict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for case in b:
        if any((one.mutant, one.test != case.test) == (case.mutant, True) for one in a):
            alike[case.project, case.test, text(case)][case.mutant] += 1
    counts = [sorted(causes.values(), reverse=True) for causes in alike.values()]
    asked = sum(map(sum, counts))
    return sum(one[0] for one in counts) / asked, sum(sum(one[:5]) for one in counts) / asked


# --- simulated pasts ---------------------------------------------------------------------------

REVISIONS = 60
MINE = {Verdict.REGRESSION, Verdict.RECURRED}
UNCLEAR = {None, Verdict.NEW_FAILURE, Verdict.NOT_ENOUGH_EVIDENCE}  # all others say: not from this change


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One test: how often it flakes, and on which revisions it is really broken, by which fingerprint."""

    rate: float
    broken: dict[int, str]
    sources: tuple[str, ...] = ("",) * REVISIONS  # what the test reaches, where that is known


def a_life(rng: random.Random, *, rate: float, breaks: bool) -> Life:
    broken: dict[int, str] = {}
    for episode in range(rng.randint(1, 2) if breaks else 0):
        start, length = rng.randrange(1, REVISIONS), 1
        while rng.random() > 0.25:
            length += 1
        broken.update(dict.fromkeys(range(start, min(start + length, REVISIONS)), f"real {episode}"))
    return Life(rate=rate, broken=broken)


@dataclass(slots=True)
class Told:
    """What was said of one test over its life."""

    failed: bool = False  # it flaked at least once
    flaky: bool = False  # as the last word on it
    words: Counter[tuple[str, Verdict | None]] = field(
        default_factory=Counter
    )  # (truth, verdict) of failing runs


def alike(life: Life, rng: random.Random) -> Life:
    """The same life, in which it breaks by the fingerprint of its flake; half of the changes reach what it imports."""
    states: list[int] = []
    for revision in range(REVISIONS):
        breaks = (revision in life.broken) is not (revision - 1 in life.broken)
        states.append((states[-1] if states else 0) + (breaks or rng.random() < 0.5))
    return Life(
        rate=life.rate,
        broken=dict.fromkeys(life.broken, "flake"),
        sources=tuple(f"s{state}" for state in states),
    )


def hidden(rates: Sequence[float], confirm: int) -> tuple[object, ...]:
    """One row: of 500 flaky tests that also break, by the same fingerprint, how often is a break's first revision missed?"""
    rng = random.Random(2)
    lives = [alike(a_life(rng, rate=rng.choice(rates), breaks=True), rng) for _ in range(500)]
    words = sum((live(life, rng, confirm).words for life in lives), Counter[tuple[str, Verdict | None]]())

    def share(truth: str, verdicts: set[Verdict | None]) -> float:
        return sum(words[truth, v] for v in verdicts) / sum(n for (t, _), n in words.items() if t == truth)

    missed = 1 - share("mine", UNCLEAR | MINE)
    must(
        f"first broken revisions that a flake hides, confirm={confirm}",
        -missed,
        -0.15 if confirm == 0 else -0.05,
    )
    must(f"flakes called mine, confirm={confirm}", -share("flake", MINE), -0.02)
    return (
        f"confirm={confirm}",
        missed,
        share("mine", MINE),
        share("flake", {Verdict.FLAKY}),
        share("flake", MINE),
    )


def live(life: Life, rng: random.Random, confirm: int) -> Told:
    told, history = Told(), TestHistory(id="t", first_seen=0.0)
    for revision in range(REVISIONS):
        attempts = rng.choices((1, 2, 3), (6, 3, 1))[0]
        for run in range(attempts):
            now = [attempt(life, rng, revision, run)]
            real = revision in life.broken
            told.failed |= now[0].outcome.bad and not real
            history = fold(history, "t", now)
            if now[0].outcome.bad:
                again = [attempt(life, rng, revision, run, n + 1) for n in range(confirm)]
                history = fold(history, "t", again)
                base = [s for s in history.samples if s.revision == str(revision - 1)]
                truth = "flake" if not real else "old" if revision - 1 in life.broken else "mine"
                told.words[truth, judge(history, now, base=base).verdict] += 1
    told.flaky = any(verdict is Verdict.FLAKY for _, verdict in told.words) or (
        judge(history).verdict is Verdict.FLAKY
    )
    return told


def attempt(life: Life, rng: random.Random, revision: int, run: int, again: int = 0) -> Sample:
    red = revision in life.broken or rng.random() < life.rate
    return Sample(
        run=f"{revision:03}.{run}.{bool(again):d}",
        at=revision + run / 10 + bool(again) / 20,
        revision=str(revision),
        environment="e",
        space="local",
        outcome=Outcome.FAILED if red else Outcome.PASSED,
        group=life.broken.get(revision, "flake") if red else "",
        attempt=again,
        sources=life.sources[revision],
    )


def flaky(rates: Sequence[float], confirm: int) -> tuple[object, ...]:
    """One row of figures: 1,000 tests that never fail, 600 that break, 800 flaky ones, 400 that are both."""
    rng = random.Random(1)
    kinds = [(0.0, False)] * 1000 + [(0.0, True)] * 600
    kinds += [(rng.choice(rates), False) for _ in range(800)] + [
        (rng.choice(rates), True) for _ in range(400)
    ]
    lives = [a_life(rng, rate=rate, breaks=breaks) for rate, breaks in kinds]
    told = [live(life, rng, confirm) for life in lives]
    called = [bool(life.rate) for life, t in zip(lives, told, strict=True) if t.flaky]
    seen = [t.flaky for life, t in zip(lives, told, strict=True) if life.rate and t.failed]
    words = sum((t.words for t in told), Counter[tuple[str, Verdict | None]]())
    must(f"flaky precision, confirm={confirm}", fmean(called), 0.99)
    must(f"flaky recall, confirm={confirm}", fmean(seen), 0.88)
    excused = sum(n for (truth, verdict), n in words.items() if truth != "flake" and verdict is Verdict.FLAKY)
    must(f"real failures called flaky, confirm={confirm}", -float(excused), 0)
    total = words.total()
    spoke = sum(n for (_, verdict), n in words.items() if verdict not in UNCLEAR)
    right = sum(n for (truth, v), n in words.items() if v not in UNCLEAR and (v in MINE) == (truth == "mine"))
    return (
        f"confirm={confirm}",
        fmean(called),
        fmean(seen),
        f"{excused} of {sum(n for (truth, _), n in words.items() if truth != 'flake')}",
        spoke / total,
        right / spoke,
        (right - 4 * (spoke - right)) / total,
    )


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    options.add_argument("--more", type=Path)
    asked = options.parse_args()
    data = asked.data
    cases = [read_case(line) for line in (data / "mutfail.jsonl").read_text("utf-8").splitlines()]
    a, b = ([case for case in cases if case.variant == variant] for variant in "AB")
    print(f"{len(cases)} failures of {len({case.mutant for case in cases})} mutants.")
    recurrence(a, b)
    retrieval(a, b)
    resemblance(a, b)
    if asked.more:
        more = [read_case(line) for line in asked.more.read_text("utf-8").splitlines()]
        names = ", ".join(dict.fromkeys(case.project for case in more))
        retrieval(more, more, f" ({names})")
        retrieval([*a, *more], [*b, *more], " (all projects)")
        resemblance(more, more, f" ({names})")
    with (data / "flakeflagger.csv").open(encoding="utf-8", newline="") as file:
        counts = [(int(row["NumFailingRuns"]), int(row["NumPassingRuns"])) for row in csv.DictReader(file)]
    rates = [failing / (failing + passing) for failing, passing in counts]
    table(
        f"Is it flaky, and is it from this change? {REVISIONS} revisions of 2,800 tests, {len(rates)} real flake rates",
        (
            "reruns",
            "flaky: precision",
            "flaky: recall",
            "real called flaky",
            "spoke",
            "right when it spoke",
            "score",
        ),
        (flaky(rates, confirm) for confirm in (0, 1, 3)),
    )
    print(
        "\nRecall: of the flaky tests that flaked at least once. Spoke: share of failing runs whose verdict says"
    )
    print(
        "whether the last change is to blame. Score: right words less four for each wrong one, over all failing"
    )
    print("runs; silence counts nothing.")
    table(
        "And where a flaky test breaks by the fingerprint of its flake?",
        ("reruns", "first revision missed", "called mine", "flakes called flaky", "flakes called mine"),
        (hidden(rates, confirm) for confirm in (0, 1, 3)),
    )
    for missed in MISSED:
        print(f"\nMISSED {missed}")
    return bool(MISSED)


if __name__ == "__main__":
    raise SystemExit(main())
