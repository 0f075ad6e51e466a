import subprocess
import sys


def test_before():
    pass


def test_leaves_children():
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    subprocess.Popen(sleep)
    subprocess.Popen(sleep, start_new_session=True, env={})
    twice = "import os, time\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\ntime.sleep(60)"
    subprocess.run([sys.executable, "-c", twice], env={}, check=True)


def test_after():
    pass
