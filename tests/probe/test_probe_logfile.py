"""pytest's log of each process is written down, bounded, whatever tests do to files; a project's own log file stays its own."""


def log(done, name="main"):
    path = done.run_dir / (f"log-{name}.txt")
    return path.read_text("utf-8") if path.exists() else ""


def test_what_is_logged_is_there_with_its_level_and_place(probe):
    probe.write(
        {
            "test_x.py": """
        import logging
        def test_a():
            logging.getLogger("shop").warning("low on %s", "hats")
            logging.getLogger("shop").info("below the root's level")
    """
        }
    )
    done = probe.run()
    assert done.rc == 0, done.output
    assert log(done).split() == ["WARNING", "shop:test_x.py:4", "low", "on", "hats"]


def test_a_log_without_end_is_cut_and_says_so(probe):
    probe.write(
        {
            "test_x.py": """
        import logging
        def test_a():
            for _ in range(400):
                logging.warning("x" * 2000)
    """
        }
    )
    done = probe.run()
    assert done.rc == 0, done.output
    assert len(log(done)) < 300_000
    assert log(done).endswith("[... the rest of the log is left out ...]\n")


def test_neither_a_closed_descriptor_nor_a_patched_open_loses_the_log(probe):
    probe.write(
        {
            "test_x.py": """
        import builtins, io, logging, os
        def test_patches(monkeypatch):
            monkeypatch.setattr(os, "write", lambda *_: 1 / 0)
            logging.warning("with write patched")
        def test_closes(tmp_path):
            os.closerange(3, 256)
            with io.open(str(tmp_path / "theirs"), "w") as file:
                logging.warning("after all were closed")
                file.write("theirs")
            assert (tmp_path / "theirs").read_text() == "theirs"
    """
        }
    )
    done = probe.run()
    assert "after all were closed" in log(done)
    assert "with write patched" in log(done)


def test_a_log_file_of_the_project_is_its_own(probe):
    probe.write({"test_x.py": "import logging\ndef test_a(): logging.warning('mine')\n"})
    done = probe.run("--log-file=own.log")
    assert done.rc == 0, done.output
    assert log(done) == ""
