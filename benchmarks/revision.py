"""How long it takes to tell which sources a run is of: `python benchmarks/revision.py [files]`, in a repository made for it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pytest_recall.running.revision import revision


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory(prefix="recall-revision-") as folder:
        root = Path(folder)
        for number in range(files):
            path = root / f"package{number // 100}" / f"module{number}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"value = {number}\n" * 20)
        own = ("-c", "user.name=a", "-c", "user.email=a@b")
        for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "all")):
            subprocess.run(["git", *own, *words], cwd=root, check=True)
        (root / "package0" / "module1.py").write_text("value = 'changed'\n")
        (root / "new.py").write_text("value = 'new'\n")
        spent = []
        for _ in range(9):
            start = time.perf_counter()
            revision(root)
            spent.append(1000 * (time.perf_counter() - start))
        print(
            f"{files:,} files, two changed: {statistics.median(spent):.0f} ms, at worst {max(spent):.0f} ms"
        )


if __name__ == "__main__":
    main()
