"""What enters the target's interpreter: it streams one JSON line for every fact of a pytest session.

Standard library only; Python >= 3.7, pytest >= 6.2. It is never imported by pytest_recall, which
locates it on disk and hands it to the target's interpreter, and it imports nothing of pytest_recall.
`boot.py` launches and supervises, `plugin.py` streams. Also installable as the ordinary pytest
plugin `pytest-recall-plugin`.

The run folder (mode 0700, made by the launching side) holds

    cfg.json        in   {"args": [...], "supervise": true, "json_report": "<folder of pytest_jsonreport>" | null,
                          "dump_signal": int | null, "list": "none" | "ids" | "names" | "full",
                          "collect_only": bool, "locals": bool, "max_text": 20000, "json_report_most": 2000}
    events.jsonl    out  one fact a line, appended with one write each (below)
    report.json     out  pytest-json-report's file, where it was made
    boot.json       out  {"pid", "python", "version": [3, 11, 7], "prefix", "base_prefix", "pytest"} or
                         {"error": "no-pytest", "missing": "<module>", "detail", "python", "version", ...}
    startup.json    out  {"type", "path", "message", "cause"}: an error before any session (conftest, usage)
    exit.json       out  {"rc": int (negative: signal) | null, "clean": bool, "killed": int, "names": [...]}
    stack-<pid>.txt out  faulthandler's text of that process

Facts. All have `e` (kind) and `t` (epoch seconds). Node ids longer than 8,000 characters are cut
and end in `…#<12 hex of their blake2b>`; every text is at most `max_text` characters. Lines are
counted from 1, and paths are as the target saw them.

    session     pid, pytest, python, version, root, ini, invocation_dir, args, plugins ["name-version"], workers
    collect     id, outcome "failed" | "skipped", failure | reason                    (only those two outcomes)
    file        id, tests {name: {line?, n?, params?, marks?, fixtures?, doc?}}        ("list" is not "none")
    collected   n (selected), deselected, worker?
    start       id, worker?
    phase       id, when, outcome "passed" | "failed" | "skipped" | "rerun", status? (pytest's own category where it
                differs from the outcome: "xfailed", "xpassed", "error", "rerun", …), dur, worker?, reason?,
                failure?, sections? {title: text}, props? [[k, v]], subtest? {"text"}   (quiet setup and teardown
                phases, passed in under 5 ms, are folded into `finish`)
    finish      id, setup?, teardown? (seconds of the folded phases), teardown_ok (a passed teardown report was seen)
    warn        category, message, path, line, when, id?
    random_seed seed                                             (told by pytest-randomly or pytest-random-order)
    interrupt   type, text
    internalerror  type, text
    workerdown  worker, error
    sessionfinish  exit, collected, failed
    end         (pytest_unconfigure)

    failure     {"type": "pkg.mod.Error" | "AssertionError", "message", "frames": [[path, line, function, source], …]
                 outermost first, at most 40, "text": pytest's rendering, "cause"?: "type: message" of a chained
                 exception, "locals"?: [[name, repr], …]}
"""

__version__ = "0.1.0"
