"""The parent's end of the store worker: starts it, asks it one thing at a time, ends it when it overruns."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import queue
import re
import subprocess
import sys
import threading
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest_recall
from pytest_recall.errors import StoreUnavailable
from pytest_recall.store import files, shape
from pytest_recall.store.backend import Backend

# chromadb reads unprefixed variables and a .env file: it gets an environment with nothing to read.
_KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "SSL_CERT_FILE", "SSL_CERT_DIR")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_OURS = {"ANONYMIZED_TELEMETRY": "False", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_BOOT = "import sys; sys.path.append(sys.argv[1]); from pytest_recall.store.worker import main; main()"

_FOR_MODELS = re.compile(r"\w+_API_KEY|HF_\w+|OLLAMA_\w+|XDG_CACHE_HOME")

_START_S = 30.0
_GRACE_S = 3.0  # for the call in progress when we leave: a killed writer costs a close look, or a rebuild
_IDLE_S = 300.0
_CALM_S = 1.0  # before it is started for what nobody waits for: that takes a core, and an answer may be in the making


class Damaged(StoreUnavailable):
    """The index must be rebuilt from the journal."""


class Line:
    """Calls to the worker of one store, in a thread of its own. Made in no time; started at the first call."""

    def __init__(self, folder: Path, backend: Backend) -> None:
        self._folder = folder
        self._embedding = backend.embedding
        self._hello = {
            "folder": str(folder.absolute()),
            "kind": type(backend).__name__,
            "backend": shape.dump(backend),
            "version": pytest_recall.__version__,
            "limit_s": _START_S,
        }
        self._queue: queue.PriorityQueue[tuple[int, int, dict[str, Any] | None, Future[Any]]] = (
            queue.PriorityQueue()
        )
        self._count = itertools.count()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._waking = False  # it is starting, and has opened nothing yet
        self._closed = self._hasty = False
        self._pressing = threading.Event()  # somebody waits for something, or we are closed
        self._shared = backend.shared
        self._calm_s = 0.0 if backend.shared else _CALM_S

    def call(self, do: str, *, limit_s: float, later: bool = False, **arguments: Any) -> Future[Any]:
        """Ask the worker; with *later*, after everything else that is asked. Safe from any thread.

        The future raises `StoreUnavailable` (or `Damaged`) in words for a reader. Cancelling it
        before its turn withdraws the question.
        """
        answer: Future[Any] = Future()
        with self._lock:
            if self._closed:
                answer.set_exception(StoreUnavailable("The store is closed."))
                return answer
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="store", daemon=True)
                self._thread.start()
            request = {"do": do, "limit_s": limit_s, **arguments}
            self._queue.put((int(later), next(self._count), request, answer))
            if not later:
                self._pressing.set()
        return answer

    @property
    def awake(self) -> bool:
        """Whether there is a worker, or one is starting: else the next call waits for a second or two."""
        return self._process is not None

    @property
    def ready(self) -> bool:
        """Whether there is a worker that has opened the index."""
        return self._process is not None and not self._waking

    async def warm(self, limit_s: float) -> None:
        """Wait for the worker of a shared index: its start is no part of what a question may take, which only that can answer."""
        if self.ready or not self._shared:
            return
        with suppress(TimeoutError, StoreUnavailable):
            await asyncio.wait_for(asyncio.wrap_future(self.call("ready", limit_s=limit_s)), limit_s)

    def close(self, *, hasty: bool = False) -> None:
        """End the worker: at once when it is idle (*hasty*: or still starting), else soon. Blocks for that long."""
        with self._lock:
            self._closed, self._hasty = True, hasty
            thread = self._thread
            self._queue.put((-1, next(self._count), None, Future()))
            self._pressing.set()
        if thread is None:
            return
        if hasty and self._waking:
            self._kill()
        thread.join(_GRACE_S)
        if thread.is_alive():
            self._kill()
            thread.join()

    # --- the thread -------------------------------------------------------------------------

    def _serve(self) -> None:
        while True:
            try:
                request, answer = self._next()
            except queue.Empty:
                self._end()
                continue
            if request is None:
                break
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                found = self._ask(request)
            except Exception as error:  # noqa: BLE001 - it belongs to whoever asked
                answer.set_exception(error)
            else:
                answer.set_result(found)
        self._end()
        while not self._queue.empty():
            _, _, _, answer = self._queue.get_nowait()
            answer.cancel()

    def _next(self) -> tuple[dict[str, Any] | None, Future[Any]]:
        """What is to be done now. Raises `queue.Empty` when there was nothing for long."""
        self._pressing.clear()
        first = self._queue.get(timeout=_IDLE_S)
        if first[0] == 1 and self._process is None and self._pressing.wait(self._calm_s):
            with self._lock:
                gives_way = self._hasty or not self._closed  # to our end only when that is hasty
            if gives_way:
                self._queue.put(first)
                first = self._queue.get()
        return first[2:]

    def _ask(self, request: dict[str, Any]) -> Any:
        if self._process is None or self._process.poll() is not None:
            self._start()
        return self._exchange(request)

    def _start(self) -> None:
        self._end()
        self._waking = True
        if self._hasty:
            raise StoreUnavailable("The store is closed.")
        environment = {name: value for name, value in os.environ.items() if name in _KEPT + _PROXIES} | _OURS
        if self._embedding:  # its key, and where it keeps its models
            environment |= {name: value for name, value in os.environ.items() if _FOR_MODELS.fullmatch(name)}
        root = str(Path(pytest_recall.__file__).parent.parent)
        try:
            with files.begun(self._folder / "worker.log") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _BOOT, root],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    cwd=self._folder,
                    env=environment,
                    start_new_session=True,
                )
        except OSError as error:
            raise StoreUnavailable(f"The store's worker cannot be started: {error.strerror}.") from error
        try:
            self._exchange(self._hello)
        except StoreUnavailable:  # a setting that it cannot work with
            self._end()
            raise
        self._waking = False

    def _exchange(self, request: dict[str, Any]) -> Any:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise StoreUnavailable("The store's worker is not running.")
        limit = request["limit_s"]
        overrun = threading.Timer(limit, self._kill)
        overrun.daemon = True
        overrun.start()
        line = b""
        with suppress(OSError):
            process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        late = not overrun.is_alive()
        overrun.cancel()
        if not line.endswith(b"\n"):
            self._end()
            why = f"did not answer within {limit:g} s and was ended" if late else "died"
            raise StoreUnavailable(f"The store's worker {why} (see worker.log in the store's folder).")
        answer = json.loads(line)
        if "ok" in answer:
            return answer["ok"]
        if answer["error"] == "damaged":
            self._end()  # what Chroma has half opened stays half opened as long as its process lives
            raise Damaged(answer["text"])
        raise StoreUnavailable(answer["text"])

    def _kill(self) -> None:
        if (process := self._process) is not None:
            with suppress(OSError):
                process.kill()

    def _end(self) -> None:
        """Let the worker go: it leaves when its input ends."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
