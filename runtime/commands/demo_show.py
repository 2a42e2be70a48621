"""What `nrem demo` shows: the document, the night, and what came of it."""

import shlex
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from nrem.runtime.measure.demo import Comparison, DemoNight
from nrem.runtime.measure.evaluate import Outcome
from nrem.runtime.show.memory import (
    ARM_NAMES,
    PROBES,
    evaluation_report,
    plain_table,
    probe_cells,
    size,
    sleeps_table,
    summary,
)
from nrem.runtime.show.night import gain, plural

EVERY = 6
"""Every so many questions one is shown with all its answers."""
FIRST_WORDS = 48


def show_document(out: Console, path: Path) -> None:
    """The beginning of what will be read."""
    text = path.read_text(encoding="utf-8")
    out.print(f"[bold]The document[/]  {path.name}, {len(text.split()):,} words about a place that no model knows; it begins:\n")
    out.print(escape(text.split("\n## ")[0].strip()), style="dim")


def show_night(out: Console, night: DemoNight) -> None:
    """What was evicted, and what the sleeps did with it."""
    record, stream = night.memory.record, night.config.stream
    out.print(
        f"\n[bold]Evicted[/]  the model reads {record.num_tokens:,} tokens in {plural(len(record.chunks), 'chunk')}; "
        f"its window holds {stream.window_tokens:,}, and what leaves it is gone for good and waits for the next sleep:\n"
    )
    evicted = {c.index: c for event in night.evictions for c in event.chunks}
    table = plain_table(">chunk", "begins", ">tokens", ">surprisal", ">passes", *PROBES, "exit")
    for c in record.chunks:
        begins = " ".join(evicted[c.index].text.split())[:FIRST_WORDS] if c.index in evicted else ""
        table.add_row(str(c.index), escape(begins), str(c.num_tokens), f"{c.surprisal:.2f}", str(c.passes), *probe_cells(c), c.exit)
    out.print(table)
    out.print(f"\n[bold]Sleeps[/]  passes write the chunks into fast weights; {gain(summary(record, None))}\n")
    out.print(sleeps_table(record))


def show_comparison(out: Console, night: DemoNight, comparison: Comparison) -> None:
    """Answers, scores, size and price."""
    arms, memory = comparison.evaluation.arms, night.memory
    shown = range(0, len(arms["memory"]), EVERY)
    out.print(f"\n[bold]Answers[/]  every {EVERY}th question; right ones are marked +\n")
    compared = [arm for arm in ("floor", "memory", "ensemble", "context") if arm in arms]
    table = plain_table("question", "right answer", *(ARM_NAMES[arm] for arm in compared))
    for i in shown:
        question = arms["memory"][i].question
        table.add_row(escape(question.question), escape(question.answers[0]), *(_said(arms[arm][i]) for arm in compared))
    out.print(table)
    out.print(f"\n[bold]Scores[/]  all {len(arms['memory'])} questions; no document in the prompt but in the last line\n")
    evaluation_report(out, comparison.evaluation.to_dict())
    parts = f"{size(memory.num_bytes)} in {plural(len(memory.segments), 'segment')}"
    out.print(f"\n[bold]Adapter[/]  {parts}, rank {memory.weights.rank}, protocol {memory.record.protocol['id']}")
    out.print("\n[bold]The cost of a question[/]  asked by itself\n")
    table = plain_table("", ">prompt tokens", ">of the document", ">FET", ">seconds")
    for name, answer in (("memory", comparison.by_memory), ("document in the prompt", comparison.by_context)):
        table.add_row(name, f"{answer.prompt_tokens:,}", f"{answer.document_tokens:,}", f"{answer.fet:,.0f}", f"{answer.seconds:.2f}")
    out.print(table)
    hint = f"nrem ask {shlex.quote(str(memory.folder))} {shlex.quote(arms['memory'][0].question.question)}"
    out.print(f"\nThe memory is in {memory.folder}; ask it something:\n\n    {hint}", markup=False)


def _said(outcome: Outcome) -> str:
    answer = escape(" ".join(outcome.answer.answer.split()) or "(nothing)")
    return f"[green]+ {answer}[/]" if outcome.score.em else answer
