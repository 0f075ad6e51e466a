"""What one answer has to do without: told with it, though the next question of the same answer found the index again."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from pytest_recall.errors import NothingToRun, UnknownRun, UnknownTest

_P = ParamSpec("_P")
_T = TypeVar("_T")

_DENIALS = (
    UnknownRun,
    UnknownTest,
    NothingToRun,
)  # what may only be unknown, where something could not be asked
_LACKS: ContextVar[dict[Path, str] | None] = ContextVar("lacks", default=None)  # by store, the first of each


def told(make: Callable[_P, Coroutine[Any, Any, _T]]) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """*make*, which makes an answer of several questions. What one within another lacks, both do.

    Where it raises that there is no such thing, it says that not everybody could be asked.
    """

    @wraps(make)
    async def made(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        mine: dict[Path, str] = {}
        outer, token = _LACKS.get(), _LACKS.set(mine)
        try:
            return await make(*args, **kwargs)
        except _DENIALS as error:
            lacked = next(iter(mine.values()), "")[:300]
            if not lacked or lacked in str(error):  # or said within already
                raise
            raise type(error)(
                f"{error} So says the journal of this machine alone; the index could not be asked: {lacked}"
            ) from error
        finally:
            _LACKS.reset(token)
            if outer is not None:
                outer.update(mine | outer)

    return made


def note(store: Path, trouble: str) -> None:
    """The store in that folder could not be asked in full, for the answer that is being made."""
    if (lacks := _LACKS.get()) is not None:
        lacks.setdefault(store, trouble)


def of(store: Path) -> str:
    """What the answer that is being made lacks of that store; "" where it has all."""
    return (_LACKS.get() or {}).get(store, "")
