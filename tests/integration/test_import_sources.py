"""Files, folders, archives and stdin: what is a report is found wherever it lies, and nothing else is read far."""

import bz2
import gzip
import io
import lzma
import os
import random
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from pytest_recall.imports import sources
from pytest_recall.imports.sources import Document, Refused, Sources

XML = b"<testsuites><testsuite name='pytest'/></testsuites>"


def found(*places: object, **options) -> tuple[dict[str, bytes], dict[str, str], int]:
    """Documents by name, refusals by name, and how many files were passed over."""
    given = Sources([str(place) for place in places], **options)
    every = list(given)
    documents = {one.name: one.data for one in every if isinstance(one, Document)}
    return documents, {one.name: one.why for one in every if isinstance(one, Refused)}, given.passed_over


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(members: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_700_000_000
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_folder_is_searched_and_what_is_no_report_is_only_counted(tmp_path):
    for name, data in {
        "a/r.xml": XML,
        "a/b/odd.txt": b' {"reportFormat": "CTRF"}',
        "a/shot.png": b"\x89PNG",
        "a/coverage.xml": b"<coverage/>",
        "a/package.json": b"{}",
        ".git/r.xml": XML,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "a" / "link.xml").symlink_to(tmp_path / "a" / "r.xml")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    documents, refused, passed_over = found(tmp_path)
    assert sorted(Path(name).name for name in documents) == ["odd.txt", "r.xml"]
    assert refused == {}
    assert passed_over == 5


def test_inbox_of_another_memory_is_looked_into_and_the_own_one_is_not(tmp_path):
    capture = b'{"e":"capture","t":1.0}\n'
    for place in ("art/job1/.pytest-recall/inbox/a.jsonl", ".pytest-recall/inbox/b.jsonl"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_bytes(capture)
    for place in ("art/job1/.pytest-recall/runs/r.xml", "art/job1/.pytest-recall/broken/r.xml"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_bytes(XML)
    documents, _, passed_over = found(tmp_path, own=tmp_path / ".pytest-recall")
    assert documents == {str(tmp_path / "art/job1/.pytest-recall/inbox/a.jsonl"): capture}
    assert passed_over == 3


@pytest.mark.parametrize(
    "pack",
    [zipped, tarred, lambda m: tarred(m, "w:gz"), lambda m: tarred(m, "w:xz"), lambda m: tarred(m, "w:bz2")],
    ids=["zip", "tar", "tar.gz", "tar.xz", "tar.bz2"],
)
def test_archive_is_known_by_its_content(tmp_path, pack):
    path = tmp_path / "artefacts"
    path.write_bytes(pack({"job/junit.xml": XML, "job/log.txt": b"hello", "job/coverage.bin": b"\0" * 99}))
    documents, refused, passed_over = found(path)
    assert documents == {f"{path}!job/junit.xml": XML}
    assert refused == {}
    assert passed_over == 2


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gz", "bz2", "xz"])
def test_packed_report_is_unpacked(tmp_path, pack):
    path = tmp_path / "log.jsonl"
    path.write_bytes(pack(XML))
    assert found(path)[0] == {str(path): XML}


def test_run_of_a_store_is_named_and_its_report_is_no_run(tmp_path):
    run = tmp_path / "store" / "runs" / "01a21eb5-fdee-7fdb-90ac-cad25a55c617.run"
    run.parent.mkdir(parents=True)
    with zipfile.ZipFile(run, "w") as archive:
        for name in ("row.json", "run.json", "columns"):
            archive.writestr(name, "{}")
        archive.writestr("report.json", '{"exitcode": 0, "summary": {}, "tests": []}')
    (refused,) = list(Sources([str(tmp_path / "store")]))
    assert isinstance(refused, Refused)
    assert "pytest-recall store export" in refused.why


def test_archives_in_archives_are_opened_so_far_and_no_further(tmp_path):
    inner = zipped({"deep.xml": XML})
    path = tmp_path / "all.zip"
    path.write_bytes(zipped({"one.tgz": tarred({"two.zip": inner, "r.xml": XML}, "w:gz"), "top.xml": XML}))
    documents, refused, _ = found(path)
    assert set(documents) == {f"{path}!one.tgz!r.xml", f"{path}!top.xml"}
    assert refused == {f"{path}!one.tgz!two.zip": "is an archive inside 2 others"}


def test_members_that_lead_out_or_are_links_are_refused(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind in (
            ("../out.xml", tarfile.REGTYPE),
            ("in.xml", tarfile.SYMTYPE),
            ("/abs.xml", tarfile.REGTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("pipe")
        info.type = tarfile.FIFOTYPE
        archive.addfile(info)
    (tmp_path / "a.tar").write_bytes(buffer.getvalue())
    link = zipfile.ZipInfo("link.xml")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("C:\\windows.xml", XML)
        archive.writestr("..\\up.xml", XML)
    documents, refused, _ = found(tmp_path / "a.tar", tmp_path / "a.zip")
    assert documents == {}
    assert len(refused) == 7
    assert set(refused.values()) == {"leads out of the archive", "is a link or a device", "is a link"}


def test_bombs_are_refused_and_what_lies_beside_them_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MOST_BYTES", 16 << 20)
    path = tmp_path / "bomb.zip"
    path.write_bytes(
        zipped(
            {
                "ratio.xml": b"<testsuite>" + b" " * (8 << 20),
                "size.xml": b"<testsuite" * (2 << 20),
                "r.xml": XML,
            }
        )
    )
    documents, refused, _ = found(path)
    assert documents == {f"{path}!r.xml": XML}
    assert refused == {
        f"{path}!ratio.xml": "unpacks to more than 500 times its size",
        f"{path}!size.xml": "is larger than 16 MB",
    }
    path.write_bytes(gzip.compress(b"<testsuite>" + b" " * (8 << 20)))
    assert found(path)[1] == {str(path): "unpacks to more than 500 times its size"}


def test_files_without_number_and_bytes_without_end_are_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_MOST_FILES", 10)
    path = tmp_path / "many.zip"
    path.write_bytes(zipped({f"{number}.xml": XML for number in range(20)}))
    documents, refused, _ = found(path)
    assert len(documents) == 10
    assert refused == {str(path): "has more than 10 files; the rest was not looked at"}
    monkeypatch.setattr(sources, "_MOST_FILES", 1_000)
    monkeypatch.setattr(sources, "_MOST_TOTAL", 5 * len(XML) + path.stat().st_size)
    assert len(found(path)[0]) == 5


def torn(path: Path, data: bytes) -> dict[str, str]:
    path.write_bytes(data)
    documents, refused, _ = found(path)
    assert documents == {}
    return refused


def test_broken_archives_are_named(tmp_path):
    big = {"r.xml": XML * 500}
    path = tmp_path / "torn"
    for data in (
        zipped(big)[:-30],
        tarred(big, "w:gz")[:-20],
        tarred(big)[:800],
        lzma.compress(XML)[:-9],
        b"PK\x03\x04",
    ):
        assert "broken" in torn(path, data)[str(path)]
    data = bytearray(zipped(big))
    data[60] ^= 0xFF
    assert "is broken" in torn(path, bytes(data))[f"{path}!r.xml"]
    encrypted = bytearray(zipped({"r.xml": XML}))
    encrypted[6] |= 1
    encrypted[encrypted.rindex(b"PK\x01\x02") + 8] |= 1
    assert torn(path, bytes(encrypted)) == {f"{path}!r.xml": "is encrypted"}


def members(number: int) -> dict[str, bytes]:
    """Reports of 20 kB that cannot be packed much."""
    told = {f"{at}.xml": random.Random(at).randbytes(10_000).hex().encode() for at in range(number)}
    return {name: XML + b"<!--" + text + b"-->" for name, text in told.items()}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_torn_tar_gives_what_is_whole_and_names_the_rest(tmp_path, mode):
    path, whole = tmp_path / "torn", members(4)
    data = tarred(whole, mode)
    path.write_bytes(data[: len(data) * 6 // 10])
    documents, refused, _ = found(path)
    assert documents == {f"{path}!{name}": whole[name] for name in ("0.xml", "1.xml")}
    assert refused == {
        f"{path}!2.xml": "is broken: unexpected end of data",
        str(path): "is a broken archive: unexpected end of data",
    }
    path.write_bytes(gzip.compress(data[: len(data) * 6 // 10]))  # as somebody packs what was torn before
    assert len(found(path)[0]) == 2


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "damaged"])
def test_tar_that_ends_between_two_files_or_at_a_damaged_header_is_named(tmp_path, cut):
    path, whole = tmp_path / "torn", members(3)
    data = bytearray(tarred(whole))
    at = data.index(b"2.xml")
    data[at + 150] ^= 0xFF
    path.write_bytes(data[:at] if cut else data)
    documents, refused, _ = found(path)
    assert [name[-5:] for name in documents] == ["0.xml", "1.xml"]
    assert refused == {
        str(path): "is a broken archive: what comes after the last of these files is missing or damaged"
    }


def test_packed_report_that_was_torn_is_no_report(tmp_path):
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"e":"capture"}\n' + members(1)["0.xml"])[:-2_000])
    assert "is a broken archive" in torn(path, path.read_bytes())[str(path)]


def test_zip_with_a_wrong_sum_of_one_member_gives_the_others(tmp_path):
    path, whole = tmp_path / "torn.zip", members(3)
    data = bytearray(zipped(whole))
    data[data.rindex(b"PK\x01\x02", 0, data.rindex(b"1.xml")) + 16] ^= 0xFF
    path.write_bytes(data)
    documents, refused, _ = found(path)
    assert documents == {f"{path}!{name}": whole[name] for name in ("0.xml", "2.xml")}
    assert refused == {f"{path}!1.xml": "is broken: Bad CRC-32 for file '1.xml'"}


def test_what_was_named_and_is_no_report_is_said_so(tmp_path):
    text, empty, pipe = tmp_path / "notes.txt", tmp_path / "empty", tmp_path / "pipe"
    text.write_text("hello")
    empty.touch()
    os.mkfifo(pipe)
    _, refused, _ = found(text, empty, pipe, tmp_path / "gone", "no\0name", "/dev/zero")
    assert refused[str(text)] == "is no test report: neither XML nor JSON"
    assert refused[str(empty)] == "is empty"
    assert "Pass '-'" in refused[str(pipe)]
    assert "Pass '-'" in refused["/dev/zero"]
    assert "cannot be read" in refused[str(tmp_path / "gone")]
    assert "cannot be read" in refused["no\0name"]


@pytest.mark.parametrize(
    ("magic", "name", "command"),
    [
        ("28b52ffd", "zstd", "zstd -d FILE"),
        ("04224d18", "lz4", "lz4 -d FILE"),
        ("377abcaf271c", "7-Zip", "7z x FILE"),
        ("526172211a07", "RAR", "unrar x FILE"),
    ],
)
def test_archive_that_is_not_read_is_named_with_how_to_unpack_it(tmp_path, magic, name, command):
    packed = tmp_path / "results"
    packed.write_bytes(bytes.fromhex(magic) + bytes(100))
    _, refused, _ = found(packed)
    assert refused[str(packed)] == (
        f"is packed by {name}, which is not read here. Unpack it (`{command}`) and import what is in it"
    )
    assert found(tmp_path)[1:] == ({}, 1)  # nobody said that it is a report


def test_stdin_may_be_a_report_or_an_archive():
    assert found("-", stdin=io.BytesIO(XML))[0] == {"stdin": XML}
    assert found("-", stdin=io.BytesIO(zipped({"r.xml": XML})))[0] == {"stdin!r.xml": XML}
