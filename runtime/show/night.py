"""What a night came to, in sentences for a person: what the answers gained, what was written, and what a budget left out.

Leads with answer NLL, which moves long before an answer is given word for word. Knows a memory's record and nothing about terminals.
"""

import math
from collections import Counter
from typing import Any

from nrem.memory.saved.record import ChunkRecord, MemoryRecord

EXITS = {
    "solved": "known",
    "hopeless": "no gain to expect",
    "cap": "another pass promises too little, or it had the most there are",
    "budget": "no budget for more passes",
    "waiting": "not slept on yet",
    "empty": "nothing in it to learn",
}
"""What the words for how a chunk left mean."""
FET = "1 FET (forward-equivalent token) is what one token through the base model costs"


def is_written(record: MemoryRecord, chunk: ChunkRecord) -> bool:
    """Whether a pass over it was made, and kept."""
    return record.passes_kept(chunk) > 0


def counts(record: MemoryRecord) -> dict[str, Any]:
    """What was asked and written, for `summary`."""
    asked = [c for c in record.chunks if c.num_probes]
    written = [c for c in record.chunks if is_written(record, c)]
    return {
        "questions": sum(c.num_probes for c in asked),
        "chunks_asked": len(asked),
        "sample": any(s.sample for s in record.sleeps),
        "chunks_written": len(written),
        "tokens_written": sum(c.num_tokens for c in written),
    }


def gain(found: dict[str, Any]) -> str:
    """What the questions of a `summary` gained; says so where there were none."""
    before, after = found["probe_nll_before"], found["probe_nll_after"]
    if before is None:
        return "no questions were asked: " + (
            "nothing was written" if not found["chunks_written"] else "the text states nothing that can be asked for"
        )
    of = f"{plural(found['questions'], 'question')} about {found['chunks_asked']:,} of {plural(found['chunks'], 'chunk')}"
    change = times(before - after)
    return f"right answers to {of} became {change}: answer NLL {before:.2f} before, {after:.2f} after (nats a token, less is surer)"


def times(nats: float) -> str:
    """
    >>> times(2.23), times(-0.5), times(0.001)
    ('9.3 times as likely, token for token', '1.6 times less likely, token for token', 'no likelier')
    """
    if abs(nats) < 0.005:
        return "no likelier"
    factor = math.exp(min(abs(nats), 30.0))
    return f"{factor:,.{1 if factor < 100 else 0}f} times {'as' if nats > 0 else 'less'} likely, token for token"


def recalled(found: dict[str, Any], *, text_kept: bool) -> str:
    """How many are said word for word, and why that is not the measure of a night; empty where nothing was asked."""
    if found["recall_before"] is None:
        return ""
    said = f"{share(found['recall_before'])} before, {share(found['recall_after'])} after"
    why = "; nrem ask does not hang on that, it puts the chunk that it finds in the prompt" if text_kept else ""
    return f"said word for word with no text in the prompt (recall): {said}{why}"


def ends(exits: dict[str, int]) -> str:
    """How chunks left, in words.

    >>> ends({"cap": 2, "budget": 1})
    '2 cap (another pass promises too little, or it had the most there are), 1 budget (no budget for more passes)'
    """
    return ", ".join(f"{count:,} {reason} ({EXITS[reason]})" for reason, count in exits.items())


def over_budget(record: MemoryRecord) -> str:
    """One sentence where a budget ran out before every chunk was written, else nothing."""
    if not any(c.exit == "budget" and not c.passes for c in record.chunks):
        return ""
    found, total = counts(record), sum(c.num_tokens for c in record.chunks)
    written, only_text = found["chunks_written"], len(record.chunks) - found["chunks_written"]
    return (
        f"the budget ran out{_limit(record)}: {written:,} of {plural(len(record.chunks), 'chunk')} ({found['tokens_written']:,} of "
        f"{total:,} tokens) were written, the other {only_text:,} are kept as text only, which search finds; a larger --budget writes more"
    )


def rolled_back(record: MemoryRecord) -> str:
    """One sentence where the guard undid something, else nothing."""
    undone = [s for s in record.sleeps if not s.kept]
    if not undone:
        return ""
    reasons = Counter(s.reason for s in undone).most_common(1)[0][0]
    them = "it" if len(undone) == 1 else "them"
    return f"the guard undid {plural(len(undone), 'sleep')} of {len(record.sleeps):,}, so nothing of {them} is in the adapter: {reasons}"


def night(record: MemoryRecord) -> str:
    """The line at the end of a night."""
    found = counts(record)
    return (
        f"read {plural(sum(c.num_tokens for c in record.chunks), 'token')}, wrote {found['chunks_written']:,} of "
        f"{plural(len(record.chunks), 'chunk')} in {plural(len(record.sleeps), 'sleep')}, {sum(record.seconds.values()):,.0f} s"
    )


def plural(count: int, one: str, many: str = "") -> str:
    """
    >>> plural(1, "pass", "passes"), plural(1200, "token")
    ('1 pass', '1,200 tokens')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def share(value: float | None) -> str:
    """A share of 1 in per cent, or a dash."""
    return "-" if value is None else f"{100 * value:.0f} %"


def _limit(record: MemoryRecord) -> str:
    sleep = record.config.get("sleep")
    caps = [sleep.get(key) if isinstance(sleep, dict) else 0 for key in ("budget_fet", "budget_seconds")]
    fet, seconds = (cap if isinstance(cap, (int, float)) else 0 for cap in caps)  # as the file has it
    limits = [f"{fet:,.0f} FET"] if fet else []
    limits += [f"{seconds:g} s"] if seconds else []
    return f" ({' and '.join(limits)})" if limits else ""
