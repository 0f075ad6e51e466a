"""What a caller may ask of pytest, and what the tests get to see of us."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_recall.errors import BadRequest
from pytest_recall.model import RunRequest, Target
from pytest_recall.running import command, options

TARGET = Target(root="/project", python="/project/.venv/bin/python", source=".venv")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["-x"], ["-x"]),
        (["-xvv"], ["-xvv"]),
        (["--tb", "short"], ["--tb=short"]),
        (["--tb=short"], ["--tb=short"]),
        (["-k", "a or b"], ["-ka or b"]),
        (["-ka"], ["-ka"]),
        (["-k", "tests"], ["-ktests"]),  # as a word of its own, an existing folder would move the rootdir
        (["-n", "2", "--dist", "loadfile"], ["-n2", "--dist=loadfile"]),
        (["-W", "error::DeprecationWarning"], ["-Werror::DeprecationWarning"]),
        (["--cov", "--cov=src"], ["--cov", "--cov=src"]),
        (["-p", "no:randomly"], ["-pno:randomly"]),
        (["-o", "xfail_strict=true"], ["-oxfail_strict=true"]),
        (["--cov-report=term-missing"], ["--cov-report=term-missing"]),
    ],
)
def test_allowed_options_become_one_word_each(args: list[str], words: list[str]) -> None:
    assert options.normalise(args) == words


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["-p", "evil"], "it loads code"),
        (["-pevil"], "it loads code"),
        (["-c", "other.ini"], "it loads code"),
        (["--rootdir=/"], "it moves"),
        (["--basetemp=/home"], "it deletes"),
        (["--junitxml=x.xml"], "it writes files"),
        (["--pdb"], "takes the terminal"),
        (["-s"], "always captured"),
        (["-xs"], "is not allowed"),
        (["--collect-only"], "discover_tests"),
        (["-o", "pythonpath=/evil"], "only settings that load no code"),
        (["-o", "addopts=-p evil"], "only settings that load no code"),
        (["--override-ini=log_file=x"], "only settings that load no code"),
        (["--cov-report=html:/home"], "it writes files"),
        (["--cov-report", "xml"], "it writes files"),
        (["tests"], "belong into tests"),
        (["--maxfail"], "needs a value"),
        (["-k"], "needs a value"),
        (["--last-faild"], "Nearest: --last-failed"),
        (["--"], "is not allowed"),
        (["-x=1"], "is not allowed"),
        (["--exitfirst=no"], "is not allowed"),
        (["a\0b"], "NUL"),
        ([""], "is no option"),
    ],
)
def test_refused_option_is_named_with_the_reason(args: list[str], words: str) -> None:
    with pytest.raises(BadRequest, match="args: ") as error:
        options.normalise(args)
    assert words in str(error.value)


def test_any_option_may_be_allowed() -> None:
    assert options.normalise(["-p", "mine", "--pdb"], allow_any=True) == ["-p", "mine", "--pdb"]


@given(
    st.lists(
        st.text(max_size=30) | st.sampled_from(["-k", "--tb", "-p", "-o", "--cov-report", "-n"]), max_size=5
    )
)
def test_any_words_are_options_or_nothing_but_a_refusal(args: list[str]) -> None:
    with suppress(BadRequest):
        assert all(word.startswith("-") for word in options.normalise(args))


@pytest.mark.parametrize("args", [("-x",), ("-vx",), ("--exitfirst",), ("--maxfail=2",), ("--sw",)])
def test_options_that_stop_early_are_known(args: tuple[str, ...]) -> None:
    assert options.stops_early(options.normalise(args))
    assert not options.stops_early(options.normalise(["-v", "-kx", "--tb=short"]))


@pytest.mark.parametrize(
    "request_",
    [
        {"timeout_s": 0.0},
        {"timeout_s": float("nan")},
        {"timeout_s": float("inf")},
        {"test_timeout_s": -1.0},
        {"max_failures": -1},
        {"parallel": 10_000},
        {"repeat": 0},
        {"keyword": "a\0b"},
        {"markers": "x" * 30_000},
        {"tests": ("a.py",) * 20_001},
        {"env": (("A-B", "1"),)},
        {"env": (("PATH", "/evil"),)},
        {"env": (("path", "/evil"),)},
        {"env": (("PYTHONPATH", "/evil"),)},
        {"env": (("DYLD_INSERT_LIBRARIES", "x"),)},
        {"env": (("PYTEST_ADDOPTS", "-p evil"),)},
        {"env": (("A", "a\0b"),)},
    ],
)
def test_request_out_of_bounds_is_refused(request_: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        command.check(RunRequest(**request_), Path("/project"))


def test_environment_is_the_shell_s_and_none_of_the_server_s_own() -> None:
    outside = {
        "PATH": os.pathsep.join([f"{sys.prefix}/bin", "/usr/bin"]),
        "VIRTUAL_ENV": sys.prefix,
        "PYTHONPATH": os.pathsep.join(
            [str(Path(command.__file__).parents[2]), f"{sys.prefix}/lib", "/of/the/project"]
        ),
        "PYTHONHOME": "/of/the/server",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_CURRENT_TEST": "x",
        "PYTEST_XDIST_WORKER": "gw0",
        "PYTEST_RECALL_PYTHON": "x",
        "RECALL_CONTEXT": "/of/another/session",
        "ANTHROPIC_API_KEY": "secret",
        "CHROMA_API_KEY": "secret",
        "MCP_TOKEN": "secret",
        "PYTEST_ADDOPTS": "-v",
        "DJANGO_SETTINGS_MODULE": "shop.settings",
        "GITHUB_ACTIONS": "true",
    }

    env = command.surroundings(TARGET, outside, [("EXTRA", "1")])

    assert env == {
        "PATH": "/usr/bin",
        "PYTHONPATH": "/of/the/project",
        "PYTEST_ADDOPTS": "-v",
        "DJANGO_SETTINGS_MODULE": "shop.settings",
        "GITHUB_ACTIONS": "true",
        "EXTRA": "1",
    }


def test_launch_names_every_option_in_one_word() -> None:
    request = RunRequest(keyword="a or b", markers="slow", max_failures=3, args=("--tb", "short"))

    built = command.build(
        request,
        TARGET,
        run_folder=Path("/spool/run"),
        cargo=Path("/spool/cargo"),
        environ={},
        cache_dir=Path("/store/pytest_cache"),
        workers=2,
    )

    assert built.argv == [TARGET.python, "/spool/cargo/recall_probe/guard.py", "/spool/run"]
    assert built.cfg["args"] == [
        "--color=no",
        "--show-capture=no",
        "-ocache_dir=/store/pytest_cache",
        "-ka or b",
        "-mslow",
        "--maxfail=3",
        "-n2",
        "--tb=short",
    ]
