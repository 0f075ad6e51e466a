"""The tests see what they would see under plain `python -m pytest`, and can do what they like to their process."""

import json
import os
import signal
import subprocess

import pytest

LOOK = """
    import json, os, sys, signal, faulthandler

    def test_look(request):
        config = request.config
        seen = {
            "argv": sys.argv, "path": sys.path, "environ": sorted(os.environ), "cwd": os.getcwd(),
            "main": [str(getattr(sys.modules["__main__"], name)) for name in ("__name__", "__file__", "__package__")],
            "spec": sys.modules["__main__"].__spec__.name, "stdin": sys.stdin.fileno() if False else None,
            "sigint": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
            "verbose": config.option.verbose, "root": str(config.rootdir), "faulthandler": faulthandler.is_enabled(),
            "columns": os.environ.get("COLUMNS"), "hooks": sys.dont_write_bytecode, "prefix": sys.pycache_prefix
            if hasattr(sys, "pycache_prefix") else None,
        }
        with open("seen.json", "w") as file:
            json.dump(seen, file)
    """


def heard():
    """Whatever these tests were started by (a job behind `&` passes on an ignored SIGINT): as at a terminal."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_tests_see_the_same_process_as_under_plain_pytest(probe):
    probe.write({"test_look.py": LOOK})
    args = ["-p", "no:cacheprovider", "-p", "no:randomly", "--show-capture=no", "test_look.py"]
    seen = []
    for run in (
        lambda: probe.run("test_look.py"),
        lambda: subprocess.run(
            [probe.python, "-m", "pytest", *args],
            cwd=probe.project,
            env=probe.env,
            check=True,
            capture_output=True,
            preexec_fn=heard,
        ),
    ):
        run()
        seen.append(json.loads((probe.project / "seen.json").read_text()))
    assert seen[0] == seen[1]


def test_nothing_is_left_in_the_project(probe):
    probe.write({"test_x.py": "def test_a(): pass\ndef test_b(): assert 0\n"})
    before = {path.name for path in probe.project.rglob("*")}
    probe.run(list="full", locals=True)
    assert {p.name for p in probe.project.rglob("*") if "pycache" not in str(p)} == before


def test_ignored_sigint_is_not_handed_on(probe):
    probe.write(
        {
            "test_x.py": """
            import os, signal
            def test_a():
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(10**7): pass
            """
        }
    )
    import signal

    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        launched = probe.launch()
    finally:
        signal.signal(signal.SIGINT, old)
    assert launched.end().rc == 2


def test_a_walk_up_the_stack_meets_no_frame_without_a_file(probe):
    """`inspect` looks through all modules for each such frame, and has two of them under plain pytest."""
    probe.write(
        {
            "test_walk.py": """
            import inspect
            def test_walk():
                assert [each.filename for each in inspect.stack() if each.filename.startswith("<")] == []
            """
        }
    )
    assert probe.run().verdicts() == {"test_walk": ["passed"]}


@pytest.mark.parametrize("workers", [0, 1])
def test_project_with_a_package_of_our_name_gets_its_own(probe, needs, workers):
    probe.write(
        {
            "recall_probe/__init__.py": "mine = True\n",
            "recall_probe/plugin.py": "mine = True\n",
            "conftest.py": "import recall_probe\nassert recall_probe.mine\n",
            "test_x.py": "import recall_probe.plugin\ndef test_a(): assert recall_probe.plugin.mine\n",
        }
    )
    if workers:
        needs("xdist")
    ran = probe.run(*(["-n1"] if workers else []))
    assert ran.verdicts() == {"test_a": ["passed"]}
    assert len(ran.all("finish")) == 1


NESTED = {
    "conftest.py": "pytest_plugins = 'pytester'\n",
    "test_nested.py": """
        import subprocess, sys, pytest

        def test_in_process(testdir):
            testdir.makepyfile("def test_inner_a(): assert 0")
            testdir.runpytest_inprocess().assert_outcomes(failed=1)

        def test_subprocess(testdir):
            testdir.makepyfile("def test_inner_b(): assert 0")
            testdir.runpytest_subprocess().assert_outcomes(failed=1)

        def test_main(tmp_path):
            (tmp_path / "test_inner_c.py").write_text("def test_inner_c(): assert 0")
            assert pytest.main(["-p", "no:cacheprovider", str(tmp_path)]) == 1

        def test_inherited_argv(tmp_path):
            (tmp_path / "test_inner_d.py").write_text("def test_inner_d(): assert 0")
            command = [sys.executable, "-m", "pytest", *sys.argv[1:], str(tmp_path)]
            assert subprocess.run(command).returncode == 1
        """,
}


def test_nested_pytests_are_silent(probe):
    probe.write(NESTED)
    ran = probe.run("-s")
    assert ran.verdicts() == {
        name: ["passed"]
        for name in ("test_in_process", "test_subprocess", "test_main", "test_inherited_argv")
    }
    assert "inner" not in (ran.run_dir / "events.jsonl").read_text()
    assert len(ran.all("session")) == len(ran.all("end")) == 1


def test_nested_pytest_with_our_own_option_is_silent_too(probe):
    probe.write(
        {
            "test_x.py": """
            import subprocess, sys, os
            def test_a(request, tmp_path):
                (tmp_path / "test_inner.py").write_text("def test_inner(): pass")
                args = [str(a) for a in request.config.invocation_params.args if "recall" in str(a)]
                cargo = os.environ["CARGO"]
                args = [a for pair in zip(["-p"] * 9, [a for a in args if not a.startswith("-")]) for a in pair] + [
                    a for a in args if a.startswith("--")]
                assert len(args) == 5
                env = dict(os.environ, PYTHONPATH=cargo)
                assert subprocess.run([sys.executable, "-m", "pytest", *args, str(tmp_path)], env=env).returncode == 0
            """
        }
    )
    probe.env["CARGO"] = str(probe.boot.parents[1])
    ran = probe.run()
    assert ran.verdicts() == {"test_a": ["passed"]}
    assert len(ran.all("session")) == 1


def test_warnings_as_errors_find_nothing_of_ours(probe, json_report_folder):
    probe.write(
        {"test_x.py": "def test_a(record_property): record_property('x', object())\ndef test_b(): assert 0\n"}
    )
    # pytest-asyncio's own warning about an option that is not set would be an error
    args = ["-W", "error", "-p", "no:asyncio"]
    plain = [probe.python, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", *args]
    if (
        subprocess.run(plain, cwd=probe.project, env=probe.env, check=False, capture_output=True).returncode
        != 1
    ):
        pytest.skip("this pytest warns of itself on this Python")
    ran = probe.run(*args, json_report=json_report_folder, list="full", locals=True)
    assert ran.verdicts() == {"test_a": ["passed"], "test_b": ["failed"]}
    assert (ran.all("warn"), ran.all("note"), ran.all("internalerror"), ran.rc) == ([], [], [], 1)
    assert ran.json("report.json")["summary"] == {"passed": 1, "failed": 1, "total": 2, "collected": 2}


def test_project_without_a_terminal_reporter_is_told_all_the_same(probe, json_report_folder):
    probe.write({"pytest.ini": "[pytest]\naddopts = -p no:terminal\n"})
    probe.write({"test_x.py": "def test_a(): pass\ndef test_b(): assert 0\ndef test_c(nope): pass\n"})
    ran = probe.run(json_report=json_report_folder)
    assert ran.verdicts() == {"test_a": ["passed"], "test_b": ["failed"], "test_c": ["error"]}
    assert ran.one("sessionfinish")["exit"] == ran.rc == 1


def test_hiding_options_of_the_project_hide_nothing_from_the_stream(probe):
    probe.write(
        {"pytest.ini": "[pytest]\naddopts = -q -q --tb=no --no-summary --color=yes -p no:faulthandler\n"}
    )
    if probe.run("--version").rc:
        pytest.skip("no --no-summary")
    probe.write({"test_x.py": "def test_a(): pass\ndef test_b(): assert 1 == 2\n"})
    ran = probe.run()
    assert ran.verdicts() == {"test_a": ["passed"], "test_b": ["failed"]}
    assert "assert 1 == 2" in ran.failure("test_b")["message"]


HOSTILE = {
    "patches": """
        import builtins, io, json, os, time
        def test_a():
            for module, names in ((json, ["dumps", "dump", "loads"]), (os, ["write", "getpid"]),
                                  (time, ["time", "monotonic"]), (builtins, ["open"])):
                for name in names:
                    setattr(module, name, lambda *args, **kwargs: 0)
        def test_b(): assert 0
        def test_c(): pass
        """,
    "closes": """
        import os
        kept = []
        def test_a():
            os.closerange(3, 200)
            for n in range(100):
                kept.append(os.open("mine.txt", os.O_RDWR | os.O_CREAT))
        def test_b(): assert 0
        def test_c(): pass
        """,
    "forks": """
        import os
        def test_a():
            if os.fork() == 0:
                os._exit(0)
            os.wait()
        def test_b(): assert 0
        def test_c(): pass
        """,
    "forks_into_pytest": """
        import os
        def test_a():
            pid = os.fork()
            if pid:
                os.waitpid(pid, 0)
        def test_b(): assert 0
        def test_c(): pass
        """,
    "moves": """
        import os, shutil, sys
        def test_a(tmp_path):
            (tmp_path / "gone").mkdir()
            os.chdir(str(tmp_path / "gone"))
            shutil.rmtree(str(tmp_path / "gone"))
        def test_b(): assert 0
        def test_c(): pass
        """,
    "numbers": """
        import pytest
        def test_a(): pass
        def test_b(): assert float("nan") == 1
        def test_c(record_property): record_property("x", float("nan"))
        """,
}


@pytest.mark.parametrize("deed", HOSTILE)
def test_whatever_tests_do_to_their_process_every_fact_comes(probe, deed, json_report_folder):
    probe.write({"test_x.py": HOSTILE[deed]})
    ran = probe.run(
        "-p", "no:logging", json_report=json_report_folder if deed == "forks_into_pytest" else None
    )
    assert ran.verdicts() == {"test_a": ["passed"], "test_b": ["failed"], "test_c": ["passed"]}
    assert [fact["id"][-1] for fact in ran.all("finish")] == ["a", "b", "c"]
    assert len(ran.all("end")) == 1
    if (probe.project / "mine.txt").exists():
        assert '"e":' not in (probe.project / "mine.txt").read_text()


def test_full_disk_loses_only_the_facts_that_do_not_fit(probe):
    script = """
        import os, resource, sys
        sys.path.append(sys.argv[1])
        from recall_probe.stream import Stream
        stream = Stream(sys.argv[2])
        def limit(most):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
        stream.fact("start", id="a")
        limit(os.path.getsize(sys.argv[2]) + 10)
        stream.fact("start", id="torn")
        stream.fact("start", id="lost")
        limit(resource.RLIM_INFINITY)
        stream.fact("start", id="b")
        stream.fact("sessionfinish", lost=stream.lost)
        """
    probe.write({"full.py": script})
    path = probe.folder / "events.jsonl"
    subprocess.run(
        [probe.python, "full.py", str(probe.boot.parents[1]), str(path)], cwd=probe.project, check=True
    )
    whole, torn, *later = path.read_bytes().splitlines()
    assert json.loads(whole)["id"] == "a"
    assert len(torn) == 10
    assert json.loads(later[0])["id"] == "b"
    assert json.loads(later[1])["lost"] == 2


def test_time_travel_does_not_reach_our_clock(probe):
    probe.write(
        {
            "test_x.py": """
            import time
            def test_a():
                time.time = lambda: 0.0
            def test_b(): pass
            """
        }
    )
    times = [fact["t"] for fact in probe.run().facts]
    assert times == sorted(times)
    assert times[-1] - times[0] < 60


def test_no_environment_variable_of_ours_reaches_the_tests(probe):
    probe.write({"test_x.py": "import os\ndef test_a(): print(sorted(os.environ)); assert 0\n"})
    sections = probe.run().one("phase", outcome="failed")["sections"]
    assert eval(sections["Captured stdout call"]) == sorted(
        {*probe.env, "PYTEST_CURRENT_TEST", "PYTEST_VERSION"}
    ) or (eval(sections["Captured stdout call"]) == sorted({*probe.env, "PYTEST_CURRENT_TEST"}))


def test_read_only_project_is_no_hindrance(probe):
    if os.getuid() == 0:
        pytest.skip("root writes everywhere")
    probe.write({"test_x.py": "def test_a(): pass\n"})
    probe.project.chmod(0o500)
    try:
        assert probe.run().rc == 0
    finally:
        probe.project.chmod(0o700)
