"""Broken, huge and hostile reports: any bytes give runs that can be kept, or an error that says what is wrong."""

import json
import re
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_recall.errors import Unimportable
from pytest_recall.imports import formats
from pytest_recall.imports.places import Places
from pytest_recall.imports.report import Origin
from pytest_recall.imports.traces import read as read_trace
from pytest_recall.model import Run
from pytest_recall.store import codec, shape

NOWHERE = Path("/nowhere/at/all")
RECORDED = sorted((Path(__file__).parents[1] / "recorded").glob("rerunfailures.*"))
PLACES = Places(NOWHERE)


def read(data: bytes) -> formats.Found:
    return formats.read(data, Origin(root=NOWHERE), at=1.7e9, places=PLACES, load=shape.load)


def kept(run: Run) -> Run:
    """*run* as the journal gives it back."""
    packed = codec.pack(run)
    return codec.unpack(packed, lambda _: packed.listed)


BOMB = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
LONG = "<!ATTLIST testcase a CDATA '" + "x" * 10_000 + "'>"
JUNIT = "<testsuites><testsuite name='pytest'>%s</testsuite></testsuites>"
REPORT = '{"created": 1.7e9, "exitcode": 0, "root": "/x", "summary": {}, "tests": [%s]}'


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (f'<!DOCTYPE t [<!ENTITY l0 "ha">{BOMB}]><testsuites>&l9;</testsuites>', "DTD or entities"),
        (
            '<!DOCTYPE t [<!ENTITY x SYSTEM "file:///etc/passwd">]><testsuites>&x;</testsuites>',
            "DTD or entities",
        ),
        (f"<!DOCTYPE t [{LONG}]><testsuites/>", "DTD or entities"),
        ("<testsuites>&undefined;</testsuites>", "undefined entity"),
        ("<testsuites><testsuite>", "No XML: no element found"),
        ("<testsuites></testsuite>", "mismatched tag"),
        ("<" + "a" * 50, "No XML"),
        ("<a>" * 100_000, "64 deep"),
        ("<a>" * 5_000_000, "too many elements"),
        ("<testsuites " + " ".join(f"a{n}=''" for n in range(300)) + "/>", "too many elements or attributes"),
        ('<?xml version="1.0" encoding="no-such"?><testsuites/>', "No XML: unknown encoding"),
        ('<?xml version="1.0" encoding="utf-8"?><testsuites name="\udc80"/>', "not well-formed"),
        ("[" * 100_000, "neither XML nor JSON"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"a": [' + "[]," * 7_000_000, "more than 6,000,000 values"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": -Infinity}', "Infinity is no number"),
        ('{"a": 1e999}', "no finite number"),
        ('{"a": ' + "1" * 5_000 + "}", "No JSON"),
        ('{"a": "\udc80"}', "No JSON"),
        ('{"a": 1', "No JSON"),
        ("", "neither XML nor JSON"),
        ("\0\0\0\0", "neither XML nor JSON"),
        (REPORT % "3", "test 0 is no object"),
        (REPORT % "{}", "test 0 has no 'nodeid'"),
        (REPORT % '{"nodeid": 7}', "'nodeid' of test 0 is 7, and no text"),
        (REPORT % '{"nodeid": "a", "outcome": []}', "'outcome' of test 0 is [], and no text"),
        (
            REPORT % '{"nodeid": "a", "outcome": "passed", "call": "yes"}',
            "'call' of test 0 is 'yes', and no object",
        ),
        (REPORT.replace("0,", '"0",', 1) % "", "'exitcode' of the report is '0', and no whole number"),
        ('{"results": {"tool": {}, "tests": [{"name": "a"}]}}', "test 0 has no 'status'"),
        (
            '{"results": {"tool": {}, "tests": [{"name": "a", "status": 3}]}}',
            "'status' of test 0 is 3, and no text",
        ),
        ('{"$report_type": "TestReport", "nodeid": "a"}\n{}', "Line 2 has no|line 1 has no 'when'"),
        ('{"kind": "run", "version": 9}', "version 9 of these lines"),
        ('{"kind": "run", "version": 1, "tests": 0, "run": {}}', "a Run without"),
        ('{"kind": "test"}', "No whole run in it"),
        (
            '{"created": 1, "exitcode": 0, "root": "", "summary": {"total": 9}}',
            "without --json-report-summary",
        ),
    ],
)
def test_hostile_report_is_refused_with_the_reason(data, why):
    with pytest.raises(Unimportable) as error:
        read(data.encode("utf-8", "surrogateescape"))
    assert re.search(why if "|" in why else re.escape(why), str(error.value)), str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("depth", [10, 60])
