"""The fact stream: one JSON line a fact, written at once, whatever the tests did to the process.

Tests patch `json.dumps`, `os.write`, `time.time` and `open`, fork, close descriptors they do not own and
fill the disk. So what is called here was bound at import and is reached through the class (freezegun
looks through module globals), a forked child is silent, and the descriptor is checked before it is written to.
"""

import hashlib
import json
import os
import time

ID_MOST = 8000
_CURRENT = os.SEEK_CUR


class Stream:
    """Appends facts to the file at *path* (absolute); never raises. `lost` counts what did not fit."""

    _bound = (os.open, os.write, os.lseek, os.fstat, os.getpid, time.perf_counter)
    _encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
    quoted = staticmethod(json.encoder.encode_basestring_ascii)

    def __init__(self, path, max_text=20000):
        self._open, self._write, self._seek, self._fstat, self._getpid, self._clock = self._bound
        self._path = path
        self._owner = self._getpid()
        # The wall clock is read once: tests travel in time, the performance counter does not.
        self._epoch = time.time() - self._clock()
        self._torn = False
        self._end = -1  # of the last line: the place in the file, as the descriptor has it
        self._held = ""
        self._last_id = ("", '""')
        self.max_text = max_text
        self.lost = 0
        self._reopen()

    def _reopen(self):
        flags = (
            os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        )
        self._fd = self._open(self._path, flags, 0o600)
        status = self._fstat(self._fd)
        self._file = (status.st_dev, status.st_ino)

    def fact(self, kind, **fields):
        """Append the fact *kind* with *fields*, all of them plain JSON values; `None` is left out."""
        line = {"e": kind, "t": round(self.now(), 4)}
        line.update((key, value) for key, value in fields.items() if value is not None)
        try:
            text = self._encode(line)
        except Exception as error:  # a foreign plugin put something into a report that we passed on
            text = self._encode(
                {"e": kind, "t": line["t"], "id": str(fields.get("id")), "unserializable": repr(type(error))}
            )
        self.line(text)

    def ours(self):
        """Whether this process is the one that made the stream, and no fork of it."""
        return self._getpid() == self._owner

    def now(self):
        """Seconds since the epoch."""
        return self._epoch + self._clock()

    def stamp(self, now=None):
        """`now` as a number of JSON, rounded as `fact` does; formatting a float takes ten times as long."""
        return "%de-4" % ((self.now() if now is None else now) * 10000 + 0.5)

    def id(self, nodeid):
        """*nodeid* as JSON, bounded; the same one is asked for several times in a row."""
        last = self._last_id
        if last[0] is not nodeid:
            last = self._last_id = (nodeid, self.quoted(node_id(nodeid)))
        return last[1]

    def hold(self, text):
        """Append *text* together with the next line: where that follows before any code but pytest's own."""
        self._held += text + "\n"

    def release(self):
        """Append what is held."""
        if self._held:
            held, self._held = self._held[:-1], ""
            self.line(held)

    def line(self, text):
        """Append *text*, a whole fact in JSON and ASCII."""
        if self._getpid() != self._owner:
            return
        if self._held:
            text, self._held = self._held + text, ""
        data = (text + "\n").encode("ascii")
        if self._torn:
            data = b"\n" + data
        written = 0
        try:
            # Where our last line ended: to stand there, another's descriptor would have to by chance. Asking costs a fifth
            # of a look at the file; where others write to it too, it is looked at each time.
            try:
                known = self._seek(self._fd, 0, _CURRENT) == self._end
            except OSError:
                known = False
            if not known:
                self._check()
            written = self._write(self._fd, data)
            self._end = self._end + written if known else self._seek(self._fd, 0, _CURRENT)
        except Exception:  # disk full, file size limit: the run goes on, and `lost` says so
            pass
        if written == len(data):
            self._torn = False
        else:
            self._torn = self._torn or written > 0
            self.lost += data[max(written, 1) :].count(b"\n")

    def _check(self):
        try:
            status = self._fstat(self._fd)
        except OSError:
            self._reopen()
        else:
            if (
                status.st_dev,
                status.st_ino,
            ) != self._file:  # a test closed it, and the number is another's now
                self._reopen()


def clean(text):
    """*text* as a plain string that UTF-8 (and execnet) can carry."""
    text = text if type(text) is str else str(text)
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def cut(text, most):
    """The head and the tail of *text*, at most *most* characters together."""
    if len(text) > most:
        mark = "\n... [%d characters cut] ...\n" % (len(text) - most)
        keep = max(most - len(mark), 0)
        head = keep * 2 // 3
        text = text[:head] + mark + text[len(text) - (keep - head) :]
    return clean(text)


def tail(text, most):
    """The last *most* characters of *text*."""
    return clean(text[-most:] if len(text) > most else text)


def node_id(nodeid):
    """*nodeid*, or where it is too long its head with a digest of the whole: the same everywhere."""
    if len(nodeid) <= ID_MOST:
        return nodeid
    digest = hashlib.blake2b(nodeid.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    return nodeid[: ID_MOST - 14] + "…#" + digest


def micro(value):
    """A duration as whole microseconds, which JSON writes as `…e-6`; 0 for what `seconds` calls none."""
    return (
        int(value * 1e6 + 0.5) if type(value) is float and 0.0 <= value < 1e9 else int(seconds(value) * 1e6)
    )


def seconds(value):
    """A duration as a number that JSON has: a patched clock may have made it NaN or negative."""
    return round(value, 6) if isinstance(value, (int, float)) and 0 <= value < 1e9 else 0.0
