import subprocess
import sys


def test_before():
    pass


def test_forks_on():
    code = "import os, time\nfor i in range(200):\n    if os.fork(): os._exit(0)\n    os.setsid()\n    time.sleep(0.01)"
    subprocess.Popen([sys.executable, "-c", code])


def test_after():
    pass
