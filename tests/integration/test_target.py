"""Which interpreter runs a project's tests: real folders, and environments laid out as the tools lay them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pytest_recall.errors import BadRequest, NoInterpreter, UnknownTest
from pytest_recall.model import RunRequest
from pytest_recall.running import command, target


def environment(
    folder: Path, *, with_pytest: bool = True, name: str = "python", marker: str = "pyvenv.cfg"
) -> Path:
    """A folder that looks like an environment; its interpreter is this one."""
    site = folder / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin" / name).symlink_to(sys.executable)
    if marker == "pyvenv.cfg":
        base = Path(sys.base_prefix) / "bin"
        (folder / marker).write_text(f"home = {base}\ninclude-system-site-packages = false\n")
    else:
        (folder / marker).mkdir()
    if with_pytest:
        (site / "pytest").mkdir()
        (site / "pytest" / "__init__.py").touch()
    return folder


def resolved(root: Path, **environ: str) -> tuple[str, str]:
    found = target.resolve(root, environ={"PATH": os.defpath} | environ)
    return found.source, str(
        Path(found.python).relative_to(root) if Path(found.python).is_relative_to(root) else found.python
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "repository" / "project"
    folder.mkdir(parents=True)
    (tmp_path / "repository" / ".git").mkdir()
    return folder


@pytest.mark.parametrize(
    ("place", "marker", "source"),
    [
        (".venv", "pyvenv.cfg", ".venv"),
        ("venv", "pyvenv.cfg", "venv"),
        ("env", "pyvenv.cfg", "env"),
        (".pixi/envs/default", "conda-meta", ".pixi"),
        (".conda", "conda-meta", "conda prefix .conda"),
        (".tox/py311", "pyvenv.cfg", ".tox/py311"),
        (".nox/tests", "pyvenv.cfg", ".nox/tests"),
    ],
)
def test_environment_is_found_where_its_tool_puts_it(
    place: str, marker: str, source: str, root: Path
) -> None:
    environment(root / place, marker=marker)

    assert resolved(root) == (source, f"{place}/bin/python")


def test_interpreter_is_never_resolved_through_its_symlink(root: Path) -> None:
    environment(root / ".venv")

    assert Path(target.resolve(root, environ={}).python) == root / ".venv" / "bin" / "python"


def test_environment_above_serves_up_to_the_repository_s_root(root: Path) -> None:
    environment(root.parent / ".venv")
    environment(root.parent.parent / "venv")

    assert target.resolve(root, environ={}).python == str(root.parent / ".venv" / "bin" / "python")


def test_environment_above_the_repository_is_not_looked_at(root: Path) -> None:
    environment(root.parent.parent / ".venv")

    with pytest.raises(NoInterpreter, match=r"There is no \.venv"):
        target.resolve(root, environ={"PATH": "/nowhere"})


def test_environment_without_pytest_is_passed_over_and_named(root: Path) -> None:
    environment(root / ".venv", with_pytest=False)
    environment(root / "venv")

    found = target.resolve(root, environ={})

    assert [(candidate.source, candidate.verdict) for candidate in found.tried] == [
        (".venv", "has no pytest"),
        ("venv", "chosen"),
    ]


def test_broken_environment_is_passed_over_and_named(root: Path) -> None:
    environment(root / ".venv")
    (root / ".venv" / "bin" / "python").unlink()
    environment(root / "venv")

    found = target.resolve(root, environ={})

    assert (found.source, found.tried[0].verdict) == ("venv", "does not exist (broken environment)")


def test_no_pytest_anywhere_is_an_error_that_names_what_was_tried(root: Path) -> None:
    environment(root / ".venv", with_pytest=False)

    with pytest.raises(
        NoInterpreter, match=r"-m pip install pytest(.|\n)*\(\.venv\): has no pytest"
    ) as error:
        target.resolve(root, environ={"PATH": "/nowhere"})
    assert "--python" in str(error.value)


def test_uv_s_environment_comes_first(root: Path) -> None:
    environment(root / ".venv")
    environment(root / "elsewhere")

    assert resolved(root, UV_PROJECT_ENVIRONMENT="elsewhere")[0] == "UV_PROJECT_ENVIRONMENT"


def test_file_that_names_an_environment_leads_there(root: Path) -> None:
    environment(root.parent / "far")
    (root / ".venv").write_text(f"{root.parent / 'far'}\n")

    assert target.resolve(root, environ={}).python == str(root.parent / "far" / "bin" / "python")


def test_active_environment_serves_unless_it_is_the_server_s_own(root: Path) -> None:
    active = environment(root.parent.parent / "active")

    assert resolved(root, VIRTUAL_ENV=str(active))[0] == "VIRTUAL_ENV"
    assert resolved(root, CONDA_PREFIX=str(active))[0] == "CONDA_PREFIX"
    own = target.resolve(root, environ={"VIRTUAL_ENV": sys.prefix, "PATH": str(Path(sys.executable).parent)})
    assert own.source == "PATH"
    assert "this server's own" in own.warning


def test_manager_is_asked_only_where_its_marker_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = environment(root.parent.parent / "managed")
    tools = root.parent / "tools"
    tools.mkdir()
    (tools / "poetry").write_text(f"#!/bin/sh\necho {place / 'bin' / 'python'}\n")
    (tools / "poetry").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")

    with pytest.raises(NoInterpreter):
        target.resolve(root, environ={"PATH": "/nowhere"})
    (root / "poetry.lock").touch()
    found = target.resolve(root, environ={"PATH": "/nowhere"})
    assert (found.source, found.warning) == ("poetry", "")
    (place / "pyvenv.cfg").unlink()  # an interpreter of the machine's
    assert "No environment was found" in target.resolve(root, environ={"PATH": "/nowhere"}).warning


@pytest.mark.parametrize("given", [".venv", ".venv/bin/python", "{root}/.venv/bin/python"])
def test_explicit_interpreter_is_taken_as_it_is_given(given: str, root: Path) -> None:
    environment(root / ".venv", with_pytest=False)

    found = target.resolve(root, explicit=given.format(root=root), explicit_source="--python", environ={})

    assert (found.python, found.source) == (str(root / ".venv" / "bin" / "python"), "--python")


def test_explicit_interpreter_may_be_named_from_where_the_server_was_started(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = environment(root.parent / "tools" / "venv")
    monkeypatch.chdir(root.parent)

    found = target.resolve(root, explicit="tools/venv/bin/python", environ={})

    assert found.python == str(place / "bin" / "python")


def test_explicit_folder_without_an_interpreter_is_called_that(root: Path) -> None:
    with pytest.raises(NoInterpreter, match=r"--python is a folder without bin/python: '\.'"):
        target.resolve(root, explicit=".", explicit_source="--python", environ={})


def test_explicit_name_is_looked_up_on_the_path(root: Path) -> None:
    place = environment(root / "other")

    found = target.resolve(root, explicit="python", environ={"PATH": str(place / "bin")})

    assert found.python == str(place / "bin" / "python")


def test_explicit_interpreter_that_is_missing_is_an_error_not_a_guess(root: Path) -> None:
    environment(root / ".venv")

    with pytest.raises(NoInterpreter, match="--python does not exist: 'nowhere/python'"):
        target.resolve(root, explicit="nowhere/python", explicit_source="--python", environ={})


def test_project_s_environment_is_activated_for_its_tests(root: Path) -> None:
    place = environment(root / ".venv")

    env = command.surroundings(target.resolve(root, environ={}), {"PATH": "/usr/bin"})

    assert env == {"VIRTUAL_ENV": str(place), "PATH": f"{place}/bin{os.pathsep}/usr/bin"}


# --- paths in a request ---------------------------------------------------------------------


@pytest.fixture
def project(root: Path) -> Path:
    (root / "tests").mkdir()
    (root / "tests" / "test_shop.py").touch()
    return root


def selection(project: Path, *tests: str) -> list[str]:
    return command.selection(RunRequest(tests=tests), project)


def test_tests_are_handed_on_as_seen_from_the_root(project: Path) -> None:
    assert selection(project, "tests/test_shop.py::test_a[x::y]", f"{project}/tests", "tests/../tests") == [
        "tests/test_shop.py::test_a[x::y]",
        "tests",
        "tests",
    ]


def test_id_relative_to_a_rootdir_above_is_understood(project: Path) -> None:
    assert selection(project, "project/tests/test_shop.py::test_a") == ["tests/test_shop.py::test_a"]


@pytest.mark.parametrize("test", ["..", "../../repository", "tests/../..", "/etc"])
def test_path_out_of_the_project_is_refused(test: str, project: Path) -> None:
    with pytest.raises(BadRequest, match=r"leads out of the project|there is no"):
        selection(project, test)


@pytest.mark.parametrize("test", [f"{'a' * 300}/test_x.py", "tests/test_shop.py/x", f"{'a' * 300}::test_a"])
def test_path_that_no_file_system_has_is_unknown(test: str, project: Path) -> None:
    with pytest.raises(BadRequest, match="there is no"):
        selection(project, test)


def test_path_that_only_a_symlink_keeps_inside_is_refused(project: Path) -> None:
    (project / "deep" / "er").mkdir(parents=True)
    (project / "link").symlink_to("deep/er")
    (project / "x.py").touch()
    (project.parent / "x.py").touch()

    with pytest.raises(BadRequest, match="leads out of the project"):
        selection(project, "link/../../x.py")


def test_symlink_out_of_the_project_is_refused(project: Path) -> None:
    (project / "out").symlink_to("/etc")

    with pytest.raises(BadRequest, match="leads out of the project"):
        selection(project, "out/passwd")


@pytest.mark.parametrize("test", ["-x", "--pdb", "@args.txt", "", "a\0b", "x" * 200_000])
def test_what_would_not_read_as_a_path_is_refused(test: str, project: Path) -> None:
    with pytest.raises(BadRequest, match=r"^tests: "):
        selection(project, test)


def test_unknown_path_names_the_nearest(project: Path) -> None:
    with pytest.raises(UnknownTest, match=r"Nearest: 'tests/test_shop.py'\."):
        selection(project, "tests/test_shopp.py::test_a")


@pytest.fixture
def monorepo(root: Path) -> Path:
    for package in ("one", "two"):
        folder = root / "packages" / package
        (folder / "tests").mkdir(parents=True)
        (folder / "pyproject.toml").touch()
        (folder / "tests" / f"test_{package}.py").touch()
        (folder / "tests" / "test_both.py").touch()
    return root


def test_id_relative_to_a_rootdir_below_is_understood(monorepo: Path) -> None:
    assert selection(monorepo, "tests/test_two.py::test_a") == ["packages/two/tests/test_two.py::test_a"]


def test_id_that_two_roots_have_is_refused_with_both(monorepo: Path) -> None:
    with pytest.raises(
        UnknownTest, match=r"'packages/one/tests/test_both.py', 'packages/two/tests/test_both.py'"
    ):
        selection(monorepo, "tests/test_both.py::test_a")


def test_ids_whose_file_is_gone_or_in_several_roots_are_not_present(monorepo: Path) -> None:
    ids = [
        "tests/test_one.py::test_a",
        "tests/test_both.py::test_a",
        "tests/test_gone.py::test_a",
        "x" * 9_000,
    ]

    assert command.present(ids, monorepo) == ["tests/test_one.py::test_a"]


def test_manager_that_makes_environments_is_not_asked(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pdm info --python` makes a `.venv` where it finds none; `.pdm-python` says what it would."""
    tools = root.parent / "tools"
    tools.mkdir()
    (tools / "pdm").write_text(f"#!/bin/sh\ntouch {root / 'made'}\n")
    (tools / "pdm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    (root / "pdm.lock").touch()

    with pytest.raises(NoInterpreter):
        target.resolve(root, environ={"PATH": "/nowhere"})

    assert not (root / "made").exists()


def test_name_of_an_installed_package_is_one_where_the_project_has_no_such_path(root: Path) -> None:
    environment(root / ".venv")
    found = target.resolve(root, environ={})
    package = target.site_packages(found.python)[0] / "shipped"
    package.mkdir()
    (package / "__init__.py").touch()
    (root / "own").mkdir()

    def args(*tests: str) -> tuple[str, ...]:
        return command.by_module(RunRequest(tests=tests), found).args

    assert args("shipped") == args("own", "shipped.sub::test_a") == ("--pyargs",)
    assert args("own") == args("missing") == args("shipped/sub") == ()
    (root / "shipped").mkdir()
    assert args("shipped") == ()
