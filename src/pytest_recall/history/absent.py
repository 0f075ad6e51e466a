"""Hints where something is not there: a module, a fixture, a plugin; each names what brings it, and never guesses."""

from __future__ import annotations

import re
from difflib import get_close_matches
from posixpath import dirname

from pytest_recall.history import providers
from pytest_recall.history.around import Around, Hint
from pytest_recall.history.groups import Group

_MISSING = re.compile(r"No module named '([\w.]{1,200})'")
_FIXTURE = re.compile(r"fixture '(\w{1,200})' not found(?:; nearest: ([\w, ]{1,300}))?")
_SETTING = re.compile(r"Unknown (?:config option|configuration key)s?: ([\w-]{1,100})")
_PLUGIN = re.compile(r"Error importing plugin \"([\w.]{1,200})\"")
_ASYNC = ("pytest-asyncio", "anyio", "pytest-trio", "pytest-twisted", "pytest-tornasync")
_NEAR = 0.75


def module(_group: Group, around: Around, words: str) -> Hint | None:
    """A module that cannot be imported: gone from the environment, never installed, the project's own, or of an older Python."""
    found = _MISSING.search(words)
    if found is None:
        return None
    name = found[1]
    return _own(name, around) or _of_python(name, around) or _to_install(name, around)


def _own(module: str, around: Around) -> Hint | None:
    top = module.partition(".")[0]
    path = around.modules.get(top, "")
    if not path:
        return None
    if top == module:
        root = dirname(path.removesuffix("/__init__.py"))
        how = (
            f"`pythonpath = {root}` in pytest's settings" if root else "`pythonpath = .` in pytest's settings"
        )
        return Hint(
            rule="own-module",
            text=f"Make the project's own `{module}` importable: install it there (`{around.python} -m pip install -e .`) "
            f"or put {how}.",
            evidence=f"{path} is in the project",
        )
    near = get_close_matches(module, around.modules, n=1, cutoff=_NEAR)
    moved = [
        one.path
        for one in around.changes or ()
        if one.path.removesuffix(".py").endswith(module.replace(".", "/"))
    ]
    if not near and not moved:
        return None
    return Hint(
        rule="own-module",
        text=f"`{module}` is no module of the project any more"
        + (f"; the nearest is `{near[0]}` ({around.modules[near[0]]})." if near else "."),
        evidence=f"{moved[0]} was changed since it passed" if moved else f"{path} has no such module",
    )


def _of_python(module: str, around: Around) -> Hint | None:
    since = providers.removed(module)
    version = around.environment.python
    if not since or _numbers(version) < _numbers(since):
        return None
    instead = " setuptools brings one of that name." if module.startswith("distutils") else ""
    return Hint(
        rule="removed-module",
        text=f"`{module}` left the standard library with Python {since}: use what replaces it, or an older Python.{instead}",
        evidence=f"the tests ran with Python {version}",
    )


def _to_install(module: str, around: Around) -> Hint | None:
    name, evidence = _distribution(module, around)
    if not name:
        return Hint(
            rule="missing-module",
            text=f"`{module}` is not installed there, and nothing here says which distribution has it: look it up in "
            "the project's documentation before you install anything of that name.",
            evidence="not among the project's requirements, nor a well-known name",
        )
    if version := around.installed.get(providers.plain(name.partition("==")[0])):
        return Hint(
            rule="missing-module",
            text=f"{name} {version} is installed and has no `{module}`: another version of it is needed.",
            evidence=f"installed packages of Python {around.environment.python}",
        )
    return Hint(
        rule="missing-module",
        text=f"Install {name}: `{around.python} -m pip install {name}`.",
        evidence=evidence,
    )


def _distribution(module: str, around: Around) -> tuple[str, str]:
    """The distribution that has *module*, as it is to be asked for, and how we know."""
    known = providers.of_module(module)
    parts = module.split(".")
    names = {providers.plain(".".join(parts[:n])) for n in range(1, len(parts) + 1)}
    names |= {providers.plain(known)} if known else set()
    for gone in around.upgrades:
        if gone.before and not gone.after and providers.plain(gone.name) in names:
            return f"{gone.name}=={gone.before}", f"{gone.name} {gone.before} was installed in {around.since}"
    asked = next((name for name in sorted(names, key=len, reverse=True) if name in around.declared), "")
    if asked:
        name = known if providers.plain(known) == asked else asked
        return name, f"the project asks for it: {around.declared[asked]}"
    return known, f"`{parts[0]}` is the module of {known}"


def fixture(_group: Group, around: Around, words: str) -> Hint | None:
    found = _FIXTURE.search(words)
    if found is None:
        return None
    name, near = found[1], [one for one in (found[2] or "").split(", ") if one]
    plugin = providers.of_fixture(name)
    if plugin and providers.plain(plugin) not in {*around.plugins, *around.installed}:
        asked = around.declared.get(providers.plain(plugin), "")
        return Hint(
            rule="missing-plugin",
            text=f"Install {plugin}, which brings the fixture `{name}`: `{around.python} -m pip install {plugin}`.",
            evidence=f"the project asks for it: {asked}" if asked else f"{plugin} is not installed there",
        )
    if near:
        return Hint(
            rule="fixture-name",
            text=f"There is no fixture `{name}`; did you mean `{near[0]}`?",
            evidence=f"fixtures in reach with a like name: {', '.join(near[:3])}",
        )
    return Hint(
        rule="fixture-name",
        text=f"No fixture in reach of this test is like `{name}`: define it in the module or in a conftest.py above it.",
        evidence="pytest's list of the fixtures in reach",
    )


def asynchronous(_group: Group, around: Around, words: str) -> Hint | None:
    if "async def functions are not natively supported" not in words:
        return None
    have = next((name for name in _ASYNC if name in around.plugins), "")
    if have == "pytest-asyncio":
        text = "Mark the test with `@pytest.mark.asyncio`, or set `asyncio_mode = auto` in pytest's settings."
    elif have == "anyio":
        text = "Mark the test with `@pytest.mark.anyio`, or install pytest-asyncio."
    elif have:
        text = f"Mark the test as {have} asks for."
    else:
        text = f"Install pytest-asyncio: `{around.python} -m pip install pytest-asyncio`, and mark the test."
    return Hint(
        rule="async-plugin",
        text=text,
        evidence=f"{have} is loaded" if have else "no plugin for async tests is loaded",
    )


def setting(_group: Group, around: Around, words: str) -> Hint | None:
    """A setting or a module of a plugin that is not there."""
    if found := _SETTING.search(words):
        plugin = providers.of_setting(found[1])
        if plugin and providers.plain(plugin) not in around.plugins:
            return Hint(
                rule="missing-plugin",
                text=f"Install {plugin}, which knows the setting `{found[1]}`: `{around.python} -m pip install {plugin}`; "
                "or take it out of pytest's settings.",
                evidence=f"{plugin} is not loaded there",
            )
    found = _PLUGIN.search(words)
    return found and Hint(
        rule="missing-plugin",
        text=f"The plugin `{found[1]}` is asked for (`-p`, `pytest_plugins`) and cannot be imported: install what has "
        "it, or no longer ask for it.",
        evidence="pytest could not import it",
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
