"""What a failure means, proven by running tests on purpose: again, alone, in order, at the base revision."""

from pytest_recall.proof.bench import Bench, Proven
from pytest_recall.proof.confirm import confirm
from pytest_recall.proof.verify import verify

__all__ = ["Bench", "Proven", "confirm", "verify"]
