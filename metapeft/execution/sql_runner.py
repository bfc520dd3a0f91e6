"""Runs one query and prints its rows as JSON. `sql.py` sends the text of this file, and a call, into the sandbox."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import Any

READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
LONGEST = 10 << 20  # bytes of a string, a blob or a row
INSTRUCTIONS = 10_000  # of SQLite's machine between two looks at the clock


def main(path: str | None, script: str, query: str, most: int, seconds: float) -> None:
    if path is None:
        connection = sqlite3.connect(":memory:")
        connection.executescript(script)
    else:
        for character in "%?#":  # which mean something in a URI
            path = path.replace(character, f"%{ord(character):02x}")
        connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    connection.text_factory = lambda raw: raw.decode(errors="replace")  # some databases hold other encodings
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
    connection.set_authorizer(allow)
    deadline = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > deadline, INSTRUCTIONS)
    rows: list[Any] = []
    try:
        rows = connection.execute(query).fetchmany(most + 1)
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
        status = "timeout" if "interrupted" in str(error) else "error"
        print(json.dumps({"status": status, "error": str(error), "rows": []}))
        return
    if len(rows) > most:
        print(json.dumps({"status": "output", "error": f"more than {most} rows", "rows": []}))
        return
    print(json.dumps({"status": "ok", "error": "", "rows": rows}, default=lambda blob: {"blob": blob.hex()}))


def allow(action: int, first: str | None, second: str | None, database: str | None, trigger: str | None) -> int:
    """Reading and calculating, nothing else: no writing, ATTACH, PRAGMA or loading of extensions."""
    if action in READING and not (action == sqlite3.SQLITE_FUNCTION and second == "load_extension"):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY
