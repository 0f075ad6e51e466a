"""Our own log: rotated within its bounds, shared by processes, one line a message, no secret, and never in the way."""

import logging
import subprocess
import sys
import textwrap

import pytest

from pytest_recall import logbook

WRITER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from pytest_recall import logbook
    logbook._SIZE = 20_000
    with logbook.opened(Path(sys.argv[1]), "info") as log:
        for number in range(300):
            log.info("writer %s line %03d %s", sys.argv[2], number, "x" * 60)
""")


def lines(folder) -> list[str]:
    found = sorted((folder / "logs").glob(f"{logbook.NAME}*"), reverse=True)
    return [line for path in found for line in path.read_text("utf-8").splitlines()]


def test_several_processes_share_one_log_and_rotate_it_within_its_bounds(tmp_path):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(n)]) for n in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    files = list((tmp_path / "logs").glob(f"{logbook.NAME}*"))
    assert 2 <= len(files) <= 4
    assert all(path.stat().st_size < 25_000 for path in files)
    whole = lines(tmp_path)
    assert all(" INFO    " in line and line.endswith("x" * 60) for line in whole)  # no line is torn
    told = [line.partition("writer ")[2].split()[0:3:2] for line in whole]
    for writer in "012":  # what is kept of each is its end, in order
        numbers = [int(number) for who, number in told if who == writer]
        assert numbers == sorted(numbers)
        assert numbers[-1:] in ([299], [])  # the others may have written all that is kept


def test_what_is_written_has_no_secret_and_no_line_of_somebody_else(tmp_path):
    with logbook.opened(tmp_path, "info") as log:
        log.info(
            "run with %s",
            "token=ghp_abcdefghijklmnopqrstuvwxyz0123\n2026-01-01 00:00:00,000 ERROR   1 forged",
        )
        log.debug("not at this level")
        try:
            int("password=hunter2secret")
        except ValueError:
            log.exception("what nobody thought of")
    first, *rest = lines(tmp_path)
    assert first.endswith(r"run with token=[redacted]\n2026-01-01 00:00:00,000 ERROR   1 forged")
    assert "what nobody thought of" in rest[0]
    assert "password=[redacted]" in rest[-1]
    assert logbook.tail(tmp_path, 2).splitlines() == rest[-2:]


def test_nothing_is_made_before_the_first_line_and_a_disk_that_refuses_costs_only_lines(tmp_path, capsys):
    with logbook.opened(tmp_path, "warning") as log:
        log.info("below the level")
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "logs").write_text("a file where the folder should be")
        log.warning("nowhere to go")
    assert capsys.readouterr() == ("", "")
    assert logbook.tail(tmp_path, 5) == ""


def test_it_is_out_of_reach_of_what_libraries_do_to_logging(tmp_path, caplog):
    logging.disable(logging.NOTSET)
    with logbook.opened(tmp_path, "info") as log, caplog.at_level(logging.ERROR):
        log.info("still told")
    assert lines(tmp_path)[0].endswith("still told")
    assert caplog.records == []


@pytest.mark.parametrize("gone", ["file", "folder"])
def test_a_log_that_somebody_removed_is_begun_anew(tmp_path, gone):
    with logbook.opened(tmp_path, "info") as log:
        log.info("one")
        (tmp_path / "logs" / logbook.NAME).unlink()
        if gone == "folder":
            (tmp_path / "logs").rmdir()
        log.info("two")
    assert [line[-3:] for line in lines(tmp_path)] == ["two"]
