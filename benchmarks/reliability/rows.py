"""Rows of trials: kept in a file as they come, so that a run that was broken off goes on, and counted by what was tried."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

Row = dict[str, Any]


def read_rows(file: Path | None) -> list[Row]:
    """Those that an earlier run has kept; none where no file is named or there."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file and file.exists() else []


def keep_row(file: Path | None, row: Row) -> None:
    if file:
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")


def count_by(found: Sequence[Row], by: str, tried: str, columns: Sequence[str]) -> dict[str, dict[str, int]]:
    """How many trials there were, under the name `tried`, and in how many each column holds: by what the rows call `by`, and of all."""
    counts = {}
    for name in (*dict.fromkeys(row[by] for row in found), "all"):
        mine = [row for row in found if name in (row[by], "all")]
        counts[name] = {tried: len(mine)} | {column: sum(bool(row[column]) for row in mine) for column in columns}
    return counts


def counts_table(counts: dict[str, dict[str, int]], head: str, title: str) -> Table:
    table = Table(head, *counts["all"], title=title, title_justify="left")
    for name, values in counts.items():
        table.add_row(name, *map(str, values.values()))
    return table
