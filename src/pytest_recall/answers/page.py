"""Cursors: where the next page of a long answer begins, as an opaque word."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import TypeVar

from pytest_recall.errors import BadCursor, quoted

T = TypeVar("T")


def encode(kind: str, offset: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([kind, offset]).encode()).decode().rstrip("=")


def decode(cursor: str, kind: str) -> int:
    """The offset inside *cursor* ("" is 0).

    Raises:
        BadCursor: it is not one of ours, or belongs to another kind of answer.
    """
    if not cursor:
        return 0
    try:
        made_for, offset = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        made_for, offset = None, None
    if made_for != kind or not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
        raise BadCursor(
            f"Cursor {quoted(cursor)} does not belong to this answer. Pass `next_cursor` of the last answer to the "
            "same question, or '' to begin anew."
        )
    return offset


def page(items: Sequence[T], kind: str, cursor: str, limit: int) -> tuple[Sequence[T], str]:
    """The page of *items* that *cursor* names, and the cursor of the next one ("" at the end)."""
    offset = decode(cursor, kind)
    shown = items[offset : offset + limit]
    more = offset + len(shown) < len(items)
    return shown, encode(kind, offset + len(shown)) if more and shown else ""
