"""Small values in few characters: an instant, a revision."""

from __future__ import annotations

from datetime import UTC, datetime

from pytest_recall.model import Revision


def short_revision(revision: Revision) -> str:
    """`3f2a91c08b` of a clean tree, `3f2a91c08b+9d01` with uncommitted changes (the digest's first digits)."""
    if not revision.commit:
        return revision.digest[:10]
    return revision.commit[:10] + (f"+{revision.digest[:4]}" if revision.dirty else "")


def day(instant: float) -> str:
    """An instant as UTC date and minute."""
    try:
        return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return "?"
