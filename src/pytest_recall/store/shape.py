"""A frozen dataclass, or a named tuple, as plain JSON values and back: strict in reading, and derived from the type hints."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Hashable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Literal, NamedTuple, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from pytest_recall.suite import Test, Tests

T = TypeVar("T")

_WIDEST = 2**53  # beyond it an integer would not survive every reader of JSON

_Way = Callable[[Any], Any]


class Misshapen(ValueError):
    """A JSON value is not of the shape that was asked for."""


class _Shape(NamedTuple):
    dump: _Way
    load: _Way


def dump(value: object) -> Any:
    """*value*, a dataclass or a named tuple, as JSON values; fields that hold their default are left out.

    Total: a number that JSON cannot carry is written as the nearest one that it can.
    """
    return _shape(cast("Hashable", type(value))).dump(value)


def load(kind: type[T], value: object) -> T:
    """The inverse of `dump`: a *kind*. Unknown fields are skipped: a later version may write more.

    Raises `Misshapen` when anything known is missing or of another type.
    """
    return cast("T", _shape(cast("Hashable", kind)).load(value))


@cache
def _shape(hint: Any) -> _Shape:
    origin, args = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if origin in _MADE_OF:
        return _MADE_OF[origin](args)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _enum(hint)
    if isinstance(hint, type) and (is_dataclass(hint) or issubclass(hint, tuple)):
        return _record(hint)
    raise TypeError(f"No shape for {hint!r}")  # a mistake in the model, found by the first test


def _same(value: Any) -> Any:
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise Misshapen("not a text")
    return value


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise Misshapen("not a boolean")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or not -_WIDEST <= value <= _WIDEST:
        raise Misshapen("not an integer of ours")
    return value


def _number(value: Any) -> float:
    if type(value) is int and -_WIDEST <= value <= _WIDEST:
        return float(value)
    if type(value) is not float or not math.isfinite(value):
        raise Misshapen("not a finite number")
    return value


def _none(value: Any) -> None:
    if value is not None:
        raise Misshapen("not null")


def _clamped(value: int) -> int:
    return max(-_WIDEST, min(_WIDEST, value))


def _finite(value: float) -> float:
    if math.isfinite(value):
        return value
    return 0.0 if math.isnan(value) else math.copysign(float(_WIDEST), value)


_TESTS = _Shape(
    lambda tests: [dump(test) for test in tests],
    lambda value: Tests.of([load(Test, each) for each in _list(value)]),
)
_PLAIN: Mapping[Any, _Shape] = {
    Tests: _TESTS,
    str: _Shape(_same, _text),
    bool: _Shape(_same, _flag),
    int: _Shape(_clamped, _whole),
    float: _Shape(_finite, _number),
    type(None): _Shape(_same, _none),
}


def _literal(values: tuple[Any, ...]) -> _Shape:
    def read(value: Any) -> Any:
        if type(value) is not str or value not in values:
            raise Misshapen("not one of the known values")
        return value

    return _Shape(_same, read)


def _enum(kind: type[StrEnum]) -> _Shape:
    members = {member.value: member for member in kind}

    def read(value: Any) -> StrEnum:
        if type(value) is not str or value not in members:
            raise Misshapen(f"not a {kind.__name__}")
        return members[value]

    return _Shape(lambda member: member.value, read)


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise Misshapen("not a list")
    return value


def _tuple(items: tuple[Any, ...]) -> _Shape:
    if items[-1] is not Ellipsis:
        return _row(items)
    one = _shape(items[0])
    return _Shape(
        lambda values: [one.dump(value) for value in values],
        lambda value: tuple([one.load(each) for each in _list(value)]),
    )


def _row(items: tuple[Any, ...]) -> _Shape:
    shapes = tuple(_shape(item) for item in items)

    def read(value: Any) -> tuple[Any, ...]:
        if len(_list(value)) != len(shapes):
            raise Misshapen("a tuple of another length")
        return tuple([shape.load(each) for shape, each in zip(shapes, value, strict=True)])

    return _Shape(lambda values: [shape.dump(each) for shape, each in zip(shapes, values, strict=True)], read)


def _mapping(items: tuple[Any, ...]) -> _Shape:
    one = _shape(items[1])  # keys are texts, as in all JSON

    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise Misshapen("not an object")
        return {key: one.load(each) for key, each in value.items()}

    return _Shape(lambda value: {key: one.dump(each) for key, each in value.items()}, read)


def _union(options: tuple[Any, ...]) -> _Shape:
    """Null, or a number, or one of several dataclasses, which then carry their name under `is`."""
    records = {
        option.__name__: option for option in options if isinstance(option, type) and is_dataclass(option)
    }
    rest = [_shape(option) for option in options if option is not type(None) and not is_dataclass(option)]
    if len(rest) + bool(records) != 1:
        raise TypeError(f"No shape for a union of {options!r}")

    def write(value: Any) -> Any:
        if value is None or rest:
            return None if value is None else rest[0].dump(value)
        name = type(value).__name__
        return {"is": name, **_shape(records[name]).dump(value)}

    def read(value: Any) -> Any:
        if value is None and type(None) in options:
            return None
        if rest:
            return rest[0].load(value)
        if type(value) is not dict or value.get("is") not in records:
            raise Misshapen(f"none of {', '.join(records)}")
        return _shape(records[value["is"]]).load(value)

    return _Shape(write, read)


def _record(kind: type) -> _Shape:
    hints = get_type_hints(kind)
    if is_dataclass(kind):
        defaults = {part.name: part.default for part in fields(kind)}
    else:  # a named tuple
        defaults = dict.fromkeys(hints, MISSING) | getattr(kind, "_field_defaults", {})
    parts = [(name, _shape(hints[name]), default) for name, default in defaults.items()]
    required = frozenset(name for name, _, default in parts if default is MISSING)

    def write(value: Any) -> dict[str, Any]:
        found = {}
        for name, shape, default in parts:
            held = getattr(value, name)
            if held != default:
                found[name] = shape.dump(held)
        return found

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise Misshapen(f"not a {kind.__name__}")
        if not required <= value.keys():
            raise Misshapen(f"a {kind.__name__} without {', '.join(sorted(required - value.keys()))}")
        return kind(**{name: shape.load(value[name]) for name, shape, _ in parts if name in value})

    return _Shape(write, read)


_MADE_OF: Mapping[Any, Callable[[tuple[Any, ...]], _Shape]] = {
    Literal: _literal,
    tuple: _tuple,
    dict: _mapping,
    Union: _union,
    types.UnionType: _union,
}
