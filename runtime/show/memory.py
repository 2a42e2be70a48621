"""What a terminal shows of memories: summaries for programs, sentences and tables for people. Knows nothing about how they were made."""

import shlex
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nrem.memory.library.folder import UNFINISHED_ENTRY, Entry
from nrem.memory.saved.files import TEXT
from nrem.memory.saved.record import ChunkRecord, MemoryRecord, SleepRecord
from nrem.runtime.checks.check import Check
from nrem.runtime.show.dreams import told
from nrem.runtime.show.hypnogram_text import hypnogram_text
from nrem.runtime.show.night import FET, counts, ends, gain, over_budget, plural, recalled, rolled_back, share, times
from nrem.runtime.show.plain import cell, plain
from nrem.runtime.show.sizes import sizes


def summary(record: MemoryRecord, folder: Path | None) -> dict[str, Any]:
    """The figures of a memory in one flat object; recall is the mean over the chunks that have probes, null where none has."""
    asked = [c for c in record.chunks if c.num_probes]
    return {
        "memory": str(folder) if folder else None,
        "documents": [d.name for d in record.documents],
        "tokens": record.num_tokens,
        "chunks": len(record.chunks),
        "sleeps": len(record.sleeps),
        "passes": max((c.passes for c in record.chunks), default=0),
        "fet": round(sum(record.fet.values()), 1),
        "seconds": round(sum(record.seconds.values()), 3),
        "recall_before": _mean([c.recall_before for c in asked]),
        "recall_after": _mean([c.recall_after for c in asked]),
        "probe_nll_before": _mean([c.nll_before for c in asked]),
        "probe_nll_after": _mean([c.nll_after for c in asked]),
        "exits": dict(sorted(Counter(c.exit or "waiting" for c in record.chunks).items())),
        "rolled_back": [s.index for s in record.sleeps if not s.kept],
        "dreamt": sum(c.dreamt for c in record.chunks),
        **counts(record),
        **sizes(record, folder),
    }


def sleep_report(record: MemoryRecord, folder: Path) -> str:
    """A finished sleep in a few lines: what the answers gained first."""
    s = summary(record, folder)
    return "\n".join(
        line
        for line in (
            gain(s),
            recalled(s, text_kept=(folder / TEXT).is_dir()),
            rolled_back(record),
            f"{plain(str(folder))}: {plural(s['tokens'], 'token')}, {s['chunks_written']:,} of {plural(s['chunks'], 'chunk')} written in "
            f"{plural(s['sleeps'], 'sleep')}, {s['seconds']:,.1f} s, {s['fet']:,.0f} FET ({FET}); chunks left as {ends(s['exits'])}",
            f'ask it: nrem ask {plain(shlex.quote(str(folder)))} "..."',
        )
        if line
    )


def memory_to_dict(record: MemoryRecord, folder: Path) -> dict[str, Any]:
    """Everything that is known about a memory; `totals` are the figures of `summary`."""
    totals = summary(record, folder)
    return {"memory": str(folder), "totals": totals, "text_kept": (folder / TEXT).is_dir(), **record.to_dict()}


def memory_report(record: MemoryRecord, folder: Path) -> None:
    """Print it all for a person."""
    out, kept = console(), (folder / TEXT).is_dir()
    s = summary(record, folder)

    def tell(text: str) -> None:
        out.print(cell(text))

    tell(f"{folder}: made {record.created} on {record.base.short()}, protocol {record.protocol['id']}, seed {record.seed}")
    for line in (gain(s), recalled(s, text_kept=kept), rolled_back(record), over_budget(record), told(record)):
        if line:
            tell(line)
    tell(f"chunks left as {ends(s['exits'])}; {'evicted text kept' if kept else 'evicted text forgotten'}")
    if s["adapter_bytes"]:
        of_cache = f", {share(s['share_of_cache'])} of the attention cache of the same text" if s["share_of_cache"] else ""
        a_token = f", {s['adapter_bytes_per_token']:,.0f} bytes a token" if s["adapter_bytes_per_token"] else ""
        adapters = "adapter" if record.num_segments == 1 else plural(record.num_segments, "adapter")
        tell(f"{adapters}: {size(s['adapter_bytes'])}{a_token}{of_cache}")
        parts = ", ".join(f"{name.replace('_', ' ')} {size(count)}" for name, count in s["bytes_by_part"].items())
        tell(f"on disk: {size(s['bytes'])}: {parts}")
    out.print()
    out.print(hypnogram_text(record, out.width))
    for table in (documents_table(record), sleeps_table(record), chunks_table(record), costs_table(record)):
        out.print()
        out.print(table)
    tell(FET)
    if record.canary:
        out.print()
        tell(f"canary, the answer that it gave when it was made: {record.canary['question']} -> {record.canary['answer']}")


