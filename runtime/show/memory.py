"""What a terminal shows of memories: summaries for programs, sentences and tables for people. Knows nothing about how they were made."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nrem.memory.library.folder import Entry
from nrem.memory.saved.files import ADAPTER_WEIGHTS, TEXT, segment_folder
from nrem.memory.saved.record import ChunkRecord, MemoryRecord
from nrem.runtime.checks.check import Check
from nrem.runtime.show.hypnogram_text import hypnogram_text


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
        **_bytes(record, folder),
    }


def _bytes(record: MemoryRecord, folder: Path | None) -> dict[str, Any]:
    """What the adapters take, a token, and as a share of the attention cache of the same text; null where it is not saved or not known."""
    paths = [segment_folder(folder, index) / ADAPTER_WEIGHTS for index in range(record.num_segments)] if folder else []
    taken = sum(path.stat().st_size for path in paths if path.exists())
    tokens, cache = record.num_tokens, record.cache_token_bytes
    return {
        "adapter_bytes": taken or None,
        "adapter_bytes_per_token": round(taken / tokens, 1) if taken and tokens else None,
        "share_of_cache": round(taken / (tokens * cache), 4) if taken and tokens and cache else None,
    }


def sleep_report(record: MemoryRecord, folder: Path) -> str:
    """A finished sleep in three lines."""
    s = summary(record, folder)
    exits = ", ".join(f"{count} {reason}" for reason, count in s["exits"].items())
    return "\n".join(
        [
            f"{folder}: {plural(s['tokens'], 'token')} in {plural(s['chunks'], 'chunk')}, {plural(s['sleeps'], 'sleep')}, "
            f"up to {plural(s['passes'], 'pass', 'passes')} a chunk, {s['fet']:,.0f} FET, {s['seconds']:,.1f} s",
            f"held-out probes: {probes(s)}; chunks left as: {exits}",
            f'ask it: nrem ask {folder} "..."',
        ]
    )


def memory_to_dict(record: MemoryRecord, folder: Path) -> dict[str, Any]:
    """Everything that is known about a memory; `totals` are the figures of `summary`."""
    totals = summary(record, folder)
    return {"memory": str(folder), "totals": totals, "text_kept": (folder / TEXT).is_dir(), **record.to_dict()}


def memory_report(record: MemoryRecord, folder: Path) -> None:
    """Print it all for a person."""
    out = console()
    s = summary(record, folder)
    out.print(f"[bold]{folder}[/]: made {record.created} on {record.base.short()}, protocol {record.protocol['id']}, seed {record.seed}")
    text = "evicted text kept" if (folder / TEXT).is_dir() else "evicted text forgotten"
    out.print(f"held-out probes: {probes(s)}; {text}")
    if s["adapter_bytes"]:
        of_cache = f", {share(s['share_of_cache'])} of the attention cache of the same text" if s["share_of_cache"] else ""
        out.print(f"adapter: {size(s['adapter_bytes'])}, {s['adapter_bytes_per_token']:,.0f} bytes a token{of_cache}")
    out.print()
    out.print(hypnogram_text(record, out.width))
    for table in (documents_table(record), sleeps_table(record), chunks_table(record), costs_table(record)):
        out.print()
        out.print(table)
    if record.canary:
        out.print(f"\ncanary: {record.canary['question']} -> {record.canary['answer']}", markup=False)


def library_table(entries: Sequence[Entry]) -> Table:
    """The memories of a folder, a line each."""
    table = plain_table("memory", "documents", ">tokens", ">passes", ">recall before", ">after", ">size", "base", "made")
    for entry in entries:
        if entry.record is None or entry.problem:
            table.add_row(str(entry.folder), entry.problem, "", "", "", "", size(entry.num_bytes), "", "")
            continue
        s = summary(entry.record, entry.folder)
        table.add_row(
            str(entry.folder),
            ", ".join(s["documents"]),
            f"{s['tokens']:,}",
            str(s["passes"]),
            share(s["recall_before"]),
            share(s["recall_after"]),
            size(entry.num_bytes),
            entry.record.base.short(),
            entry.record.created[:10],
        )
    return table


def documents_table(record: MemoryRecord) -> Table:
    """What was read."""
    table = plain_table("document", "title", ">tokens", ">chunks", "sha256")
    for d in record.documents:
        table.add_row(d.name, d.title, f"{d.num_tokens:,}", str(d.num_chunks), d.sha256[:12])
    return table


def sleeps_table(record: MemoryRecord) -> Table:
    """Every sleep, and what the guard said."""
    table = plain_table(">sleep", ">chunks", ">replayed", ">passes", ">recall before", ">after", ">FET", ">seconds", "guard")
    for s in record.sleeps:
        table.add_row(
            str(s.index + 1),
            str(len(s.chunks)),
            str(len(s.replayed)),
            str(s.passes),
            share(s.recall_before),
            share(s.recall_after),
            f"{s.fet:,.0f}",
            f"{s.seconds:,.1f}",
            "kept" if s.kept else f"rolled back: {s.reason}",
        )
    return table


def chunks_table(record: MemoryRecord) -> Table:
    """Every chunk: the passes that it was granted, what that did, and why it left."""
    table = plain_table(">chunk", "document", ">characters", ">tokens", ">surprisal", ">sleep", ">passes", *PROBES, "exit")
    for c in record.chunks:
        table.add_row(
            str(c.index),
            c.document,
            f"{c.start}-{c.end}",
            str(c.num_tokens),
            f"{c.surprisal:.2f}",
            str(c.sleep + 1) if c.sleep >= 0 else "",
            str(c.passes),
            *probe_cells(c),
            c.exit or "waiting",
        )
    return table


def costs_table(record: MemoryRecord) -> Table:
    """FET and seconds by kind of work."""
    table = plain_table("work", ">FET", ">seconds")
    for kind in sorted(record.fet, key=lambda kind: -record.fet[kind]):
        table.add_row(kind, f"{record.fet[kind]:,.0f}", f"{record.seconds.get(kind, 0.0):,.2f}")
    table.add_row("all", f"{sum(record.fet.values()):,.0f}", f"{sum(record.seconds.values()):,.2f}", style="bold")
    return table


ARM_NAMES = {
    "floor": "no document",
    "wrong": "wrong memory",
    "memory": "memory",
    "search": "memory, found chunk",
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
        table.add_row(mark, check.name, escape(check.found))
    console().print(table)


PROBES = (">recall before", ">after", ">NLL before", ">after")
"""Columns of `probe_cells`."""


def probe_cells(chunk: ChunkRecord) -> tuple[str, ...]:
    """What a chunk's held-out probes said before and after its passes; dashes where it has none."""
    if not chunk.num_probes:
        return ("-",) * len(PROBES)
    return share(chunk.recall_before), share(chunk.recall_after), f"{chunk.nll_before:.2f}", f"{chunk.nll_after:.2f}"


def probes(found: dict[str, Any]) -> str:
    """The same over all chunks of a `summary`, in words."""
    if found["recall_before"] is None:
        return "none, the text states nothing that can be asked for"
    recall = f"recall {share(found['recall_before'])} before, {share(found['recall_after'])} after"
    return f"{recall}, answer NLL {found['probe_nll_before']:.2f} before, {found['probe_nll_after']:.2f} after"


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


def plural(count: int, one: str, many: str = "") -> str:
    """
    >>> plural(1, "pass", "passes"), plural(1200, "token")
    ('1 pass', '1,200 tokens')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def share(value: float | None) -> str:
    """A share of 1 in per cent, or a dash."""
    return "-" if value is None else f"{100 * value:.0f} %"


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
