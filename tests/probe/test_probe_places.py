"""The plugin finds the project's memory where the command does, with no library to read a `.env`."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_recall.config import Settings
from recall_probe import places

TEXTS = [
    "PYTEST_RECALL_STORE_FOLDER=mem",
    "\ufeffPYTEST_RECALL_STORE_FOLDER=mem",
    "# caf\N{LATIN SMALL LETTER E WITH ACUTE}\nPYTEST_RECALL_STORE_FOLDER=mem",
    'PYTEST_RECALL_STORE_FOLDER="mem" # where',
    "PYTEST_RECALL_STORE_FOLDER='mem'\t# where",
    "PYTEST_RECALL_STORE_FOLDER=mem\t# where",
    "PYTEST_RECALL_STORE_FOLDER=me#m",
    "  export  PYTEST_RECALL_STORE_FOLDER = mem  ",
    "'PYTEST_RECALL_STORE_FOLDER'=mem",
    'PYTEST_RECALL_STORE_FOLDER="a\\"b\\nc\\\\d"',
    "PYTEST_RECALL_STORE_FOLDER='a\\'b\\nc'",
    "OTHER='two\nlines'\r\nPYTEST_RECALL_STORE_FOLDER=mem\r\n",
    "OTHER='two\nPYTEST_RECALL_STORE_FOLDER=not\n'\nPYTEST_RECALL_STORE_FOLDER=mem",
    "PYTEST_RECALL_STORE_FOLDER=one\nPYTEST_RECALL_STORE_FOLDER=two",
    "PYTEST_RECALL_STORE_FOLDER=\nCHROMA_DB_PATH=chroma",
    "CHROMA_DB_PATH=chroma\nPYTEST_RECALL_STORE_FOLDER=mem",
    "PYTEST_RECALL_STORE_FOLDER",
    "OTHER\nPYTEST_RECALL_STORE_FOLDER=mem",
    "#PYTEST_RECALL_STORE_FOLDER=mem",
    "",
]


def both(folder, data):
    (folder / ".env").write_bytes(data)
    told = Settings.load(folder, environ={}).store_folder
    return places.setting(str(folder), "store_folder"), told and os.path.join(folder, told)  # noqa: PTH118 - as it is written


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("PYTEST_RECALL_", "CHROMA_"))]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("text", TEXTS)
def test_a_dotenv_is_read_as_the_command_reads_it(text, encoding, tmp_path):
    ours, told = both(tmp_path, text.encode(encoding, "ignore"))
    assert ours == told


@pytest.mark.parametrize("where", [".env", "pyproject.toml", "environment"])
@pytest.mark.parametrize("git", [True, False])
def test_a_tilde_is_home_for_both(where, git, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    package = tmp_path / "packages" / "a"
    package.mkdir(parents=True)
    if git:
        (tmp_path / ".git").mkdir()
    folder = tmp_path if git else package
    if where == "environment":
        monkeypatch.setenv("PYTEST_RECALL_STORE_FOLDER", "~/mem")
    elif where == ".env":
        (folder / where).write_text("PYTEST_RECALL_STORE_FOLDER=~/mem")
    else:
        (folder / where).write_text("[tool.pytest-recall]\nstore_folder = '~/mem'")
    told = Settings.load(package, environ=os.environ).store_folder
    assert places.setting(str(package), "store_folder") == told == "/home/me/mem"


@pytest.mark.parametrize("git", [True, False])
@pytest.mark.parametrize(
    ("file", "text"),
    [
        (".env", "PYTEST_RECALL_STORE_FOLDER=mem"),
        ("pyproject.toml", "[tool.pytest-recall]\nstore-folder = 'mem'"),
    ],
)
def test_a_package_has_the_settings_of_the_project_around_it(file, text, git, tmp_path):
    package = tmp_path / "packages" / "a"
    package.mkdir(parents=True)
    if git:
        (tmp_path / ".git").mkdir()
    (tmp_path / file).write_text(text)
    (package / file).write_text("OTHER = 1\n")  # sets nothing of ours
    told = Settings.load(package, environ={}).store_folder
    assert places.setting(str(package), "store_folder") == told == (str(tmp_path / "mem") if git else "")


@given(st.text("= \t#'\"\\aé~/", max_size=30))
def test_any_dotenv_is_read_as_the_command_reads_it(tmp_path_factory, value):
    folder = tmp_path_factory.mktemp("any")
    ours, told = both(folder, f"PYTEST_RECALL_STORE_FOLDER={value}\nOTHER=1\n".encode())
    assert ours == told
