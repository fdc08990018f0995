"""``python -m tests.support.every_command``: commands of ``wxcheck`` in one process, for each costs seconds to start.

The commands are a JSON list on stdin. Of each, the JSON list on stdout has its exit code, what it printed, and the
class of an error that got out of it.
"""

from __future__ import annotations

import json
import sys

from click.testing import CliRunner

from ops.cli.main import main

if __name__ == "__main__":
    told = []
    for command in json.load(sys.stdin):
        ran = CliRunner().invoke(main, command)
        escaped = ran.exception if ran.exception and not isinstance(ran.exception, SystemExit) else None
        told.append([ran.exit_code, ran.output, type(escaped).__name__ if escaped else ""])
    print(json.dumps(told))
