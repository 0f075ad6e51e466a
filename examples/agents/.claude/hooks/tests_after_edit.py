"""Claude Code calls this after each edit: it runs the tests that the edit reaches, and hands back what is red."""

import json
import os
import subprocess
import sys

RED = {"failed", "collection_failed", "timed_out", "crashed", "internal_error", "interrupted"}

event = json.load(sys.stdin)
edited = event.get("tool_input", {}).get("file_path", "")
project = os.environ.get("CLAUDE_PROJECT_DIR") or event["cwd"]
if not edited.endswith(".py") or os.path.relpath(edited, project).startswith(".."):
    sys.exit(0)

command = ["pytest-recall", "run", "--json", "--project", project, "--only", "affected", "--timeout", "60"]
done = subprocess.run(
    [*command, "--intent", "after an edit of " + os.path.relpath(edited, project)],
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    text=True,
)
try:
    status = json.loads(done.stdout).get("status")
except ValueError:
    status = None
if status in RED:
    print(done.stdout, file=sys.stderr)
    sys.exit(2)  # then Claude Code gives stderr to the agent
