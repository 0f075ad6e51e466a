"""The stream's own promises: one whole line a fact, texts that anybody can carry, ids cut the same everywhere."""

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from recall_probe.stream import Stream, cut, node_id, seconds, tail

any_text = st.text(st.characters(exclude_categories=())) | st.text()


def lines(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_what_json_cannot_say_costs_one_fact_its_fields_and_no_more(tmp_path):
    path = tmp_path / "events.jsonl"
    stream = Stream(str(path))
    loop = {}
    loop["loop"] = loop
    for value in (object(), loop, float("nan"), {1: {2: object()}}):
        stream.fact("note", id="x", text=value)
    stream.fact("end")
    assert [fact["e"] for fact in lines(path)] == ["note"] * 4 + ["end"]
    assert all("unserializable" in fact for fact in lines(path)[:4])


def test_stream_that_cannot_be_reopened_counts_what_it_lost(tmp_path):
    import os

    folder = tmp_path / "run"
    folder.mkdir()
    stream = Stream(str(folder / "events.jsonl"))
    (folder / "events.jsonl").unlink()
    folder.rmdir()
    os.close(stream._fd)
    stream.fact("end")
    assert stream.lost == 1


def test_what_is_held_goes_out_with_the_next_line_and_is_no_childs_to_write(tmp_path):
    import os

    path = tmp_path / "events.jsonl"
    stream = Stream(str(path))
    stream.hold('{"e":"finish"}')
    child = os.fork()
    if not child:
        stream.release()
        stream.fact("end")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert path.read_bytes() == b""
    stream.fact("start")
    stream.hold('{"e":"finish"}')
    stream.release()
    stream.release()
    assert [fact["e"] for fact in lines(path)] == ["finish", "start", "finish"]


def test_two_lines_that_did_not_fit_are_counted_as_two(tmp_path):
    path = tmp_path / "events.jsonl"
    stream = Stream(str(path))
    written = stream._write
    for fits, lost in ((3, 2), (16, 3), (15, 5)):
        stream._write = lambda descriptor, data, fits=fits: written(descriptor, data[:fits])
        stream.hold('{"e":"finish"}')
        stream.line('{"e":"start"}')
        assert stream.lost == lost
    stream._write = written
    stream.fact("end")
    assert [fact for fact in path.read_bytes().splitlines() if fact.startswith(b'{"e":"end"')]


@given(any_text, st.integers(60, 300))
def test_texts_are_bounded_and_can_be_encoded(text, most):
    for shorten in (cut, tail):
        assert len(shorten(text, most).encode("utf-8")) <= 6 * most
    if len(text) <= most and text.isascii():
        assert cut(text, most) == tail(text, most) == text


@given(any_text)
def test_short_ids_stay_as_they_are(nodeid):
    assert node_id(nodeid) == nodeid


@given(st.text(st.characters(exclude_categories=()), min_size=1, max_size=20), st.integers(8001, 9000))
def test_long_ids_differ_where_their_whole_does(letter, length):
    one = (letter * length)[:length]
    assert len(node_id(one)) == 8000
    assert node_id(one) != node_id(one[:-1] + ("b" if one[-1] == "a" else "a"))
    assert node_id(one) == node_id(one)


@given(st.floats() | st.none() | st.text() | st.integers())
def test_durations_are_numbers_that_json_has(value):
    assert json.loads(json.dumps(seconds(value), allow_nan=False)) >= 0


def test_lines_come_into_their_file_and_into_no_others_whatever_is_done_to_the_descriptor(tmp_path):
    import os

    path, foreign = tmp_path / "events.jsonl", tmp_path / "mine.txt"
    stream, other = Stream(str(path)), Stream(str(path))
    foreign.write_bytes(b"x" * 10_000)

    def closed():
        os.close(stream._fd)

    def replaced(flags, place):
        descriptor = os.open(foreign, flags)
        os.lseek(descriptor, place, os.SEEK_SET)
        os.dup2(descriptor, stream._fd)
        os.close(descriptor)

    def piped():
        reading, writing = os.pipe()
        os.dup2(writing, stream._fd)
        os.close(reading)
        os.close(writing)

    deeds = [
        closed,
        lambda: replaced(os.O_RDWR, 0),
        lambda: replaced(os.O_RDONLY, 77),
        lambda: replaced(os.O_RDWR | os.O_APPEND, 10_000),
        piped,
        lambda: os.lseek(stream._fd, 5, os.SEEK_SET),
        lambda: other.fact("note", text="of another process"),
        lambda: None,
    ]
    told = 0
    for each in [deed for pair in itertools.product(deeds, deeds) for deed in pair]:
        each()
        stream.fact("end")
        stream.fact("end")
        told += 2 + (each is deeds[6])
    assert len(lines(path)) == told
    assert stream.lost == other.lost == 0
    assert foreign.read_bytes() == b"x" * 10_000
