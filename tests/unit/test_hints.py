"""Hints by what failures say and by what is known around them: each with its evidence, none on a guess."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_recall.history import hints, providers
from pytest_recall.history.around import Around, Upgrade, upgrades
from pytest_recall.history.groups import Group
from pytest_recall.model import (
    Change,
    Environment,
    Failure,
    Fingerprint,
    Frame,
    Outcome,
    Sample,
)

TEST = "tests/test_cart.py::test_total"
HERE = Environment(
    python="3.12.1", pytest="9.0", plugins=("anyio-4.9", "xdist-3.8"), packages=("PyYAML-6.0",)
)


def group(message: str, exception: str = "", *frames: Frame, tests: tuple[str, ...] = (TEST,)) -> Group:
    failure = Failure(
        phase="call",
        exception=exception or message.partition(":")[0],
        message=message,
        frames=frames,
        fingerprint=Fingerprint(group="fp1:aaaaaaaaaaaa", strict="", loose=""),
    )
    return Group(
        fingerprint="fp1:aaaaaaaaaaaa", outcome=Outcome.FAILED, phase="call", failure=failure, tests=tests
    )


def frame(path: str, source: str = "", *, project: bool = True) -> Frame:
    return Frame(path=path, line=7, source=source, project=project)


def rules(one: Group, around: Around) -> list[str]:
    return [hint.rule for hint in hints.hints(one, around)]


# Messages as pytest 6.2 to 9.2 and the plugins write them.
SAID = [
    (
        "ModuleNotFoundError: No module named 'cv2'",
        "Install opencv-python: `.venv/bin/python -m pip install opencv-python`.",
    ),
    ("ModuleNotFoundError: No module named 'google.protobuf.json_format'", "Install protobuf:"),
    ("ModuleNotFoundError: No module named 'distutils.core'", "left the standard library with Python 3.12"),
    (
        "ModuleNotFoundError: No module named 'yaml.representer2'",
        "PyYAML 6.0 is installed and has no `yaml.representer2`",
    ),
    ("ModuleNotFoundError: No module named 'requests_of_nobody'", "look it up"),
    (
        "ImportError while loading conftest '/p/conftest.py'. (ModuleNotFoundError: No module named 'dotenv')",
        "Install python-dotenv:",
    ),
    (
        (
            "import file mismatch:\nimported module 'test_a' has this __file__ attribute:\n  /p/a/test_a.py\nwhich is not the same "
            "as the test file we want to collect:\n  /p/b/test_a.py\nHINT: remove __pycache__"
        ),
        "Two test modules are called test_a.py",
    ),
    (
        "_pytest.pathlib.ImportPathMismatchError: ('test_a', '/p/a/test_a.py', PosixPath('/p/b/test_a.py'))",
        "Two test modules are called test_a.py",
    ),
    ("fixture 'order_totl' not found; nearest: order_total, order", "did you mean `order_total`?"),
    ("fixture 'mocker' not found", "Install pytest-mock, which brings the fixture `mocker`"),
    ("fixture 'zzz' not found", "define it in the module or in a conftest.py"),
    (
        "Failed: async def functions are not natively supported.\nYou need",
        "Mark the test with `@pytest.mark.anyio`",
    ),
    ("Failed: 'slwo' not found in `markers` configuration option", "Register the marker `slwo`"),
    ("Unknown config option: asyncio_mode", "Install pytest-asyncio, which knows the setting `asyncio_mode`"),
    ('Error importing plugin "shop.plugin": No module', "The plugin `shop.plugin` is asked for"),
    (
        "ImportError: cannot import name 'a' from partially initialized module 'shop.a' (most likely due to a circular import)",
        "Break the circle of imports at `shop.a`",
    ),
    ("TypeError: can't subtract offset-naive and offset-aware datetimes", "make both aware"),
    (
        "zoneinfo._common.ZoneInfoNotFoundError: 'No time zone found with key Europe/Vienna'",
        "-m pip install tzdata",
    ),
    ("sqlite3.OperationalError: database is locked", "Tests share a database file"),
    ("OSError: [Errno 98] Address already in use", "Tests share a port"),
    ("socket.gaierror: [Errno -2] Name or service not known", "needs the network"),
    ("pytest_socket.SocketBlockedError: A test tried to use socket.socket.", "needs the network"),
    ("UnicodeDecodeError: 'charmap' codec can't decode byte 0x81", 'pass `encoding="utf-8"`'),
    ("DeprecationWarning: old", "A DeprecationWarning is made an error"),
]


@pytest.mark.parametrize(("message", "told"), SAID, ids=[said[:60].replace("\n", " ") for said, _ in SAID])
def test_a_known_symptom_is_met_with_what_mends_it(message, told):
    around = Around(python=".venv/bin/python", environment=HERE)
    [hint] = hints.hints(group(message), around)
    assert told in hint.text
    assert hint.evidence


@pytest.mark.parametrize(
    "message",
    [
        "assert 1 == 2",
        "AssertionError: the snapshot is old",  # no plugin that keeps any
        "KeyError: 'id'",
        "AssertionError: assert 'ConnectionError' == 'database is locked'",
        "FileNotFoundError: [Errno 2] No such file or directory: '/tmp/x/data.json'",
        "ValueError: No module named yaml",
        "",
    ],
)
def test_what_is_not_known_is_not_guessed(message):
    assert hints.hints(group(message, "AssertionError"), Around(environment=HERE)) == ()


def test_a_module_of_the_project_is_never_looked_for_in_an_index():
    around = Around(modules={"shop": "src/shop/__init__.py", "shop.cart": "src/shop/cart.py"})
    [hint] = hints.hints(group("ModuleNotFoundError: No module named 'shop'"), around)
    assert "pip install -e ." in hint.text
    assert "`pythonpath = src`" in hint.text
    [hint] = hints.hints(group("ModuleNotFoundError: No module named 'shop.carts'"), around)
    assert "the nearest is `shop.cart` (src/shop/cart.py)" in hint.text


def test_the_name_that_the_project_asks_for_comes_before_any_other():
    declared = {"psycopg2": "dependencies in pyproject.toml"}
    [hint] = hints.hints(group("ModuleNotFoundError: No module named 'psycopg2'"), Around(declared=declared))
    assert "Install psycopg2:" in hint.text  # and not psycopg2-binary
    declared = {"our-own-thing": "requirements.txt"}
    [hint] = hints.hints(
        group("ModuleNotFoundError: No module named 'our_own_thing'"), Around(declared=declared)
    )
    assert hint.text == "Install our-own-thing: `python -m pip install our-own-thing`."
    assert hint.evidence == "the project asks for it: requirements.txt"


def test_what_was_uninstalled_is_asked_for_in_the_version_that_was_there():
    gone = Around(since="run 1", upgrades=(Upgrade(name="PyYAML", before="6.0.1", after=""),))
    first, *_ = hints.hints(group("ModuleNotFoundError: No module named 'yaml'"), gone)
    assert "Install PyYAML==6.0.1:" in first.text
    assert first.evidence == "PyYAML 6.0.1 was installed in run 1"


def test_an_upgrade_is_blamed_by_its_name_in_the_failure_or_where_no_source_has_changed():
    moved = (
        Upgrade(name="MarkupSafe", before="2.0.1", after="2.1.0"),
        Upgrade(name="six", before="1", after="2"),
    )
    around = Around(python="py", since="run 1", upgrades=moved)
    [hint] = hints.hints(
        group("ImportError: cannot import name 'soft_unicode' from 'markupsafe' (/v/markupsafe/__init__.py)"),
        around,
    )
    assert hint.text == (
        "MarkupSafe 2.0.1 → 2.1.0 since it passed: adapt to the new version, or go back (`py -m pip install MarkupSafe==2.0.1`)."
    )
    deep = group(
        "ValueError: no",
        "",
        frame("app.py"),
        frame("/v/lib/python3.12/site-packages/six/__init__.py", project=False),
    )
    assert "six 1 → 2" in hints.hints(deep, around)[0].text
    far = group("ValueError: no", "", frame("app.py"))
    assert rules(far, around) == []
    assert rules(far, replace(around, changes=())) == ["upgrade"]
    assert rules(far, replace(around, changes=(), upgrades=moved * 5)) == []  # any of ten: nobody knows


def test_environments_differ_in_python_first_and_unknown_lists_in_nothing():
    before = Environment(python="3.11.1", packages=("ruamel.yaml-0.17", "a-1"))
    after = Environment(python="3.12.0", packages=("ruamel_yaml-0.18", "b-2"))
    assert [str(one) for one in upgrades(before, after)] == [
        "Python 3.11.1 → 3.12.0",
        "a 1 → not installed",
        "b not installed → 2",
        "ruamel_yaml 0.17 → 0.18",
    ]
    assert upgrades(before, replace(after, packages=())) == (
        Upgrade(name="Python", before="3.11.1", after="3.12.0"),
    )


def test_the_culprit_is_the_change_nearest_to_the_failure():
    changes = (
        Change(path="shop/cart.py", scope="executed"),
        Change(path="shop/money.py", scope="imported"),
        Change(path="README.md", scope="other"),
    )
    [hint] = hints.hints(group("assert 1 == 2", "AssertionError"), Around(since="run 1", changes=changes))
    assert hint.text == "Look first at shop/cart.py, changed since it passed."
    assert hint.evidence == "shop/cart.py is in the traceback; 3 files changed since run 1"
    own = (Change(path="tests/test_cart.py", scope="test"), Change(path="tests/test_other.py", scope="test"))
    [hint] = hints.hints(group("assert 1 == 2", "AssertionError"), Around(since="run 1", changes=own))
    assert hint.text.startswith("Look first at tests/test_cart.py")
    far = Around(since="run 1", changes=changes[2:])
    assert rules(group("assert 1 == 2", "AssertionError"), far) == []


def streak(*minutes: float, space: str = "agent") -> tuple[Sample, ...]:
    return tuple(
        Sample(
            run=f"r{n}", at=60 * at, revision=f"d{n}", environment="e", space=space, outcome=Outcome.FAILED
        )
        for n, at in enumerate(minutes)
    )


def test_a_loop_is_four_failures_alike_over_edits_of_one_session():
    failing = group("assert 1 == 2", "AssertionError", frame("shop/cart.py"))
    looped = Around(streak=streak(0, 3, 5, 9), edited=("shop/words.py",))
    [hint] = hints.hints(failing, looped)
    assert "failed 4 times with the same fingerprint" in hint.text
    assert "no edit has reached shop/cart.py" in hint.text
    assert hint.evidence == "4 states of the sources in 9 min, which changed shop/words.py"
    [hint] = hints.hints(failing, replace(looped, edited=("shop/cart.py",)))
    assert "reached" not in hint.text
    assert rules(failing, Around(streak=streak(0, 3, 5))) == []
    assert rules(failing, Around(streak=streak(0, 3, 100, 103))) == []  # after a pause it is another session
    same = tuple(sample._replace(revision="d") for sample in streak(0, 1, 2, 3, 4))
    assert rules(failing, Around(streak=same)) == []  # repeated, not edited


def test_a_variable_that_is_not_set_is_told_by_the_line_that_reads_it():
    reads = group(
        "KeyError: 'SHOP_TOKEN'", "", frame("shop/conf.py", 'os.environ["SHOP_TOKEN"]'), frame("<frozen os>")
    )
    [hint] = hints.hints(reads, Around())
    assert "The environment variable SHOP_TOKEN is not set" in hint.text
    assert hint.evidence == "shop/conf.py:7 reads it"


def test_a_snapshot_is_renewed_by_the_option_of_the_plugin_that_keeps_it():
    kept = Around(environment=replace(HERE, plugins=("syrupy-4.9",)))
    [hint] = hints.hints(group("AssertionError: assert [+ received] == [- snapshot]"), kept)
    assert "`--snapshot-update` renews it" in hint.text


def test_hostile_words_are_quoted_within_bounds_and_in_little_time():
    for message in ("No module named '" * 100_000, "x\n" * 100_000, "'" * 50_000, "environ[" * 50_000):
        for hint in hints.hints(group(message, "ModuleNotFoundError"), Around(environment=HERE)):
            assert len(hint.text) < 1_000


def test_names_of_providers_are_compared_as_installers_do():
    assert providers.plain("Ruamel.YAML_x") == "ruamel-yaml-x"
    assert providers.of_module("google.cloud.storage.blob") == "google-cloud-storage"
    assert providers.of_module("google") == ""
    assert providers.removed("distutils.util") == "3.12"
    assert providers.removed("json") == ""


def test_every_rule_is_explained_in_the_documentation():
    root = Path(__file__).parents[2]
    sources = "".join(path.read_text("utf-8") for path in (root / "src/pytest_recall/history").glob("*.py"))
    page = (root / "docs/explanation/hints.md").read_text("utf-8")
    assert set(re.findall(r'rule="([a-z-]+)"', sources)) == set(
        re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)
    )
