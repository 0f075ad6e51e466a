"""Hints by what a failure says: a rule a symptom, each with what it rests on. Words of tests are only ever quoted."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from posixpath import dirname

from pytest_recall.history import providers
from pytest_recall.history.around import Around, Hint, said
from pytest_recall.history.groups import Group

_MISSING = re.compile(r"No module named '([\w.]{1,200})'")
_MISMATCH = re.compile(
    r"ImportPathMismatchError: \('([^'\n]{1,300})', '([^'\n]{1,500})', \w*\(?'([^'\n]{1,500})'"
)
_MISMATCH_TOLD = re.compile(
    r"imported module '([^'\n]{1,300})' has this __file__ attribute:\s+(\S{1,500})\s[^/\\]{0,120}\s(\S{1,500})"
)
_FIXTURE = re.compile(r"fixture '(\w{1,200})' not found(?:; nearest: ([\w, ]{1,300}))?")
_MARKER = re.compile(r"'(\w{1,200})' not found in `markers` configuration option")
_SETTING = re.compile(r"Unknown (?:config option|configuration key)s?: ([\w-]{1,100})")
_PLUGIN = re.compile(r"Error importing plugin \"([\w.]{1,200})\"")
_CIRCLE = re.compile(r"partially initialized module '([\w.]{1,200})'")
FILE = re.compile(r"No such file or directory: '([^'\n]{1,500})'")
_VARIABLE = re.compile(r"environ(?:\[|\.get\()|getenv\(")
_KEY = re.compile(r"KeyError: '(\w{1,100})'")
_NETWORK = re.compile(
    r"gaierror|Socket(?:Connect)?BlockedError|Name or service not known|Temporary failure in name resolution"
    r"|Network is unreachable|No route to host|Connection refused|ConnectionError|ConnectError|MaxRetryError"
)
_SNAPSHOT = re.compile(r"\[- snapshot\]|snapshot|regen", re.IGNORECASE)
_UPDATE = {
    "syrupy": "--snapshot-update",
    "pytest-snapshot": "--snapshot-update",
    "inline-snapshot": "--inline-snapshot=fix",
    "pytest-regressions": "--force-regen",
}
_SHARED = {
    "database is locked": "a database file",
    "Address already in use": "a port",
    "FileExistsError": "a path",
}
_ASYNC = ("pytest-asyncio", "anyio", "pytest-trio", "pytest-twisted", "pytest-tornasync")
_NEAR = 0.75

Rule = Callable[[Group, Around, str], Hint | None]


def missing_module(_group: Group, around: Around, words: str) -> Hint | None:
    """A module that cannot be imported: gone from the environment, never installed, the project's own, or of an older Python."""
    found = _MISSING.search(words)
    if found is None:
        return None
    module = found[1]
    return _own(module, around) or _of_python(module, around) or _to_install(module, around)


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


def same_basename(_group: Group, _around: Around, words: str) -> Hint | None:
    """Two test modules of one name in folders that are no packages."""
    found = _MISMATCH.search(words) or _MISMATCH_TOLD.search(words)
    if found is None:
        return None
    module, one, other = found.groups()
    name = one.replace("\\", "/").rpartition("/")[2]
    return Hint(
        rule="same-basename",
        text=f"Two test modules are called {name}: rename one, or add an __init__.py to both folders, or run with "
        "`--import-mode=importlib`.",
        evidence=f"`{module}` is {_end(one)} and {_end(other)}",
    )


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


