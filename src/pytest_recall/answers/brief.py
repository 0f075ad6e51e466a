"""Small values in few characters: an instant, a revision."""

from __future__ import annotations

from datetime import UTC, datetime

from pytest_recall.answers.text import head
from pytest_recall.model import Pipeline, Revision


def short_revision(revision: Revision) -> str:
    """`3f2a91c08b` of a clean tree, `3f2a91c08b+9d01` with uncommitted changes (the digest's first digits)."""
    if not revision.commit:
        return revision.digest[:10]
    return revision.commit[:10] + (f"+{revision.digest[:4]}" if revision.dirty else "")


def pipeline(one: Pipeline) -> str:
    """`GitHub Actions Tests/py311, run 123 of main: https://…`; what is not known is left out."""
    run = f"run {one.run}" if one.run else ""
    branch = f"of {one.branch}" if one.branch else ""
    where = " ".join(part for part in (one.provider, one.job) if part)
    told = ", ".join(part for part in (where, " ".join(part for part in (run, branch) if part)) if part)
    return head(f"{told}: {one.link}" if one.link else told, 400)


def day(instant: float) -> str:
    """An instant as UTC date and minute."""
    try:
        return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return "?"
