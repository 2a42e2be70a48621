"""The hypnogram in a terminal: a column a chunk, or several chunks to a column. Knows a memory's record and nothing else.

passes  ▄▄█▄ ▄   how many, coloured by how the chunk left
before  ▇█▆▇█▇   answer NLL of its held-out probes, on one scale with
after   ▃▄▃▂█▃   the same after the last pass
"""

import math
from collections.abc import Callable, Sequence

from rich.text import Text

from nrem.memory.saved.record import ChunkRecord, MemoryRecord

STYLES = {"solved": "cyan", "hopeless": "magenta", "cap": "yellow", "budget": "red", "empty": "dim", "": "dim"}
"""By exit; `empty` chunks say nothing, the last is for chunks that wait."""
BARS = " ▁▂▃▄▅▆▇█"
GUTTER = 8


def hypnogram_text(record: MemoryRecord, width: int = 80) -> Text:
    """Three rows and a legend, no wider than `width`; nothing where there are no chunks."""
    room = max(8, width - GUTTER)
    step = max(1, -(-len(record.chunks) // room))
    columns = [record.chunks[i : i + step] for i in range(0, len(record.chunks), step)]
    if not columns:
        return Text()
    worst = max((x for c in record.chunks for x in (c.nll_before, c.nll_after) if not math.isnan(x)), default=0.0)
    most = max(c.passes for c in record.chunks)
    exits = [_usual_exit(column) for column in columns]
    rows = [
        _row("passes", columns, lambda c: c.passes, most, [STYLES[e] for e in exits]),
        _row("before", columns, lambda c: c.nll_before if c.num_probes else None, worst, ["dim"] * len(columns)),
        _row("after", columns, lambda c: c.nll_after if c.num_probes else None, worst, [STYLES[e] for e in exits]),
        _legend(record, most, worst, step),
    ]
    return Text("\n").join(rows)


def _row(
    name: str, columns: Sequence[Sequence[ChunkRecord]], value: Callable[[ChunkRecord], float | None], top: float, styles: Sequence[str]
) -> Text:
    line = Text(name.ljust(GUTTER), style="bold")
    for column, style in zip(columns, styles, strict=True):
        seen = [x for c in column if (x := value(c)) is not None and not math.isnan(x)]
        line.append(_bar(sum(seen) / len(seen), top) if seen else "·", style)
    return line


def _bar(value: float, top: float) -> str:
    """Nothing for 0, and at least the lowest bar for everything above it."""
    if not value or not top:
        return BARS[0]
    return BARS[max(1, round(value / top * (len(BARS) - 1)))]


def _legend(record: MemoryRecord, most: int, worst: float, step: int) -> Text:
    line = Text(" " * GUTTER)
    for exit, style in STYLES.items():
        if count := sum(c.exit == exit for c in record.chunks):
            line.append(f"{count} {exit or 'waiting'}  ", style)
    column = "a chunk" if step == 1 else f"{step} chunks"
    if any(c.passes and not c.num_probes for c in record.chunks):
        line.append("· not asked  ", "dim")
    line.append(f"full height: {most} {'pass' if most == 1 else 'passes'}, NLL {worst:.1f}; a column is {column}", "dim")
    return line


def _usual_exit(chunks: Sequence[ChunkRecord]) -> str:
    exits = [c.exit for c in chunks]
    return max(exits, key=exits.count)
