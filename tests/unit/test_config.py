"""Where a setting comes from: flags, then the environment, then the project's `.env`, then its `pyproject.toml`."""

from pathlib import Path

import pytest

from pytest_recall.answers import doctor
from pytest_recall.app import Examination
from pytest_recall.config import Settings
from pytest_recall.errors import BadSetting


@pytest.fixture
def project(tmp_path) -> Path:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.pytest-recall]\ntimeout_s = 10\nkeep-runs = 50\nspace = 'ci'\nlog_level = 'error'\n"
    )
    (tmp_path / ".env").write_text(
        "PYTEST_RECALL_TIMEOUT_S=20\nPYTEST_RECALL_KEEP_DAYS=20\nPYTEST_RECALL_SPACE=agent\nSECRET=1\n"
    )
    return tmp_path


def load(project: Path, *, flags: dict | None = None, **environ: str) -> Settings:
    return Settings.load(project, flags=flags, environ=environ)


def test_each_layer_gives_way_to_the_one_before_it_and_is_named(project):
    found = load(
        project,
        flags={"timeout_s": 40.0, "python": None},
        PYTEST_RECALL_TIMEOUT_S="30",
        PYTEST_RECALL_SPACE="local",
        PYTEST_RECALL="1",  # the plugin's
    )
    values = (found.timeout_s, found.space, found.keep_days, found.keep_runs, found.log_level)
    assert values == (40.0, "local", 20, 50, "error")
    assert found.origins == {
        "timeout_s": "the command line",
        "space": "PYTEST_RECALL_SPACE in the environment",
        "keep_days": f"PYTEST_RECALL_KEEP_DAYS in {project / '.env'}",
        "keep_runs": f"{project / 'pyproject.toml'} [tool.pytest-recall]",
        "log_level": f"{project / 'pyproject.toml'} [tool.pytest-recall]",
    }


