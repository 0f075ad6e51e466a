"""Paths that hold a `[`: from pytest 7 on one begins a parameter, wherever it stands, and what is before it is looked for.

`dir[1]/test_x.py::test_a` is not found by them, or, where there is a `dir` as well, all of that is run instead. Loaded by
`-p` where such a path is asked for; each is resolved in the name of one that is there on every system, and then put back.
"""

import dataclasses
import os

import _pytest.main

_resolve = _pytest.main.resolve_collection_argument


def resolve(invocation_path, arg, *args, **kwargs):
    path, colons, names = str(arg).partition("::")
    place = os.path.abspath(os.path.join(str(invocation_path), path))
    if "[" not in path or not os.path.exists(place):
        return _resolve(invocation_path, arg, *args, **kwargs)
    known = os.sep if os.path.isdir(place) else os.devnull
    found = _resolve(invocation_path, known + colons + names, *args, **kwargs)
    if isinstance(found, tuple):  # until pytest 8.0
        return type(found[0])(place), found[1]
    return dataclasses.replace(found, path=type(found.path)(place))


_pytest.main.resolve_collection_argument = resolve
