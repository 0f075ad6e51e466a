"""A few hundred of the inputs that `benchmarks/fuzz.py` makes up by the hundred thousand."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parents[2]


def test_made_up_inputs_end_in_a_value_or_an_error_of_ours() -> None:
    words = [sys.executable, str(HERE / "benchmarks" / "fuzz.py"), "--inputs", "300"]

    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "300 inputs" in done.stdout
