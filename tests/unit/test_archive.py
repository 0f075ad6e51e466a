"""An archive is bounded, the same bytes for the same texts, and has no secret in any form that a run keeps one in."""

import io
import json
import tarfile

from pytest_recall.answers import bundle
from pytest_recall.exports import archive
from pytest_recall.exports.archive import Member


def packed(*members: Member, most: int = archive.MOST) -> tuple[bytes, list[archive.Packed]]:
    out = io.BytesIO()
    listed = archive.pack(out, members, folder="run", at=1_760_000_000.5, most=most)
    return out.getvalue(), listed


def unpacked(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar.getmembers()}


def member(name: str, text: str, *, whole: bool = False) -> Member:
    return Member(name=name, text=text, what="a text", whole=whole)


def test_the_same_texts_are_the_same_bytes():
    texts = [member("a.txt", "é\udce9\x00\n"), member("b.json", "{}")]
    assert packed(*texts)[0] == packed(*texts)[0]
    assert list(unpacked(packed(*texts)[0])) == ["run/MANIFEST.json", "run/a.txt", "run/b.json"]


def test_what_is_too_large_keeps_its_ends_and_half_a_json_text_is_none():
    long = "head" + "x" * 300_000 + "tail"
    data, listed = packed(
        member("first.txt", long), member("run.json", f'"{long}"', whole=True), most=150_000
    )
    found = unpacked(data)
    assert found["run/first.txt"].startswith(b"head")
    assert found["run/first.txt"].endswith(b"tail")
    assert b"bytes left out ...]" in found["run/first.txt"]
    assert len(found["run/first.txt"]) == 150_000
    assert "run/run.json" not in found
    assert [one.left_out > 0 for one in listed] == [True, True]
    told = {one["name"]: one for one in json.loads(found["run/MANIFEST.json"])}
    assert told["run.json"]["bytes"] == 0
    assert told["run.json"]["left_out"] == len(long) + 2


def test_every_text_has_some_room_however_large_the_first_ones_are():
    data, _ = packed(member("a.txt", "x" * 2_000_000), member("b.txt", "y" * 90_000), most=1_000_000)
    assert unpacked(data)["run/b.txt"] == b"y" * 90_000
    assert sum(map(len, unpacked(data).values())) < 1_200_000


def test_secrets_are_taken_out_of_values_beside_their_names_too():
    told = {
        "locals": [["password", "'hunter2'"], ["total", "3"]],
        "token": "abcdef",
        "tests": ["t.py::test_token", "t.py::test_other"],
        "message": 'authorization: Bearer abcdefgh "quoted" ghp_abcdefghijklmnopqrstuvwxyz',
        "deep": [{"env": {"API_KEY": "xyz"}}],
        "number": 3,
    }
    text = json.dumps(bundle._clean(told))
    for secret in ("hunter2", "abcdef", "xyz", "ghp_"):
        assert secret not in text
    assert json.loads(text)["tests"] == told["tests"]
    assert json.loads(text)["locals"][1] == ["total", "3"]
