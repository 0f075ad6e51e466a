import os
import signal
import subprocess
import sys


def parent(pid):
    with open("/proc/%d/stat" % pid) as file:
        return int(file.read().rpartition(")")[2].split()[1])


def test_before():
    pass


def test_stops_its_parents():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    os.kill(parent(os.getppid()), signal.SIGSTOP)
    os.kill(os.getppid(), signal.SIGSTOP)


def test_after():
    pass
