"""The application's own data: what was posted, and whether it is shown. One SQLite file for web server and worker."""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Literal

DATABASE = os.environ.get("PHOTO_APP_DATABASE", "photo_app.sqlite3")

#: *checking* is shown to its author only, *published* to all, *hidden* to nobody
State = Literal["checking", "published", "hidden"]


@dataclass(frozen=True)
class Post:
    id: str
    state: State
    #: the verdict's ``suggest``, or why there is none
    reason: str | None


def add(content: str) -> str:
    """Keeps what a user posted, not shown yet; its id."""
    post_id = uuid.uuid4().hex
    with _database() as database:
        database.execute("INSERT INTO posts VALUES (?, ?, 'checking', NULL)", (post_id, content))
    return post_id


def find(post_id: str) -> Post | None:
    with _database() as database:
        row = database.execute("SELECT id, state, reason FROM posts WHERE id = ?", (post_id,)).fetchone()
    return Post(*row) if row else None


def decide(post_id: str, state: State, reason: str) -> None:
    """Publishes or hides a post. Celery may run a task twice: the second time changes nothing."""
    with _database() as database:
        database.execute("UPDATE posts SET state = ?, reason = ? WHERE id = ?", (state, reason, post_id))


@contextmanager
def _database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(DATABASE, timeout=10)) as connection, connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS posts (id TEXT PRIMARY KEY, content TEXT, state TEXT, reason TEXT)"
        )
        yield connection