def test_refusing_a_bomb_costs_no_memory(depth):
    bombs = [
        ("<a>" * depth + "x" * 1_000_000).encode(),
        f'<!DOCTYPE t [<!ENTITY l0 "ha">{BOMB}]><t>&l9;</t>'.encode(),
        b'{"a":' * 1_000_000,
    ]
    tracemalloc.start()
    for bomb in bombs:
        with pytest.raises(Unimportable):
            read(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60 << 20


def test_names_of_countless_parts_cost_no_time():
    rows = "".join(f'<testcase classname="{"a." * 5_000}{number}" name="x"/>' for number in range(500))
    [run] = read((JUNIT % rows).encode()).runs
    assert len(run.tests) == 500
    assert max(len(test.id) for test in run.tests) == 8_000


def test_ids_and_texts_of_any_length_and_any_characters_are_bounded():
    long = "x" * 100_000
    name = json.dumps("a.py::\ud800" + long)
    text = json.dumps("E   " + "boom\ud800 " * 50_000)
    stage = f'{{"outcome": "failed", "longrepr": {text}, "stdout": {text}, "duration": -1}}'
    [run] = read((REPORT % f'{{"nodeid": {name}, "outcome": "failed", "call": {stage}}}').encode()).runs
    [test] = run.tests
    assert len(test.id) == 8_000
    [failure] = test.failures
    assert len(failure.text) <= 20_100
    assert len(failure.message) <= 20_100
    assert len(failure.captured[0][1]) <= 8_100
    assert kept(run) == run


def test_failures_of_a_whole_report_are_bounded_together():
    stage = '{"outcome": "failed", "longrepr": "%s"}' % ("boom\\n" + f"{'boom ' * 100}\\n" * 40)
    tests = ",".join(
        f'{{"nodeid": "a.py::t{n}", "outcome": "failed", "call": {stage}}}' for n in range(2_000)
    )
    [run] = read((REPORT % tests).encode()).runs
    weight = sum(len(f.text) + len(f.message) for test in run.tests for f in test.failures)
    assert weight < 32 << 20


@pytest.mark.parametrize(
    "line", ["a:1: " * 20_000, "  File " * 20_000, "x" * 200_000, ":" * 200_000, "> " * 100_000]
)
def test_no_text_makes_reading_a_trace_slow(line):
    text = "\n".join([line[:2_000]] * 200 + [line])
    assert len(read_trace(text).places) <= 40


SETTINGS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def survives(data: bytes) -> None:
    try:
        found = read(data)
    except Unimportable as error:
        assert str(error)  # noqa: PT017 - either of the two is right
        return
    for run in found.runs:
        assert kept(run).id == run.id
        assert run.status.value != "running"


@SETTINGS
@given(st.sampled_from(RECORDED), st.data())
def test_damaged_report_gives_a_run_or_an_error(path, data):
    whole = path.read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    size = data.draw(st.integers(0, 60))
    middle = data.draw(
        st.binary(max_size=40) | st.sampled_from([b"null", b"1e400", b"[]", b"<", b'"', b"-1", b"{}"])
    )
    survives(whole[:start] + middle + whole[start + size :])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def paths_in(value, at=()):
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield from paths_in(each, (*at, key))


def put(value, path, new):
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


@SETTINGS
@given(st.sampled_from([path for path in RECORDED if path.suffix == ".json"]), st.data())
def test_report_with_values_of_wrong_types_gives_a_run_or_an_error(path, data):
    value = json.loads(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        spots = [spot for spot in paths_in(value) if spot]
        put(value, data.draw(st.sampled_from(spots)), data.draw(JSON))
    survives(json.dumps(value).encode())


@SETTINGS
@given(st.data())
def test_log_with_values_of_wrong_types_gives_a_run_or_an_error(data):
    [path] = [path for path in RECORDED if path.suffix == ".jsonl"]
    facts = [json.loads(line) for line in path.read_bytes().splitlines()]
    for _ in range(data.draw(st.integers(1, 3))):
        fact = data.draw(st.sampled_from(facts))
        put(fact, data.draw(st.sampled_from([spot for spot in paths_in(fact) if spot])), data.draw(JSON))
    survives(b"\n".join(json.dumps(fact).encode() for fact in facts))


@SETTINGS
@given(st.text(max_size=300) | st.text(alphabet="ab.py:123 >E_\n/", max_size=300))
def test_any_text_is_read_as_a_trace(text):
    found = read_trace(text)
    assert all(place.line >= 0 for place in found.places)


@SETTINGS
@given(
    st.binary(max_size=200)
    | st.sampled_from([b"<", b"{"]).flatmap(lambda b: st.binary(max_size=100).map(b.__add__))
)
def test_any_bytes_give_a_run_or_an_error(data):
    survives(data)
