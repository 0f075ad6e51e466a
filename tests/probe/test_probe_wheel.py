"""The probe as a wheel of its own: pytest knows it, and a plain run is as it was."""

import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[2] / "plugin"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatchling", reason="the wheel is built with hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys, hatchling.build as b; print(b.build_wheel(sys.argv[1]))"
    subprocess.run(
        [sys.executable, "-c", build, str(folder)], cwd=PLUGIN, check=True, stdout=subprocess.DEVNULL
    )
    (built,) = folder.glob("pytest_recall_plugin-*.whl")
    return built


@pytest.fixture
def installed(probe, wheel):
    """A target in whose path the wheel lies, as an installer leaves it."""
    site = probe.folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    probe.env["PYTHONPATH"] = str(site)
    probe.write({"test_x.py": "def test_a(): pass\ndef test_b(): assert 0\n"})
    return probe


def plain(probe, *args):
    command = [probe.python, "-m", "pytest", "-p", "no:cacheprovider", *args]
    return subprocess.run(
        command, cwd=probe.project, env=probe.env, check=False, capture_output=True, text=True
    ).stdout


def test_wheel_holds_the_probe_and_needs_pytest_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if "dist-info" not in name]
        info = message_from_string(
            archive.read(next(n for n in archive.namelist() if n.endswith("METADATA"))).decode()
        )
    sources = {path.name for path in (PLUGIN.parent / "src" / "recall_probe").glob("*.py")}
    assert set(names) == {f"recall_probe/{name}" for name in sources}
    assert info.get_all("Requires-Dist") == ["pytest>=6.2"]
    assert info["Requires-Python"] == ">=3.7"


def test_pytest_lists_the_plugin_and_runs_as_before(installed):
    before = {path.name for path in installed.project.rglob("*")}
    output = plain(installed)
    assert "recall-" in next(line for line in output.splitlines() if line.startswith("plugins:"))
    assert "1 failed, 1 passed" in output
    assert "--recall-run-dir" not in plain(installed, "--help")
    after = {path.name for path in installed.project.rglob("*") if "pycache" not in str(path)}
    assert after == before


def test_probe_and_plugin_do_not_get_into_each_others_way(installed, needs):
    ran = installed.run()
    assert ran.verdicts() == {"test_a": ["passed"], "test_b": ["failed"]}
    assert len(ran.all("session")) == 1
    needs("xdist")
    assert installed.run("-n1").verdicts() == {"test_a": ["passed"], "test_b": ["failed"]}


def test_neither_of_them_warns_of_the_other(installed):
    # Without an assert: pytest 6.2 warns of itself where it rewrites one on Python 3.12.
    ini = {"pytest.ini": "[pytest]\nfilterwarnings = error\n"}
    installed.write({"test_x.py": "def test_a(): pass\ndef test_b(): 1 / 0\n", **ini})
    ran = installed.run("-p", "no:asyncio")  # it warns of itself on some versions
    assert ran.verdicts() == {"test_a": ["passed"], "test_b": ["failed"]}
    assert "1 failed, 1 passed" in plain(installed, "-p", "no:asyncio", "--recall")
