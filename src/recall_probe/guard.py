"""The launcher's launcher: `<target python> guard.py <run folder>` is `boot.py`, with somebody behind its supervisor.

Should the supervisor be killed, pytest dies with it, and what the tests had started falls to this
process, which ends it. Should this process be killed, whoever started it tells the supervisor to end.
Only on Linux can either be done; elsewhere there is one supervisor.
"""

import os
import signal
import sys


def main(run_dir):
    cargo = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path.insert(0, cargo)
    from recall_probe import boot, supervise

    if supervise.subreaper() is not None:
        child = os.fork()
        if child:
            _stay(run_dir, child, supervise)
    sys.path.remove(cargo)
    boot.main(run_dir)


def _stay(run_dir, child, supervise):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the supervisor's business
        signal.signal(number, signal.SIG_IGN)
    code = 125
    try:
        status = None
        while status is None:
            pid, ended = os.waitpid(-1, 0)
            status = ended if pid == child else None
        if os.WIFEXITED(status):
            code = os.WEXITSTATUS(status)
        supervise.Supervisor(run_dir, child, None, True).kill_all()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]))
