import time


def pytest_collection_modifyitems():
    time.sleep(60)
