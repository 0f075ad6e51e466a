"""A verdict that was given once is given again only while nothing new is known."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from pytest_recall import judging, learning, observing
from pytest_recall.history.inventory import State
from pytest_recall.history.proof import Proof
from pytest_recall.history.verdict import Verdict
from pytest_recall.model import FailureHistory, Outcome, Sample
from pytest_recall.model import TestHistory as History
from pytest_recall.proof import kept

pytestmark = pytest.mark.anyio


def sample(revision: str, outcome: Outcome, at: float) -> Sample:
    red = outcome is Outcome.FAILED
    return Sample(
        run=f"{at}",
        at=at,
        revision=revision,
        environment="e",
        space="local",
        outcome=outcome,
        group="x" * red,
    )


@pytest.fixture
def proofs(monkeypatch) -> dict[str, Proof]:
    """What is proven of tests, by their ids; nothing of them was ever mended."""
    found: dict[str, Proof] = {}

    async def nothing(*_):
        return {}

    async def known(*_):
        return found

    monkeypatch.setattr(learning, "mended_before", nothing)
    monkeypatch.setattr(kept, "known", known)
    return found


async def test_verdicts_are_kept_until_a_history_or_a_proof_is_another(proofs):
    space = SimpleNamespace(judged={})
    samples = (sample("a", Outcome.PASSED, 1.0), sample("b", Outcome.FAILED, 2.0))
    one, other = (History(id=name, first_seen=1.0, samples=samples) for name in "to")

    first = await judging.judged(space, [one, other])
    assert [found.judgement.verdict for found in first] == [Verdict.NEW_FAILURE] * 2
    again = await judging.judged(space, [one, other])
    assert [a is b for a, b in zip(first, again, strict=True)] == [True, True]

    proofs["t"] = Proof(base=tuple(sample("c", Outcome.FAILED, 3.0)._replace(attempt=n) for n in range(3)))
    proven = await judging.judged(space, [one, other])
    assert proven[0].judgement.verdict is Verdict.PRE_EXISTING
    assert proven[1] is first[1]

    later = replace(other, samples=(*samples, sample("b", Outcome.PASSED, 5.0)))
    assert (await judging.judged(space, [one, later]))[1].judgement.verdict is Verdict.FLAKY


async def test_inventory_takes_what_was_proven_into_account(proofs):
    story = [(Outcome.FAILED, "a"), (Outcome.PASSED, "a"), (Outcome.PASSED, "b"), (Outcome.PASSED, "b")]
    samples = tuple(sample(revision, outcome, float(at)) for at, (outcome, revision) in enumerate(story))
    cause = FailureHistory(
        fingerprint="x",
        exception="E",
        message="",
        path="",
        source="",
        tests=("t",),
        first_seen=0.0,
        last_seen=0.0,
        first_run="0",
        last_run="0",
    )

    class Store:
        failures = staticmethod(lambda **_: told([cause]))
        runs = notes = staticmethod(lambda **_: told([]))
        tests = staticmethod(lambda _: told({"t": History(id="t", first_seen=0.0, samples=samples)}))

    async def told(answer):
        return answer

    async def states():
        space = SimpleNamespace(judged={}, store=Store)
        return [one.state for one in await observing.inventory(space)]

    assert await states() == [State.FLAKY]
    alone = tuple(sample("b", Outcome.FAILED, 9.0)._replace(attempt=n) for n in range(2))
    proofs["t"] = Proof(alone=alone)
    assert await states() == [State.MENDED], "its order did it"
