"""The words of the board's page, read from ``ops/board/page/words.js``."""

from __future__ import annotations

import re

from ops.board.app import page_files


def page_words(language: str) -> dict[str, str]:
    """The words of a language by their keys."""
    source = page_files()["words.js"][0].decode()
    (block,) = re.findall(rf"^  {language}: \{{\n(.*?)^  \}},$", source, re.MULTILINE | re.DOTALL)
    return dict(re.findall(r'(\w+): "([^"]*)"', block))
