"""What trainings show: a line for every stretch of one, and a table of a finished protocol."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from nrem.runtime.show.memory import plain_table
from nrem.runtime.show.night import plural

KINDS = {"loss": "answer NLL", "reading": "with the passage in the prompt"}
"""What a line of the log says of a stretch of training."""


def log_line(figures: Mapping[str, Any]) -> str:
    """One entry of the log in a line."""
    start = f"step {figures['step']}, {figures['minutes']:.1f} min: "
    if figures["kind"] == "train":
        return start + ", ".join(f"{KINDS[key]} {figures[key]:.3f}" for key in KINDS if key in figures)
    parts = [f"floor {figures['floor']:.3f}"]
    for kind in ("right", "wrong"):
        parts += [f"{kind} memory after {plural(level, 'pass', 'passes')} {value:.3f}" for level, value in figures[kind].items()]
    return start + "held out: " + ", ".join(parts)


def asker_line(figures: Mapping[str, Any]) -> str:
    """One entry of the log of an asker's training in a line."""
    said = f"loss {figures['loss']:.3f}" if figures["kind"] == "train" else f"held out: {figures['held_out']:.3f}"
    return f"step {figures['step']}, {figures['minutes']:.1f} min: {said}"


def held_out_table(figures: Mapping[str, Any]) -> Table:
    """Answer NLL of held-out passages by number of passes."""
    levels = list(figures["right"])
    columns = [f">{plural(level, 'pass', 'passes')}" for level in levels]
    table = plain_table("held-out answer NLL", ">no pass", *columns, ">text in the prompt")
    context = f"{figures['context']:.3f}" if "context" in figures else "-"
    table.add_row("right memory", f"{figures['floor']:.3f}", *(f"{figures['right'][level]:.3f}" for level in levels), context)
    table.add_row("wrong memory", "", *(f"{figures['wrong'][level]:.3f}" for level in levels), "")
    return table
