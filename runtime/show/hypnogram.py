"""The hypnogram: the picture of a night. Chunks along x; above, each one's passes and how it left, below, what its probes gained.

Readable from one chunk to a thousand: bars touch where there are many. Knows a memory's record and nothing else; `hypnogram_text` draws the
same in a terminal.
"""

from pathlib import Path

from nrem.memory.errors import ModelError, UsageError
from nrem.memory.saved.record import MemoryRecord

COLOURS = {"solved": "#2a9d8f", "hopeless": "#9a8c98", "cap": "#e9a23b", "budget": "#c8553d", "empty": "#efefef", "": "#d9d9d9"}
"""By exit; the last is for chunks that wait."""
INK, FAINT = "#22223b", "#c9c9d3"


def plot_hypnogram(record: MemoryRecord, picture: Path) -> Path:
    """Draw a memory's night as PNG, SVG or PDF, by the file's ending. Raises `UsageError` for another ending, or where no chunk is."""
    if picture.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise UsageError(f"--plot {picture}: got {picture.suffix or 'no ending'}, expected .png, .svg or .pdf")
    if not record.chunks:
        raise UsageError(f"--plot {picture}: the memory has no chunks, there is nothing to draw")
    try:
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch
    except ImportError:
        raise ModelError("--plot needs matplotlib: pip install 'nrem[plot]'") from None
    chunks = record.chunks
    width = min(16.0, max(6.0, 2.5 + 0.25 * len(chunks)))
    figure = Figure(figsize=(width, 4.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.5))
    places = list(range(len(chunks)))
    upper.bar(places, [c.passes for c in chunks], width=0.8 if len(chunks) < 120 else 1.0, color=[COLOURS[c.exit] for c in chunks])
    upper.set_ylabel("passes")
    upper.yaxis.get_major_locator().set_params(integer=True)
    asked = [(i, c) for i, c in enumerate(chunks) if c.num_probes and c.passes]
    if len(chunks) < 120:
        for i, c in asked:
            lower.plot([i, i], [c.nll_before, c.nll_after], color=FAINT, linewidth=2, zorder=1)
    size = 26 if len(chunks) < 120 else 6
    lower.scatter(
        [i for i, _ in asked], [c.nll_before for _, c in asked], s=size, facecolors="white", edgecolors=INK, linewidths=1, zorder=2
    )
    lower.scatter([i for i, _ in asked], [c.nll_after for _, c in asked], s=size, color=[COLOURS[c.exit] for _, c in asked], zorder=3)
    lower.set(ylabel="NLL of probes' answers\n(hollow: before, filled: after)", xlabel="chunk")
    lower.set_ylim(bottom=0)
    seen = [e for e in COLOURS if any(c.exit == e for c in chunks)]
    upper.legend(
        handles=[Patch(color=COLOURS[e], label=e or "waits") for e in seen],
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=len(seen),
        frameon=False,
    )
    title = ", ".join(d.title or d.name for d in record.documents[:3]) + (" ..." if len(record.documents) > 3 else "")
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontweight="bold", parse_math=False)  # "$" in a title is no formula
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlim(-0.7, len(chunks) - 0.3)
    figure.savefig(picture, dpi=160)
    return picture
