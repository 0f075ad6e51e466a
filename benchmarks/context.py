"""What it costs a suite that its tests tell of themselves: 500 tests with three entries each against the same without.

`python benchmarks/context.py [--work MS] [--rounds N]`, in an environment with pytest and the plugin. Prints the least CPU
of each, interleaved, and what an entry costs.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS, ENTRIES = 500, 3
SUITE = """
import time
import pytest

def work(ms):
    end = time.perf_counter() + ms / 1000
    while time.perf_counter() < end:
        pass

@pytest.mark.parametrize("number", range({tests}))
def test_it(number, recall):
    work({work})
    if {telling}:
        recall.metadata(number=number, region="eu-central")
        recall.validation("status", passed=True, expected=200, got=200)
        recall.agent_log("the model answered in one turn")
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=float, default=1.0, help="milliseconds that each test computes")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        spent = {telling: [] for telling in (False, True)}
        for telling in spent:
            project = Path(folder) / str(telling)
            project.mkdir()
            (project / "test_it.py").write_text(SUITE.format(tests=TESTS, work=options.work, telling=telling))
        for _ in range(options.rounds):
            for telling, seconds in spent.items():
                seconds.append(run(Path(folder) / str(telling)))
        without, with_ = min(spent[False]), min(spent[True])
    entry = (with_ - without) / TESTS / ENTRIES * 1e6
    print(
        f"{TESTS} tests of {options.work:g} ms: {without:.3f} s, telling {with_:.3f} s: {with_ / without - 1:+.1%}"
    )
    print(f"{entry:.1f} us an entry")


def run(project: Path) -> float:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--recall"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=project, env=environ, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
