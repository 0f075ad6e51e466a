"""What enters the target's interpreter: it streams one JSON line for every fact of a pytest session.

Standard library only; Python >= 3.7, pytest >= 6.2. It is never imported by pytest_recall, which
locates it on disk and hands it to the target's interpreter, and it imports nothing of pytest_recall.
`boot.py` launches, `supervise.py` watches (and `guard.py` watches that), `plugin.py` streams. Also
installable as the ordinary pytest plugin `pytest-recall-plugin`.

The run folder (mode 0700, made by the launching side) holds

    cfg.json        in   {"args": [...], "supervise": true, "json_report": "<folder of pytest_jsonreport>" | null,
                          "dump_signal": int | null, "list": "none" | "ids" | "names" | "full",
                          "collect_only": bool, "locals": bool, "max_text": 20000, "json_report_most": 2000}
    done.json       in   ids that `resume.py` leaves out, where it is asked for
    events.jsonl    out  one fact a line, appended at once (below); where nothing but pytest's own code parts a test's
                         end from the next one's `start`, that tells of both, or goes out with a `finish`
    report.json     out  pytest-json-report's file, where it was made
    boot.json       out  {"pid", "python", "version": [3, 11, 7], "prefix", "base_prefix", "pytest"} or
                         {"error": "no-pytest", "missing": "<module>", "detail", "python", "version", ...}
    startup.json    out  {"type", "path", "message", "cause"}: an error before any test (conftest, usage, plugin)
    exit.json       out  {"rc": int (negative: signal) | null, "clean": bool, "killed": int, "names": [...]}
    stack-<pid>.txt out  faulthandler's text of that process

Facts. All have `e` (kind) and `t` (epoch seconds). Node ids longer than 8,000 characters are cut
and end in `…#<12 hex of their blake2b>`; every text is at most `max_text` characters and valid Unicode
(an id may hold lone surrogates, as its file's name does). Lines are counted from 1, and paths are as the
target saw them. A line that is no JSON was torn by a full disk. A reader ignores what it does not know.

    session     pid, pytest, python, version, root, ini?, invocation_dir, args, plugins ["name-version"], workers
    collect     id, outcome "failed" | "skipped", failure | reason                    (only those two outcomes)
    file        id, tests {name: {line?, n?, params?, marks?, fixtures?, doc?}}        ("list" is not "none")
                one test is `id::name`, or `id::name[param]` for each of `params`; `n` (default 1) is how many
                tests the name makes; the facts of one file add up, as do `params` of a name in several of them
                  "ids"    params
                  "names"  line, n
                  "full"   line, n, params, marks, fixtures (asked for by name), doc (first line, ≤ 120 characters)
    collected   n (selected), deselected, worker?               (under xdist one from each worker)
    start       id, worker?, was? [id, setup, call, teardown] (whole microseconds: the test before it, in place of its
                `finish`: all three phases passed, setup and teardown in under 5 ms, and there is no more to tell)
    phase       id, when, outcome "passed" | "failed" | "skipped" | "rerun", status? (pytest's own category where it
                differs from the outcome: "xfailed", "xpassed", "error", "rerun", …), dur, worker?, reason? (of a
                skip, xfail or xpass), failure?, sections? {title: tail of its text} (of failed phases),
                props? [[k, v]] (texts; on the teardown phase), subtest? {"text"} (passed ones are only counted),
                crashed? true (xdist's word for a worker that died under the test; no `finish` follows)
                (a call that passed, and setup and teardown that passed in under 5 ms, are folded into `finish`)
    finish      id, setup?, call?, teardown? (seconds of the folded phases), worker?, subtests? {"passed": n},
                teardown_ok (a passed teardown report was seen; a rerun may have a start and finish of its own,
                and its teardown is often not reported)
    warn        category, message, path, line, when?, id?, count? (default 1; the first of its kind at once, all
                further ones together at the session's end)
    ctx         k (kind), id, when, n? (attempt, from 0), name?, f? [[field, text]], scope? "session" | "package" | "module" |
                "class" (then `id` is of that node), step? (begins here), in? (the step around it), pid?, worker?
    stepped     step, dur, error?                                (a step's end)
    cost        id, when, n?, cpu (s), peak, grown (kB), out (characters)     (phases of 5 ms, or that printed)
    random_seed seed                                             (told by pytest-randomly or pytest-random-order)
    note        text, id?                                        (something of the probe's own did not work)
    interrupt   type, text
    internalerror  type, text
    workerdown  worker, error
    sessionfinish  exit, collected, failed, lost? (facts that could not be written)
    end         (pytest_unconfigure)

    failure     {"type": "pkg.mod.Error" | "AssertionError", "message", "frames": [[path, line, function, source], …]
                 outermost first, at most 40, "text": pytest's rendering, "cause"?: "Type: message" of the first
                 exception of the chain, "locals"?: [[name, text], …] of the innermost project frame}
                `message` is pytest's own (reprcrash): it begins with the type's name but for plain asserts

Where the wheel is installed too, pytest would warn that a package that is here already cannot be rewritten, which
is an error to a project whose warnings are: PYTEST_DONT_REWRITE
"""

__version__ = "0.1.0"
