"""Is a file that cannot be collected older than the change? Collect it once more, and at the base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from anyio.to_thread import run_sync

from pytest_recall.errors import RecallError, listed
from pytest_recall.history import trend
from pytest_recall.history.proof import Proof
from pytest_recall.model import Collector, Outcome, Run, Sample, Status, Target
from pytest_recall.proof.base import checked_out
from pytest_recall.proof.bench import Bench, Proven, place
from pytest_recall.running import imported, worktree
from pytest_recall.running.worktree import Refused, Worktree

MOST = 20  # files
_TOLD = frozenset({Status.PASSED, Status.COLLECTION_FAILED, Status.NO_TESTS})


async def collection(bench: Bench, run: Run) -> Proven:
    """What a second collection here and one at the base show of the files that *run* could not collect."""
    broken = {place(one.id, run): one for one in run.collectors if one.outcome.bad}
    paths = [path for path in broken if (Path(run.target.root) / path).is_file()][:MOST]
    if not paths:
        return Proven()
    root, commit = Path(run.target.root), ""
    try:
        commit = await run_sync(worktree.base, root, run.revision)
        again = await _broken(bench, run, paths, run.target, bench.space.environ)
        async with checked_out(bench, root, commit) as tree:
            there = [path for path in paths if (tree.root / path).exists()]
            base = await _at_base(bench, run, there, tree)
    except (Refused, RecallError) as error:
        at = f" {commit[:10]}" if commit else ""
        remark = (
            f"Whether {listed(paths, most=3)} can be collected at the base{at} could not be told: {error}."
        )
        return Proven(remarks=(remark,))
    proofs = {
        broken[path].id: Proof(
            again=(_sample(run, broken[path]), _sample(run, again.get(path))),
            base=(_sample(run, base.get(path))._replace(revision=""),),
            commit=commit,
            whole=not run.revision.dirty,
        )
        for path in there
    }
    new = [path for path in paths if path not in there]
    remarks = []
    if new:
        remarks.append(
            f"At the base {commit[:10]} there is no {listed(new, most=3)}: new, moved or renamed since, so nothing is compared."
        )
    if healed := [path for path in paths if path not in again]:
        remarks.append(f"{listed(healed, most=3)} could be collected the second time, on the same sources.")
    return Proven(proofs=proofs, remarks=tuple(remarks))


async def _at_base(bench: Bench, run: Run, paths: Sequence[str], tree: Worktree) -> Mapping[str, Collector]:
    if not paths:
        return {}
    target = replace(run.target, root=str(tree.root), tried=())
    environ = await run_sync(imported.imports, target, tree, bench.space.environ)
    found = await _broken(bench, run, paths, target, environ)
    if others := set(found) - set(paths):  # a package, say: then nobody looked into its files
        raise Refused(f"{listed(sorted(others), most=3)} cannot be collected there")
    return found


async def _broken(
    bench: Bench, run: Run, paths: Sequence[str], target: Target, environ: Mapping[str, str]
) -> dict[str, Collector]:
    """Those of *paths* that *target*'s pytest cannot collect. Raises Refused where that cannot be told."""
    if not bench.fits(run.duration_s):
        raise Refused("no time was left")
    found = await bench.discover(run, paths, target=target, environ=environ)
    if found.status not in _TOLD:
        raise Refused(f"the collection came to no end ({found.status.value})")
    return {place(one.id, found): one for one in found.collectors if one.outcome.bad}


def _sample(run: Run, broken: Collector | None) -> Sample:
    row = trend.row(run)
    return Sample(
        run=run.id,
        at=run.started_at,
        revision=row.revision.digest,
        environment=row.environment,
        space=run.space,
        outcome=broken.outcome if broken else Outcome.PASSED,
        group=broken.failure.fingerprint.group if broken and broken.failure else "",
    )
