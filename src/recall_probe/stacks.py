"""faulthandler, writing to the run folder: the stacks of a process that crashed, or was asked for them."""

import faulthandler
import os


def enable(run_dir, dump_signal):
    """Send crash dumps to `stack-<pid>.txt`, and all threads' stacks there on *dump_signal*.

    The file appears when the signal is handled, not before: the supervisor takes it for the consent.
    """
    path = os.path.join(run_dir, "stack-%d.txt" % os.getpid())
    signals = hasattr(faulthandler, "register")
    known = os.path.exists(path) or not signals  # Windows renames no open file
    # A raw descriptor, never closed: a file object would raise a ResourceWarning under `-W error`.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path if known else path + ".new", flags, 0o600)
    faulthandler.enable(file=descriptor, all_threads=True)
    if dump_signal and signals:
        faulthandler.register(dump_signal, file=descriptor, all_threads=True, chain=False)
    if not known:
        os.rename(path + ".new", path)
