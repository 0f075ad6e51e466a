import threading
import time


def test_before():
    pass


def test_leaves_threads():
    for _ in range(20):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


def test_after():
    pass
