"""``python -m bench.overhead.script_names``: the names of wxcheck's Lua scripts by the hash that Redis knows each by.

In a process of its own: who imports the worker publishes as it does, and the peers must not.
"""

from __future__ import annotations

import json
from hashlib import sha1
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> None:
    from store.scripts import whole

    paths = [path.relative_to(ROOT) for room in ("ops", "store", "worker") for path in (ROOT / room).rglob("*.lua")]
    names = [str(path.with_suffix("")) for path in paths]
    print(json.dumps({sha1(whole(name).encode(), usedforsecurity=False).hexdigest(): name for name in names}))


if __name__ == "__main__":
    main()
