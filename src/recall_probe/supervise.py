"""The supervisor: pytest's parent, which ends everything the tests started and proves that it is gone.

Controlled through its stdin, one letter each: `D` dump the stacks of pytest and its xdist workers, `I`
SIGINT to the same, `K` or end of file (whoever started us has died) kill all. When nothing is left it
writes `exit.json` and leaves with pytest's exit code, or 128 + the signal.

On Linux it is a sub-reaper: whatever a test starts stays its descendant, daemons too, and `waitpid`
answering ECHILD is the proof that none lives. Elsewhere on POSIX it has pytest's process group only. On
Windows there is no fork: a thread of pytest's own process reads the commands.
"""

import os
import signal
import sys
import time

from recall_probe.whole import Whole

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
_VOLUNTARY_S = 0.2  # what pytest left behind may still end by itself (multiprocessing's resource tracker)
_KILL_S = 10.0  # a process in an uninterruptible sleep outlives SIGKILL: then `clean` is false
_NAMES_MOST, _NAME_MOST = 20, 300


def fork(run_dir, cfg):
    """Return in the child, which goes on to be pytest; the parent stays in here and never returns."""
    if not hasattr(os, "fork"):
        _watch_stdin(run_dir, cfg)
        return
    prctl = subreaper()
    parent = os.getpid()
    child = os.fork()
    if child:
        Supervisor(run_dir, child, cfg.get("dump_signal"), prctl is not None).watch()
    os.setpgid(0, 0)
    if prctl is not None:
        prctl(_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it died before we had asked for the signal
            os._exit(125)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def subreaper():
    """Make this process the parent of all orphans below it; return prctl(2), or None where that cannot be."""
    if not (sys.platform.startswith("linux") and os.path.isdir("/proc/self")):
        return None
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    except Exception:  # a Python built without ctypes: the process group has to do
        return None
    return prctl if prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0 else None


class Supervisor:
    def __init__(self, run_dir, child, dump_signal, reaper):
        self.run_dir = run_dir
        self.child = child
        self.dump_signal = dump_signal
        self.reaper = reaper
        self.me = os.getpid()
        self.status = None  # of pytest, as waitpid gives it
        self.alone = False  # nothing of the run is left
        self.killed = {}  # pid → command line

    def watch(self):
        """Stay until pytest has ended or we are told to end it; clean up, say how it ended, leave."""
        try:
            os.setpgid(self.child, self.child)  # the child does the same: whoever comes first
        except OSError:
            pass
        try:
            if not self._until_the_end():
                self._wait(_VOLUNTARY_S)
        finally:  # whatever went wrong in here, nothing may be left and nobody take it for a good end
            try:
                self.kill_all()
            finally:
                self._leave()

    def _until_the_end(self):
        """Serve commands till pytest is gone (False) or all shall be killed (True)."""
        import select

        self.wakeup, wake = os.pipe()
        os.set_blocking(self.wakeup, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self.told = False
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_terminate)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to us too; the server decides
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
        self._reap()
        while self.status is None and not self.told:
            ready = select.select([self.wakeup, 0], [], [])[0]
            self._drain()
            self._reap()
            if 0 in ready and self.status is None:
                self._obey(os.read(0, 64))
        return self.told

    def _on_terminate(self, *_):
        self.told = True

    def _drain(self):
        try:
            os.read(self.wakeup, 4096)
        except OSError:
            pass

    def _obey(self, letters):
        if not letters or b"K" in letters:
            self.told = True
            return
        numbers = [self.dump_signal] if b"D" in letters and self.dump_signal else []
        numbers += [signal.SIGINT] if b"I" in letters else []
        numbers.append(signal.SIGCONT)  # a process that a test has stopped would hear of none of them
        for pid in self._pytests():
            for number in numbers:
                _kill(pid, number)

    def _pytests(self):
        """pytest and its xdist workers: the living descendants that own a stack file."""
        alive = self._descendants() if self.reaper else (self.child,)
        return [pid for pid in alive if os.path.exists(os.path.join(self.run_dir, "stack-%d.txt" % pid))]

    def _reap(self):
        """Collect the dead; note pytest's status, and whether anybody is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.alone = True
                return
            if pid == 0:
                return
            if pid == self.child:
                self.status = status

    def _wait(self, limit):
        import select

        end = time.monotonic() + limit
        self._reap()
        while not self.alone and time.monotonic() < end:
            select.select([self.wakeup], [], [], max(end - time.monotonic(), 0))
            self._drain()
            self._reap()

    def kill_all(self):
        """Kill what is below this process until waitpid says that nothing is, or for ten seconds."""
        if not self.reaper:  # waitpid knows of pytest alone here, and its group may hold more
            _kill(-self.child, signal.SIGKILL)
        end = time.monotonic() + _KILL_S
        while not self.alone and time.monotonic() < end:
            descendants = self._descendants() if self.reaper else {}
            for pid, (state, _) in descendants.items():
                if state not in b"ZX":
                    self._remember(pid)
            groups = {group for _, group in descendants.values()} - {os.getpgid(0)} | {self.child}
            for pid in [-group for group in groups] + list(
                descendants
            ):  # a group first: no fork escapes that
                _kill(pid, signal.SIGKILL)
            self._reap()
            if not self.alone:
                time.sleep(0.005)

    def _remember(self, pid):
        if pid in self.killed or pid == self.child:
            return
        try:
            with open("/proc/%d/cmdline" % pid, "rb") as file:
                self.killed[pid] = (
                    file.read(_NAME_MOST).replace(b"\0", b" ").decode("utf-8", "replace").strip()
                )
        except OSError:
            self.killed[pid] = "?"

    def _descendants(self):
        """{pid: (state, process group)} of everything below us, from /proc."""
        children, about = {}, {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open("/proc/%s/stat" % name, "rb") as file:
                        stat = file.read()
                except OSError:
                    continue
                fields = stat[stat.rindex(b")") + 2 :].split()
                children.setdefault(int(fields[1]), []).append(int(name))
                about[int(name)] = (fields[0], int(fields[2]))
        found, todo = {}, [self.me]
        while todo:
            for pid in children.get(todo.pop(), ()):
                found[pid] = about[pid]
                todo.append(pid)
        return found

    def _leave(self):
        code = _exit_code(self.status)
        names = list(self.killed.values())[:_NAMES_MOST]
        exit_fact = {"rc": code, "clean": self.alone, "killed": len(self.killed), "names": names}
        try:
            Whole.put(os.path.join(self.run_dir, "exit.json"), exit_fact)
        finally:  # on a full disk our own exit code still says it
            os._exit(125 if code is None else 128 - code if code < 0 else code)


def _exit_code(status):
    """Negative for a signal, as subprocess has it; None where pytest was never seen to end."""
    if status is None:
        return None
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _kill(pid, number):
    try:
        os.kill(pid, number)
    except OSError:
        pass


def _watch_stdin(run_dir, cfg):
    """Windows: pytest is this process. Its descendants are the business of whoever holds the Job Object."""
    import _thread
    import faulthandler
    import threading

    control = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)

    def serve():
        while True:
            letters = os.read(control, 64)
            if b"D" in letters:
                path = os.path.join(run_dir, "stack-%d.txt" % os.getpid())
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                faulthandler.dump_traceback(file=descriptor, all_threads=True)
                os.close(descriptor)
            if b"I" in letters:
                _thread.interrupt_main()
            if not letters or b"K" in letters:
                os._exit(125)

    threading.Thread(target=serve, name="pytest-recall", daemon=True).start()
