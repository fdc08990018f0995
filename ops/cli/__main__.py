"""``python -m ops.cli``: the same as ``wxcheck``."""

from __future__ import annotations

from ops.cli.main import main

main(prog_name="wxcheck")
