"""Inputs that hypothesis makes up, to everything that reads what tests or agents may write.

python benchmarks/fuzz.py [--inputs 100000] [--seed N]

Half go to the fact stream (decoder, ledger, verdict), a fifth to the readers of reports (JSON report, JUnit and the
other formats, captured sessions), a quarter to requests (ids, paths, options, variables), and the rest to the tools
of a real server. Each must end in a value or an error of ours, within twenty seconds, whatever else the machine does;
all together may take 200 MB.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from mcp import Client, MCPError

from pytest_recall import server
from pytest_recall.app import App
from pytest_recall.errors import RecallError, UnreadableRun
from pytest_recall.imports import formats
from pytest_recall.imports.places import Places
from pytest_recall.imports.report import Origin as ImportOrigin
from pytest_recall.model import Revision, RunRequest, Target
from pytest_recall.running import captured, command, events, jsonreport, options, report
from pytest_recall.running.ledger import Ledger
from pytest_recall.store import codec, shape

HERE = Path(__file__).parents[1]
LIMIT_S, MOST_MB, BATCH = 20, 200, 500
FIELDS = re.findall(
    r"\w+",
    """t id when outcome status dur worker failure sections props subtest tests n deselected exit failed plugins version
    teardown_ok was subtests crashed count lost setup teardown reason type text message frames locals cause category path
    line seed error root ini workers session env""",
)
WORDS = st.sampled_from(
    [
        "setup",
        "call",
        "teardown",
        "passed",
        "failed",
        "skipped",
        "rerun",
        "xfailed",
        "a.py::test_a",
        "gw0",
        "",
        "\ud800",
    ]
)
JSON = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=12,
)
FACT = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=8)
KINDS = st.sampled_from(sorted(events._READERS))  # noqa: SLF001 - every kind that there is
LINE = st.tuples(KINDS, FACT).map(lambda fact: json.dumps({"e": fact[0], **fact[1]}).encode()) | st.binary(
    max_size=300
)
SAMPLES = [
    path.read_bytes()[:20_000] for path in sorted((HERE / "tests" / "recorded").glob("rerunfailures.*"))
]
SAMPLES += [
    b'{"created":1.7,"exitcode":0,"root":"/x","summary":{},"tests":[{"nodeid":"a","outcome":"failed"}]}'
]
SPLICE = st.tuples(
    st.floats(0, 1),
    st.integers(0, 40),
    st.binary(max_size=12) | WORDS.map(lambda w: w.encode("utf-8", "replace")),
)
REPORT = st.tuples(st.sampled_from(SAMPLES), st.lists(SPLICE, min_size=1, max_size=6)).map(
    lambda made: _spliced(*made)
)
PIECES = [
    "test_a.py",
    "tests",
    "::",
    "test_x",
    "[",
    "]",
    "..",
    "/",
    "-",
    "@",
    "\0",
    "\n",
    " ",
    "é",
    "\ud800",
    "~",
    "*",
    "C:",
    "a" * 300,
]
ID = st.lists(st.sampled_from(PIECES), max_size=6).map("".join) | st.text(max_size=40)
OPTION = st.sampled_from(
    [*sorted(options._FLAGS | options._VALUES), "-k", "-p", "-x", "-o", "-n", "-W", "-c", "-s"]  # noqa: SLF001
)
ARG = st.one_of(OPTION, st.tuples(OPTION, ID).map("=".join), ID)
REQUEST = st.builds(
    RunRequest,
    tests=st.lists(ID, max_size=4).map(tuple),
    args=st.lists(ARG, max_size=4).map(tuple),
    keyword=ID,
    markers=ID,
    env=st.lists(st.tuples(ID, ID), max_size=3).map(tuple),
    timeout_s=st.just(600.0) | st.floats(),
    test_timeout_s=st.just(0.0) | st.floats(),
    parallel=st.just(0) | st.integers(),
    repeat=st.just(1) | st.integers(),
)


def _spliced(sample: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    for at, length, piece in edits:
        place = int(at * len(sample))
        sample = sample[:place] + piece + sample[place + length :]
    return sample


class Fuzz:
    """The things that read, and how often each was fed."""

    def __init__(self, scratch: Path) -> None:
        self.project = scratch / "project"
        self.project.mkdir()
        (self.project / "test_a.py").write_text("def test_x(): pass\n")
        (self.project / "report.xml").write_bytes(
            next(one for one in SAMPLES if one.lstrip().startswith(b"<"))
        )
        keep = [sys.executable, "-m", "pytest_recall", "import", "report.xml", "--project", str(self.project)]
        subprocess.run(keep, cwd=self.project, check=True, capture_output=True)
        self.file = scratch / "captured.jsonl"
        self.origin = report.Origin(
            id="run",
            started_at=0.0,
            request=RunRequest(),
            target=Target(root="/x", python="/python", source=""),
            revision=Revision(digest="same"),
            space="agent",
            source="fuzz",
            client="",
        )
        self.ends: Counter[str] = Counter()
        self.slowest = 0.0

    def fed(self, door: str, take: Callable[[Any], str], value: Any) -> None:
        signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
        began = time.perf_counter()
        try:
            end = take(value)
        except RecallError as error:
            end = type(error).__name__
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        self.slowest = max(self.slowest, time.perf_counter() - began)
        self.ends[f"{door}: {end}"] += 1

    def stream(self, lines: list[bytes]) -> str:
        ledger = Ledger(root="/x", clock=lambda: 0.0)
        launch = ledger.begin(0)
        for line in events.Lines().feed(b"\n".join(lines) + b"\n"):
            event = events.decode(line)
            if event is not None:
                ledger.add(event)
        ledger.end(crashed=len(lines) % 2 == 0)
        ended = report.Ended(launch=launch, exit_code=len(lines) % 7 - 1, boot={}, startup={})
        run = report.build(self.origin, ledger, [ended], duration_s=0.0, doubts=())
        jsonreport.compose(run)
        codec.pack(run)
        return run.status.value

    def report(self, data: bytes) -> str:
        jsonreport.doubts(data, {})
        self.file.write_bytes(data)
        with suppress(UnreadableRun):
            captured.read(self.file)
        where = ImportOrigin(root=self.project)
        found = formats.read(data, where, at=1.7e9, places=Places(self.project), load=shape.load)
        for run in found.runs:
            codec.pack(run)
        return "read"

    def request(self, request: RunRequest) -> str:
        command.check(request, self.project)
        return "allowed"


def _meant(about: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that an argument's schema asks for, more or less."""
    kinds = {
        "array": st.lists(ID, max_size=3),
        "boolean": st.booleans(),
        "integer": st.integers(-2, 100),
        "number": st.floats(-1, 1e6),
        "object": st.dictionaries(ID, ID, max_size=2),
    }
    text = ID | st.sampled_from(["7d", "", "fp1:0123456789ab", "2026-11-21", "main"])
    if "enum" in about:
        return st.sampled_from(about["enum"])
    return kinds.get(about.get("type", "string"), text)