def library_table(entries: Sequence[Entry]) -> Table:
    """The memories of a folder, a line each."""
    table = plain_table("memory", "documents", ">tokens", ">chunks written", "right answers became", ">size", "base", "made")
    for entry in entries:
        if entry.record is None or entry.problem:
            why = entry.problem if entry.problem == UNFINISHED_ENTRY else "(cannot be used)"  # the sentence about it stands below the table
            table.add_row(cell(str(entry.folder)), why, "", "", "", size(entry.num_bytes), "", "")
            continue
        s = summary(entry.record, entry.folder)
        asked = s["probe_nll_before"] is not None
        table.add_row(
            cell(str(entry.folder)),
            cell(", ".join(s["documents"])),
            f"{s['tokens']:,}",
            f"{s['chunks_written']:,} of {s['chunks']:,}",
            times(s["probe_nll_before"] - s["probe_nll_after"]).removesuffix(", token for token") if asked else "-",
            size(entry.num_bytes),
            cell(entry.record.base.short()),
            cell(entry.record.created[:10]),
        )
    return table


def documents_table(record: MemoryRecord) -> Table:
    """What was read."""
    table = plain_table("document", "title", ">tokens", ">chunks", "sha256")
    for d in record.documents:
        table.add_row(cell(d.name), cell(d.title), f"{d.num_tokens:,}", str(d.num_chunks), d.sha256[:12])
    return table


def sleeps_table(record: MemoryRecord) -> Table:
    """Every sleep, and what the guard said; those in a row that the budget left without a pass are one line."""
    table = plain_table(">sleep", ">chunks", ">replayed", ">passes", *PROBES, ">FET", ">seconds", "guard")
    for paid, some in groupby(record.sleeps, key=lambda s: _paid(record, s)):
        for sleeps in [[s] for s in some] if paid else [list(some)]:
            first, last = sleeps[0], sleeps[-1]
            table.add_row(
                str(first.index + 1) if first is last else f"{first.index + 1}-{last.index + 1}",
                f"{sum(len(s.chunks) for s in sleeps):,}",
                str(sum(len(s.replayed) for s in sleeps)),
                str(first.passes),
                *_sleep_cells(record, first),
                f"{sum(s.fet for s in sleeps):,.0f}",
                f"{sum(s.seconds for s in sleeps):,.1f}",
                cell(("kept" if first.kept else f"rolled back: {first.reason}") if paid else "nothing written: the budget ran out"),
            )
    return table


def _paid(record: MemoryRecord, sleep: SleepRecord) -> bool:
    """Whether the budget left anything for it; chunks that were forgotten later are not there to tell."""
    return sleep.passes > 0 or not sleep.chunks or any(record.chunks[i].exit != "budget" for i in sleep.chunks)


def _sleep_cells(record: MemoryRecord, sleep: SleepRecord) -> tuple[str, ...]:
    """What its questions gained, over its chunks."""
    asked = [record.chunks[i] for i in sleep.chunks if record.chunks[i].num_probes]
    if not asked:
        return ("-",) * len(PROBES)
    nll = [sum(values) / len(asked) for values in ([c.nll_before for c in asked], [c.nll_after for c in asked])]
    return (
        str(sum(c.num_probes for c in asked)),
        *(f"{x:.2f}" for x in nll),
        share(sleep.recall_before),
        share(sleep.recall_after),
    )


