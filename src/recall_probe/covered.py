"""The reports of a run's coverage, made in the target's interpreter from the data of all its launches.

`<python> covered.py <folder> <folder for HTML or ""> <launch folder>…` puts `coverage.json` into the first
folder, in the format of `coverage json`, or {"error": …}. It ends when it is told to, or when nobody is
left on the other side of its stdin.
"""

import json
import os
import sys
import threading


def main(folder, html, launches):
    threading.Thread(target=_obey, daemon=True).start()
    # As `python -m coverage` has it: the project's coverage plugins are found from where its tests run.
    sys.path[0] = os.getcwd()
    try:
        _report(folder, html, launches)
    except Exception as error:  # whatever a version of coverage, or a plugin of it, makes of the data
        with open(os.path.join(folder, "coverage.json"), "w", encoding="utf-8") as file:
            json.dump({"error": "%s: %s" % (type(error).__name__, error)}, file)


def _report(folder, html, launches):
    import coverage

    with open(os.path.join(launches[0], "covering.json"), encoding="utf-8") as file:
        told = json.load(file)
    places = [os.path.join(launch, "coverage") for launch in launches]
    measured = coverage.Coverage(
        data_file=os.path.join(folder, ".coverage"), config_file=told["config"] or True
    )
    leave_out(measured, told["ours"])
    measured.combine([os.path.join(place, name) for place in places for name in sorted(os.listdir(place))])
    measured.save()
    measured.json_report(
        outfile=os.path.join(folder, "coverage.json"), ignore_errors=True, show_contexts=False
    )
    if html:
        measured.html_report(directory=html, ignore_errors=True)


def leave_out(measured, folders):
    """Have the reports of *measured*, a `coverage.Coverage`, say nothing of these *folders*."""
    known = measured.get_option("report:omit") or []
    measured.set_option("report:omit", list(known) + [os.path.join(folder, "*") for folder in folders])


def _obey():
    while os.read(0, 1) not in (b"K", b""):
        pass
    os._exit(4)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