def marker(_group: Group, _around: Around, words: str) -> Hint | None:
    found = _MARKER.search(words)
    return found and Hint(
        rule="marker",
        text=f"Register the marker `{found[1]}` under `markers` in pytest's settings, or correct its name.",
        evidence="strict markers are on",
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


def circle(_group: Group, _around: Around, words: str) -> Hint | None:
    found = _CIRCLE.search(words)
    return found and Hint(
        rule="circular-import",
        text=f"Break the circle of imports at `{found[1]}`: move the shared names to a third module, or import inside the function.",
        evidence="Python met the module while it was still being imported",
    )


def working_folder(group: Group, around: Around, words: str) -> Hint | None:
    found = FILE.search(words)
    if found is None or found[1].startswith("/"):
        return None
    place = around.places.get(found[1], "")
    if not place:
        return None
    own = dirname(group.tests[0].partition("::")[0])
    return Hint(
        rule="working-folder",
        text=f"The path depends on the folder the tests are started in: build it from `Path(__file__).parent`; the file is {place}.",
        evidence=f"'{found[1][:120]}' is relative, and tests start in the project's folder"
        + (f", not in {own}" if own else ""),
    )


def variable(group: Group, _around: Around, words: str) -> Hint | None:
    found = _KEY.search(words)
    frames = group.failure.frames if group.failure else ()
    asked = next((frame for frame in frames if _VARIABLE.search(frame.source)), None)
    if found is None or asked is None:
        return None
    return Hint(
        rule="environment-variable",
        text=f"The environment variable {found[1]} is not set: set it in the test (`monkeypatch.setenv`), or pass it "
        f"with env={{'{found[1]}': …}}.",
        evidence=f"{asked.path}:{asked.line} reads it",
    )


def time_zone(_group: Group, around: Around, words: str) -> Hint | None:
    if "ZoneInfoNotFoundError" in words and "tzdata" not in around.installed:
        return Hint(
            rule="time-zone",
            text=f"This machine knows no such time zone: `{around.python} -m pip install tzdata` brings the list.",
            evidence="tzdata is not installed there",
        )
    if "offset-naive and offset-aware" in words:
        return Hint(
            rule="time-zone",
            text="One of the two instants has a time zone and the other has none: make both aware, e.g. `datetime.now(timezone.utc)`.",
            evidence="Python's own message",
        )
    return None


def snapshot(_group: Group, around: Around, words: str) -> Hint | None:
    kept = next((name for name in _UPDATE if name in around.plugins), "")
    if not kept or "AssertionError" not in words or not _SNAPSHOT.search(words):
        return None
    return Hint(
        rule="snapshot",
        text=f"It differs from its snapshot: if the new value is meant, `{_UPDATE[kept]}` renews it; look at the difference first.",
        evidence=f"{kept} is loaded, and the failure is its comparison",
    )


def shared(_group: Group, around: Around, words: str) -> Hint | None:
    what = next((name for sign, name in _SHARED.items() if sign in words), "")
    if not what:
        return None
    workers = around.environment.workers
    return Hint(
        rule="shared-resource",
        text=f"Tests share {what}: give each its own (`tmp_path`, port 0, the name of the worker).",
        evidence=f"{workers} workers ran at once"
        if workers
        else "another test or process had it at that moment",
    )


def network(_group: Group, _around: Around, words: str) -> Hint | None:
    found = _NETWORK.search(words)
    return found and Hint(
        rule="network",
        text="The test needs the network or a server that is not there: start it, replace it in the test, or deselect such tests by a marker.",
        evidence=found[0],
    )


def encoding(_group: Group, _around: Around, words: str) -> Hint | None:
    if not re.search(r"Unicode(?:De|En)codeError: '(?:ascii|charmap|cp\d+)'", words):
        return None
    return Hint(
        rule="encoding",
        text='The text is read or written in the machine\'s own encoding: pass `encoding="utf-8"`.',
        evidence="the codec in the message is a locale's",
    )


def strict_warning(_group: Group, around: Around, words: str) -> Hint | None:
    found = re.match(r"(?:[\w.]{1,100}\.)?(\w{1,80}Warning)(?::|$)", words)
    if found is None:
        return None
    return Hint(
        rule="warning-as-error",
        text=f"A {found[1]} is made an error by `filterwarnings` or -W: mend what it warns of, or let just this one pass.",
        evidence=f"raised as an exception under Python {around.environment.python}",
    )


RULES: tuple[Rule, ...] = (
    missing_module,
    same_basename,
    fixture,
    asynchronous,
    marker,
    setting,
    circle,
    working_folder,
    variable,
    time_zone,
    snapshot,
    shared,
    network,
    encoding,
    strict_warning,
)


def read(group: Group, around: Around) -> Hint | None:
    """The hint that the failure's own words give: of the first rule that knows them."""
    words = said(group)[:4_000]
    return next((hint for rule in RULES if (hint := rule(group, around, words))), None) if words else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _end(path: str) -> str:
    """The last two folders of *path* and its name."""
    return "/".join(path.replace("\\", "/").split("/")[-3:])
