"""The launcher: `<target python> boot.py <run folder>` is what `python -m pytest` would be, watched.

The parent stays behind as supervisor (`supervise.py`) and never imports the project; the child becomes
pytest. Nothing is passed on in environment variables, so nothing leaks into what the tests start.
"""

import importlib.util
import json
import os
import signal
import sys
import types


def main(run_dir):
    here = os.path.dirname(os.path.abspath(__file__))
    cargo = os.path.dirname(here)
    with open(os.path.join(run_dir, "cfg.json"), encoding="utf-8") as file:
        cfg = json.load(file)
    # Once the package is known its modules are found through it, and `sys.path` need not name the cargo.
    sys.path.insert(0, cargo)
    from recall_probe import supervise
    from recall_probe.whole import Whole  # before the project can have changed anything

    del sys.path[0]
    if cfg.get("supervise"):
        supervise.fork(run_dir, cfg)
    _restore_signals()
    _restore_path(here)
    _stack_file(run_dir, cfg.get("dump_signal"))
    _run(run_dir, cfg, Whole.put)


def _restore_signals():
    """A server started by `nohup` or `&` hands on an ignored SIGINT; pytest needs it."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _restore_path(here):
    """`sys.path` as `python -m pytest` has it."""
    if sys.path and os.path.realpath(sys.path[0] or ".") == os.path.realpath(here):
        del sys.path[0]
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        try:
            sys.path.insert(0, os.getcwd())
        except OSError:  # the folder is gone: pytest says so better than we could
            sys.path.insert(0, "")


def _stack_file(run_dir, dump_signal):
    """Evidence of a crash or a hang while pytest is imported; the plugin enables it again later."""
    try:
        from recall_probe import stacks

        stacks.enable(run_dir, dump_signal)
    except Exception as error:  # no evidence is no reason not to run
        sys.stderr.write("pytest-recall: no stack file: %r\n" % (error,))


def _run(run_dir, cfg, put):
    about = {
        "pid": os.getpid(),
        "python": sys.executable,
        "version": list(sys.version_info[:3]),
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
    }
    try:
        import pytest
    except ImportError as error:
        missing = getattr(error, "name", None) or ""
        said = dict(about, error="no-pytest", missing=missing, detail=repr(error)[:2000], path=sys.path)
        put(os.path.join(run_dir, "boot.json"), said)
        sys.stderr.write("pytest-recall: cannot import pytest in %s: %s\n" % (sys.executable, error))
        sys.exit(97)
    put(os.path.join(run_dir, "boot.json"), dict(about, pytest=getattr(pytest, "__version__", "")))
    args = list(cfg["args"])
    if cfg.get("collect_only") and "--collect-only" not in args:
        args.insert(0, "--collect-only")
    # `-p no:recall`: where pytest-recall-plugin is installed its entry point would register us twice.
    # One word with `=`: a second word that is an existing path would move pytest's rootdir.
    sys.argv[1:] = ["-p", "no:recall", "-p", "recall_probe.plugin", "--recall-run-dir=" + run_dir, *args]
    code, main = _main_module("pytest.__main__")
    sys.modules["__main__"], sys.argv[0] = main, main.__file__
    try:
        exec(code, main.__dict__)
    except Exception as error:  # pytest itself failed: a plugin that cannot be imported, …
        started = {"type": type(error).__name__, "path": "", "message": str(error)[:2000], "cause": None}
        put(os.path.join(run_dir, "startup.json"), started)
        raise


def _main_module(name):
    """What `python -m` makes of the module *name*: its code, and the module `__main__` that it is run in.

    As runpy does, without three frames of its own below everything that the tests do: whoever walks the stack by
    `inspect.stack()` looks through all modules, again and again, for each frame that comes from no file.
    """
    spec = importlib.util.find_spec(name)
    main = types.ModuleType("__main__")
    main.__file__, main.__cached__, main.__spec__ = spec.origin, spec.cached, spec
    main.__loader__, main.__package__ = spec.loader, spec.parent
    return spec.loader.get_code(name), main


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]))
