"""What was learnt, as answers show it: how a failure was mended before, in whose words, and what was said of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from pytest_recall.answers.brief import day, short_revision
from pytest_recall.answers.text import clean, head, middle
from pytest_recall.model import Note, Transition

if TYPE_CHECKING:
    from pytest_recall.history.around import Hint

# Every session pays for what a schema says: these speak for themselves.


class Fix(BaseModel):
    at: str = ""
    revision: str = ""
    commit_message: str = ""
    state: str = ""
    grade: Annotated[str, Field(description="A proven … C correlation")] = ""
    weakened: Annotated[list[str], Field(description="why it is no fix")] = []
    files: list[str] = []
    hunk: str = ""
    intents: list[str] = []


class NoteAnswer(BaseModel):
    id: str
    about: str
    kind: str
    text: str = ""  # without secrets
    worked: bool | None = None


def fix(transition: Transition, *, hunk: int, intents: int, files: int) -> Fix:
    """*transition* with at most so many characters of its nearest hunk, so many intents and files."""
    hunks = next((change.hunks for change in transition.changes if change.hunks), "")
    said = transition.intents[-intents:] if intents else ()
    return Fix(
        at=day(transition.at),
        revision=transition.commit[:10] or short_revision(transition.green),
        commit_message=head(transition.message, 200),
        state=transition.state,
        grade=transition.grade,
        weakened=[head(reason, 120) for reason in transition.weakened[:3]],
        files=[middle(change.path, 120) for change in transition.changes[:files]],
        hunk=head(_telling(hunks, hunk), hunk) if hunk else "",
        intents=[head(intent, 200) for intent in said],
    )


def _telling(hunks: str, most: int) -> str:
    """*hunks* whole where they fit, else without the lines that stayed."""
    if len(hunks) <= most:
        return hunks
    return "\n".join(line for line in hunks.splitlines() if line[:1] in {"+", "-"})


def notes(kept: Iterable[Note], *, number: int, most: int) -> list[str]:
    """The first *number* notes, each in one line of at most *most* characters and who said it when."""
    found = []
    for note in list(kept)[:number]:
        worked = {True: " (worked)", False: " (did not work)", None: ""}[note.worked]
        who = ", ".join(part for part in (day(note.at), head(note.author, 40)) if part)
        found.append(f"{note.kind}{worked}, {who}: {head(note.text, most)}")
    return found


def hints(given: Iterable[Hint], *, most: int) -> list[str]:
    """Each hint in one line of at most *most* characters: what to do, what that rests on, how it worked before."""
    worked = {True: " It worked before.", False: " It was tried in vain.", None: ""}
    return [head(f"{one.text} ({one.evidence}){worked[one.worked]}", most) for one in given]


def noted(note: Note) -> NoteAnswer:
    return NoteAnswer(
        id=note.id,
        about=middle(clean(note.about), 300),
        kind=note.kind,
        text=head(note.text, 300),
        worked=note.worked,
    )
