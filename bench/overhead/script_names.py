"""``python -m bench.overhead.script_names``: the names of wxcheck's Lua scripts by the hash that Redis knows each by.

In a process of its own: who imports the worker publishes as it does, and the peers must not.
"""

from __future__ import annotations

import json
from hashlib import sha1
from importlib.resources import files


def main() -> None:
    from worker.scripts import whole

    names = [path.name[:-4] for path in files("worker.lua").iterdir() if path.name.endswith(".lua")]
    print(json.dumps({sha1(whole(name).encode(), usedforsecurity=False).hexdigest(): name for name in names}))


if __name__ == "__main__":
    main()