@pytest.mark.parametrize(
    ("where", "text", "says"),
    [
        (
            "pyproject.toml",
            "[tool.pytest-recall]\ntimeout = 5",
            "Unknown setting 'timeout'.*mean 'timeout_s'",
        ),
        (".env", "PYTEST_RECALL_KEEP_RUN=5", "Unknown setting 'PYTEST_RECALL_KEEP_RUN'.*mean 'keep_runs'"),
        (".env", "PYTEST_RECALL_QQQ=5", "Known: 'project'"),
        ("pyproject.toml", "[tool]\npytest-recall = 1", "must be a table"),
        ("pyproject.toml", "[tool.pytest-recall]\nkeep_runs = 1", "keep_runs.*pyproject.toml.*got 1"),
        (
            "pyproject.toml",
            "[tool.pytest-recall]\ntimeout_s = true",
            "timeout_s.*should be a number.*got True",
        ),
        (
            "pyproject.toml",
            "[tool.pytest-recall]\nkeep_days = true",
            "keep_days.*should be a number.*got True",
        ),
        (
            "pyproject.toml",
            "[tool.pytest-recall]\nSPACE = 'agent'",
            "Unknown setting 'SPACE'.*mean 'space'",
        ),
        ("pyproject.toml", "[tool.pytest_recall]\nspace = 'agent'", r"Call it \[tool.pytest-recall\]"),
        (".env", "PYTEST_RECALL_SPACE=moon", "'space' from PYTEST_RECALL_SPACE in .*env.*got 'moon'"),
        (".env", "PYTEST_RECALL_ALLOW_ROOT=/", "may not widen what the server may do"),
        ("pyproject.toml", "[tool.pytest-recall]\nallow-any-args = true", "may not widen"),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_what_was_perhaps_meant(tmp_path, where, text, says):
    (tmp_path / where).write_text(text)
    with pytest.raises(BadSetting, match=f"(?s){says}"):
        load(tmp_path)


def test_unknown_variable_is_an_error_that_names_the_nearest(tmp_path):
    with pytest.raises(BadSetting, match="'PYTEST_RECALL_STOR' in the environment; did you mean 'store'"):
        load(tmp_path, PYTEST_RECALL_STOR="x")


def test_broken_toml_and_any_encoding_are_left_to_those_whom_they_concern(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.pytest-recall\n")
    (tmp_path / ".env").write_bytes(b"NAME=caf\xe9\nPYTEST_RECALL_KEEP_DAYS=20\n")
    assert load(tmp_path).keep_days == 20
    assert load(tmp_path / "nowhere").keep_days == 365


def test_settings_of_the_nearest_folder_in_the_work_tree_hold_in_those_below_it(project):
    inner = project / "packages/shop/tests"
    inner.mkdir(parents=True)
    shop = project / "packages/shop/pyproject.toml"
    shop.write_text("[project]\nname = 'shop'\n")  # nothing of ours
    assert load(inner).origins == {}  # no work tree: whose they are nobody can tell

    (project / ".git").mkdir()
    assert load(inner).origins == load(project).origins
    shop.write_text("[tool.pytest-recall]\nkeep_runs = 70\n")
    (inner / ".env").write_text("SECRET=1\n")
    found = load(inner)
    assert (found.keep_runs, found.log_level, found.timeout_s) == (70, "info", 20)
    assert found.origins["keep_runs"] == f"{shop} [tool.pytest-recall]"
    assert found.origins["timeout_s"] == f"PYTEST_RECALL_TIMEOUT_S in {project / '.env'}"

    (project / "packages/shop/.git").write_text("gitdir: elsewhere\n")  # a submodule
    assert load(inner).timeout_s == 600
    shop.write_text("[tool.pytest-recall]\nallow-root = ['/']\n")
    with pytest.raises(BadSetting, match="sets 'allow_root': a project's own files may not widen"):
        load(inner)


def test_paths_in_a_file_above_count_from_there(tmp_path):
    inner = tmp_path / "tests"
    inner.mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".env").write_text("PYTEST_RECALL_STORE_FOLDER=data/runs\n")
    (tmp_path / "pyproject.toml").write_text("[tool.pytest-recall]\npython = '.venv'\nspace = 'ci'\n")
    found = load(inner)
    assert (found.store_folder, found.python) == (str(tmp_path / "data/runs"), str(tmp_path / ".venv"))
    assert found.space == "ci"
    (tmp_path / "pyproject.toml").write_text("[tool.pytest-recall]\npython = 'python3'\n")
    assert load(inner).python == "python3"  # one on PATH
    assert load(inner, PYTEST_RECALL_STORE_FOLDER="mine").store_folder == "mine"  # from the project, as ever


@pytest.mark.parametrize(
    ("environ", "store", "folder"),
    [
        ({"CHROMA_HTTP_URL": "http://c:8000"}, "http://c:8000", ""),
        ({"CHROMA_DB_PATH": "data/chroma"}, "embedded", "data/chroma"),
        ({"CHROMA_DB_IMPL": "persistent", "CHROMA_DB_PATH": "d"}, "embedded", "d"),
        ({"CHROMA_DB_IMPL": "persistent", "CHROMA_HTTP_URL": "http://c"}, "embedded", ""),
        ({"CHROMA_DB_IMPL": "HTTP", "CHROMA_HTTP_URL": "http://c"}, "http://c", ""),
        ({"CHROMA_DB_IMPL": "cloud"}, "cloud", ""),
        ({"CHROMA_HTTP_URL": "http://c", "PYTEST_RECALL_STORE": "http://ours"}, "http://ours", ""),
        ({"CHROMA_DB_IMPL": "duckdb", "PYTEST_RECALL_STORE": "http://ours"}, "http://ours", ""),
    ],
)
def test_names_of_chromas_own_tools_are_honoured_and_ours_go_before(tmp_path, environ, store, folder):
    here = load(tmp_path, **environ)
    assert (here.store, here.store_folder) == (store, folder)
    (tmp_path / ".env").write_text("".join(f"{name}='{text}'\n" for name, text in environ.items()))
    there = load(tmp_path)
    assert (there.store, there.store_folder) == (store, folder)


HTTP, URL = {"CHROMA_DB_IMPL": "http"}, {"CHROMA_HTTP_URL": "http://c"}


@pytest.mark.parametrize(
    ("dotenv", "environ", "store", "origin"),
    [
        (HTTP, URL, "http://c", "CHROMA_HTTP_URL in the environment"),
        (URL, HTTP, "http://c", "CHROMA_HTTP_URL in .env"),
        (URL | {"CHROMA_DB_IMPL": "persistent"}, HTTP, "http://c", "CHROMA_HTTP_URL in .env"),
        (URL | HTTP, {"CHROMA_DB_IMPL": "persistent"}, "embedded", "CHROMA_DB_IMPL in the environment"),
        (HTTP, {"PYTEST_RECALL_STORE": "cloud"}, "cloud", "PYTEST_RECALL_STORE in the environment"),
        ({"PYTEST_RECALL_STORE": "http://c"}, HTTP, "http://c", "PYTEST_RECALL_STORE in .env"),
        ({"CHROMA_DB_IMPL": "clickhouse"}, URL, "http://c", "CHROMA_HTTP_URL in the environment"),
    ],
)
def test_kind_of_store_and_its_address_may_come_from_two_places(tmp_path, dotenv, environ, store, origin):
    path = tmp_path / ".env"
    path.write_text("".join(f"{name}='{text}'\n" for name, text in dotenv.items()))
    found = load(tmp_path, **environ)
    assert (found.store, found.origins["store"]) == (store, origin.replace(".env", str(path)))
    overruled = load(tmp_path, flags={"store": "embedded"}, **environ)
    assert (overruled.store, overruled.origins["store"]) == ("embedded", "the command line")


@pytest.mark.parametrize(
    ("kind", "says"),
    [("http", "CHROMA_HTTP_URL does not say where"), ("clickhouse", "is 'clickhouse'. Valid: 'persistent'")],
)
def test_kind_of_store_that_leads_nowhere_is_said_so(tmp_path, kind, says):
    with pytest.raises(BadSetting, match=says):
        load(tmp_path, CHROMA_DB_IMPL=kind)


@pytest.mark.parametrize("said", [" HTTP://c:1/chroma ", "http://c:1/chroma"])
def test_address_is_taken_as_it_was_meant(tmp_path, said):
    assert load(tmp_path, PYTEST_RECALL_STORE=said).store == "http://c:1/chroma"


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("http://user:geheim@c:1", "user or a password.*PYTEST_RECALL_STORE_TOKEN"),
        ("https://geheim@c", "user or a password"),
        ("http://c:1/?key=geheim", "a query"),
        ("http://c:geheim", "port is no number"),
        ("http://[::1", "bracket"),
        ("http://:1", "names no server"),
    ],
)
def test_address_with_more_than_a_server_in_it_is_refused_and_not_shown(tmp_path, said, says):
    with pytest.raises(BadSetting, match=f"from PYTEST_RECALL_STORE in the environment .*{says}") as refused:
        load(tmp_path, PYTEST_RECALL_STORE=said)
    assert "geheim" not in str(refused.value)