def tools(fuzz: Fuzz, inputs: int, seeded: Callable[..., Any]) -> None:
    """The server's tools, by a client in memory. No interpreter is there, so that what may be run is soon told."""
    failed: list[str] = []

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info:
                failed.append(self.format(record))

    logging.getLogger().addHandler(Heard(logging.ERROR))
    flags = {"python": str(fuzz.project / "no-such-python")}
    built = server.build(lambda: App(flags=flags, environ=dict(os.environ), default=fuzz.project))
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal())
        client = stack.enter_context(portal.wrap_async_context_manager(_client(built)))
        listed = portal.call(client.list_tools)
        portal.call(_called, client, "test_history", {})  # the index's process starts with it
        schemas = {tool.name: tool.input_schema["properties"] for tool in listed.tools}
        names = st.sampled_from(sorted(schemas)).flatmap(
            lambda name: st.tuples(
                st.just(name), st.lists(st.sampled_from(sorted(schemas[name])), max_size=4, unique=True)
            )
        )
        calls = names.flatmap(
            lambda asked: st.tuples(
                st.just(asked[0]),
                st.fixed_dictionaries(
                    {key: st.one_of(*[_meant(schemas[asked[0]][key])] * 4, JSON) for key in asked[1]}
                ),
            )
        )

        def call(made: tuple[str, dict[str, Any]]) -> str:
            name, arguments = made
            arguments.pop("wait_s", None)
            try:
                told = json.loads(json.dumps(arguments, allow_nan=False).encode("utf-8", "replace"))
                json.dumps(told, ensure_ascii=False).encode()
            except (ValueError, RecursionError):
                return "no JSON"
            try:
                result = portal.call(_called, client, name, told)
            except MCPError:
                return "refused by the protocol"
            assert not failed, failed
            text = "".join(getattr(block, "text", "") for block in result.content)
            assert text
            assert len(text) < 20_000, (name, told, len(text))
            return "error" if result.is_error else "answer"

        seeded(calls, inputs, lambda made: fuzz.fed("tools", call, made))


async def _called(client: Client, name: str, arguments: dict[str, Any]) -> Any:
    async with asyncio.timeout(LIMIT_S):
        return await client.call_tool(name, arguments)


def _client(built: Any) -> Client:
    return Client(built)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    chosen = parser.parse_args()

    def seeded(strategy: st.SearchStrategy[Any], inputs: int, take: Callable[[Any], None]) -> None:
        for number in range(0, inputs, BATCH):  # hypothesis remembers what it has made
            made = settings(
                max_examples=min(BATCH, inputs - number),
                database=None,
                deadline=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            )

            @seed(chosen.seed + number)
            @made
            @given(strategy)
            def feed(value: Any) -> None:
                take(value)

            feed()
            gc.collect()

    signal.signal(signal.SIGALRM, _late)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        os.environ["XDG_STATE_HOME"] = scratch
        fuzz = Fuzz(Path(scratch))
        before = _highest()
        seeded(st.lists(LINE, max_size=10), chosen.inputs // 2, lambda v: fuzz.fed("stream", fuzz.stream, v))
        seeded(REPORT, chosen.inputs // 5, lambda v: fuzz.fed("reports", fuzz.report, v))
        seeded(REQUEST, chosen.inputs // 4, lambda v: fuzz.fed("requests", fuzz.request, v))
        tools(fuzz, chosen.inputs - chosen.inputs // 2 - chosen.inputs // 5 - chosen.inputs // 4, seeded)
    grown = _highest() - before
    for end, times in sorted(fuzz.ends.items()):
        print(f"{times:8}  {end}")
    print(
        f"{sum(fuzz.ends.values())} inputs, seed {chosen.seed}; the slowest {fuzz.slowest:.2f} s; {grown:.0f} MB more"
    )
    with suppress(AttributeError):
        sys.stdout.flush()
    os._exit(grown > MOST_MB)  # the store's worker need not be waited for


def _highest() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _late(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"an input took more than {LIMIT_S} s")


if __name__ == "__main__":
    sys.exit(main())
