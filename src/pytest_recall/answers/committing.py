"""The answers of `install-hook` and `commits`: what became of the hook, and which commit holds which fix."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from pytest_recall.answers.learnt import fix
from pytest_recall.answers.text import head, middle
from pytest_recall.model import Transition

_MOST = 50


class HookAnswer(BaseModel):
    status: str
    hook: str
    project: str
    diff: str = ""
    kept: str = ""  # the hook as it was before
    remarks: list[str] = []


class Attached(BaseModel):
    commit: str
    message: str = ""
    test: str
    files: list[str] = []


class CommitsAnswer(BaseModel):
    attached: list[Attached] = []
    omitted: int = 0
    warnings: list[str] = []


def attached(found: Sequence[Transition], *, warnings: Sequence[str] = ()) -> CommitsAnswer:
    """The fixes that got their commit."""
    return CommitsAnswer(
        attached=[
            Attached(
                commit=one.commit[:10],
                message=head(one.message.partition("\n")[0], 100),
                test=middle(one.test, 300),
                files=fix(one, hunk=0, intents=0, files=3).files,
            )
            for one in found[:_MOST]
        ],
        omitted=max(0, len(found) - _MOST),
        warnings=[head(text, 300) for text in warnings],
    )