def test_doctor_shows_each_value_and_where_it_came_from_and_no_secret(project):
    seen = Examination(
        root=project,
        settings=load(project, CHROMA_HTTP_URL="http://c", PYTEST_RECALL_STORE_TOKEN="s3cr3t"),
        target=BadSetting("none"),
        discovery=None,
        folder=project,
        backend="http",
        stored={},
        troubles=(),
        last=None,
    )
    told = {one.what: one.found for one in doctor._settings(seen)}
    rest = told.pop("settings at their default")
    assert told["setting store"] == "http://c (from CHROMA_HTTP_URL in the environment)"
    assert told["setting store_token"] == "(set) (from PYTEST_RECALL_STORE_TOKEN in the environment)"
    assert told["setting timeout_s"] == f"20.0 (from PYTEST_RECALL_TIMEOUT_S in {project / '.env'})"
    shown = {f"setting {part.partition('=')[0]}" for part in rest.split(", ")}
    assert told.keys() | shown == {f"setting {name}" for name in Settings.model_fields}
    assert "keep_mb=1000" in rest


def test_a_pyproject_of_another_make_sets_nothing(tmp_path):
    (tmp_path / "pyproject.toml").write_text("tool = 1\n")
    assert load(tmp_path).space == ""


def test_a_tilde_is_home_in_every_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "pyproject.toml").write_text("[tool.pytest-recall]\npython = '~/venv/bin/python'\n")
    found = load(tmp_path, PYTEST_RECALL_ALLOW_ROOT="~/a:/b", PYTEST_RECALL_METRICS_FILE="~/m.prom")
    assert (found.python, found.allow_root, found.metrics_file) == (
        "/home/me/venv/bin/python",
        ("/home/me/a", "/b"),
        "/home/me/m.prom",
    )