def chunks_table(record: MemoryRecord) -> Table:
    """Every chunk: the passes that it was granted, what that did, and why it left; its segment, from 0, where there are several."""
    where = [">segment"] if record.num_segments > 1 else []
    table = plain_table(">chunk", "document", ">characters", ">tokens", ">surprisal", ">sleep", *where, ">passes", *PROBES, "exit")
    for c in record.chunks:
        table.add_row(
            str(c.index),
            cell(c.document),
            f"{c.start}-{c.end}",
            str(c.num_tokens),
            f"{c.surprisal:.2f}",
            str(c.sleep + 1) if c.sleep >= 0 else "",
            *([str(c.segment)] if where else []),
            str(c.passes),
            *probe_cells(c),
            c.exit or "waiting",
        )
    return table


def costs_table(record: MemoryRecord) -> Table:
    """FET and seconds by kind of work."""
    table, all_fet = plain_table("work", ">FET", ">share", ">seconds"), sum(record.fet.values())
    for kind in sorted(record.fet, key=lambda kind: -record.fet[kind]):
        part = share(record.fet[kind] / all_fet if all_fet else None)
        table.add_row(kind, f"{record.fet[kind]:,.0f}", part, f"{record.seconds.get(kind, 0.0):,.2f}")
    table.add_row("all", f"{all_fet:,.0f}", "", f"{sum(record.seconds.values()):,.2f}", style="bold")
    return table


ARM_NAMES = {
    "floor": "no document",
    "wrong": "wrong memory",
    "memory": "memory",
    "search": "memory, found chunk",
    "ensemble": "memory beside found chunk",
    "context": "document in the prompt",
}


def evaluation_report(out: Console, found: dict[str, Any]) -> None:
    """Print the scores of every arm of `Evaluation.to_dict`, and what they say together."""
    out.print(evaluation_table(found))
    if found["recovery"] is not None:
        out.print(f"recovery: {share(found['recovery'])} of the way from no document to the document in the prompt, in answer NLL")


def evaluation_table(found: dict[str, Any]) -> Table:
    """The scores of every arm of `Evaluation.to_dict`."""
    table = plain_table("arm", ">questions", ">exact", ">F1", ">answer NLL", ">FET", ">seconds")
    for name, arm in found["arms"].items():
        exact = f"{arm['em'] * arm['n']:.0f} of {arm['n']}"
        scores = (f"{arm['f1']:.3f}", f"{arm['nll']:.3f}", f"{arm['fet']:,.0f}", f"{arm['seconds']:.3f}")
        table.add_row(ARM_NAMES.get(name, name), str(arm["n"]), exact, *scores)
    return table


def check_report(checks: Sequence[Check]) -> None:
    """Print what was looked at."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for check in checks:
        mark = "[green]ok[/]" if check.ok else "[red]failed[/]" if check.needed else "[yellow]-[/]"
        table.add_row(mark, check.name, cell(check.found))
    console().print(table)


PROBES = (">questions", ">NLL before", ">after", ">recall before", ">after")
"""Columns of `probe_cells`: held-out questions, the NLL of their right answers, and how many are said word for word."""


def probe_cells(chunk: ChunkRecord) -> tuple[str, ...]:
    """What a chunk's questions said before and after its passes; dashes where none was asked."""
    if not chunk.num_probes:
        return ("-",) * len(PROBES)
    nll = f"{chunk.nll_before:.2f}", f"{chunk.nll_after:.2f}"
    return str(chunk.num_probes), *nll, share(chunk.recall_before), share(chunk.recall_after)


def plain_table(*columns: str, title: str = "") -> Table:
    """A table without a frame; a column whose name begins with `>` is set to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold", title=title or None, title_justify="left", title_style="bold")
    for name in columns:
        table.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    return table


def console(*, silent: bool = False) -> Console:
    """Standard output; lines are not folded to a terminal's width where there is no terminal."""
    out = Console(highlight=False, quiet=silent)
    return out if out.is_terminal else Console(highlight=False, quiet=silent, width=200)


def size(num_bytes: float) -> str:
    """
    >>> size(512), size(1536), size(3_400_000)
    ('512 B', '1.5 kB', '3.4 MB')
    """
    units = ["B", "kB", "MB", "GB"]
    while num_bytes >= 1000 and len(units) > 1:
        num_bytes, units = num_bytes / 1000, units[1:]
    return f"{num_bytes:.0f} {units[0]}" if num_bytes >= 100 or units[0] == "B" else f"{num_bytes:.1f} {units[0]}"


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None
