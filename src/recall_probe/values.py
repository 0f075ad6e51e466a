"""Values described without running a line of the project's code: no `__repr__`, no `__str__`, no property."""

import sys

from recall_probe.stream import clean

NAMES_MOST, REPR_MOST = 20, 200
_ITEMS_MOST, _DEPTH_MOST, _BITS_MOST = 6, 3, 512

_qualname = type.__dict__["__qualname__"].__get__  # a metaclass may have its own idea of these
_module = type.__dict__["__module__"].__get__
_arguments = BaseException.args.__get__
_PLAIN = (bool, float, complex, type(None), type(Ellipsis))
# Of the standard library, and no subclass: their `__repr__` is Python's own. A `datetime` may have a zone of the project's.
_STANDARD = {
    "pathlib": ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"),
    "datetime": ("date", "datetime", "timedelta"),
    "decimal": ("Decimal",),
    "uuid": ("UUID",),
}
_HOMES = {name: module for module, names in _STANDARD.items() for name in names}
_BRACKETS = {list: "[]", tuple: "()", set: "{}", frozenset: ("frozenset({", "})")}


def type_name(kind):
    """`pkg.mod.Name` of a type, or `Name` of a builtin one."""
    module = _module(kind)
    name = _qualname(kind)
    return clean(name if module == "builtins" or type(module) is not str else module + "." + name)[:REPR_MOST]


def described(value, depth=0):
    """A bounded text for *value*: builtin scalars and containers, paths and the like as they are, exceptions with their arguments.

    All else is `<pkg.mod.Class>`.
    """
    kind = type(value)
    if kind in (str, bytes):
        text = repr(value[: REPR_MOST + 1])
    elif kind is int:
        text = repr(value) if value.bit_length() <= _BITS_MOST else "<int of %d bits>" % value.bit_length()
    elif kind in _PLAIN:
        text = repr(value)
    elif kind in _BRACKETS:
        text = _sequence(value, kind, depth)
    elif kind is dict:
        text = _mapping(value, depth)
    else:
        text = _object(value, kind, depth)
    return text if len(text) <= REPR_MOST else text[: REPR_MOST - 1] + "…"


def _object(value, kind, depth):
    if kind is type:
        return "<class %s>" % type_name(value)
    if _standard(kind) and type(getattr(value, "tzinfo", None)) in _zones():
        return repr(value)
    if issubclass(kind, BaseException):
        return type_name(kind) + _sequence(_arguments(value), tuple, depth)
    return "<%s>" % type_name(kind)


def _standard(kind):
    name = _qualname(kind)
    return name in _HOMES and getattr(sys.modules.get(_HOMES[name]), name, None) is kind


def _zones():
    return type(None), getattr(sys.modules.get("datetime"), "timezone", None)


def _sequence(value, kind, depth):
    opening, closing = _BRACKETS[kind]
    return opening + _few(value, depth, described) + closing


def _mapping(value, depth):
    def pair(item, depth):
        return described(item[0], depth) + ": " + described(item[1], depth)

    return "{" + _few(value.items(), depth, pair) + "}"


def _few(items, depth, one):
    if depth >= _DEPTH_MOST:
        return "…" if len(items) else ""
    texts = []
    for item in items:
        if len(texts) == _ITEMS_MOST:
            texts.append("… %d more" % (len(items) - _ITEMS_MOST))
            break
        texts.append(one(item, depth + 1))
    return ", ".join(texts)


def plain(value):
    """*value* as JSON has it: of subclasses what their builtin type holds, of all else the description.

    Raises where a key is no text and no number, and where a value holds itself.
    """
    kind = type(value)
    if kind in (str, int, float, bool, type(None)):
        return value
    for builtin, made in _HELD:
        if issubclass(kind, builtin):
            return made(value)
    return described(value)


def _table(value):
    return {_key(key): plain(each) for key, each in dict.items(value)}


def _key(key):
    if issubclass(type(key), str):
        return str.__str__(key)
    if type(key) not in (int, float, bool, type(None)):
        raise TypeError
    return key


_HELD = (
    (dict, _table),
    (list, lambda value: [plain(each) for each in list.__iter__(value)]),
    (tuple, lambda value: [plain(each) for each in tuple.__iter__(value)]),
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
)


def variables(names):
    """[[name, text], …] of a frame's variables, without those of Python's and pytest's own making."""
    shown = [(name, value) for name, value in names.items() if name[:1] != "@" and name[:2] != "__"]
    return [[clean(name)[:REPR_MOST], clean(described(value))] for name, value in shown[:NAMES_MOST]]
