"""Chunks with questions, and what a bench answers about them: the common ground of benchmarks that write several memories at once.

A bench lends what was written uncut, so that many memories share a batch; what a saved adapter answers is measured by `closed_book`.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from statistics import fmean
from typing import Any, NamedTuple

import torch
from transformers import GenerationConfig

from nrem.consolidation.dream.dreamer import Dreamer
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.train.bench import Bench
from nrem.consolidation.train.data import Passage
from nrem.consolidation.write.lend import lent
from nrem.memory.errors import UsageError
from nrem.memory.stream.chunk import Chunk, QuestionAnswer, cut_chunks
from nrem.memory.weights.layers import lowest_layer
from nrem.runtime.measure.questions import QuestionedDocument
from nrem.runtime.measure.scores import score
from nrem.runtime.models.load import Base

QUESTIONS = 4
"""Asked about every chunk, drawn once; a chunk with fewer is asked some of them again, and they count once."""
MAX_NEW_TOKENS = 24


def make_bench(base: Base, protocol: Protocol) -> Bench:
    """A bench for a trained protocol; raises `UsageError` where there is none."""
    if protocol.learned is None:
        raise UsageError(f"{base.identity.name} has no trained protocol; train one, and name it with --set protocol.name=FOLDER")
    return Bench(SplitModel(base.model, lowest_layer(base.model, protocol.learned.names)), protocol, protocol.learned)


class AskedChunk(NamedTuple):
    """A chunk's text and what is asked about it."""

    document: str
    passage: Passage
    questions: list[QuestionAnswer]


def find_chunks(base: Base, documents: Sequence[QuestionedDocument], chunk_tokens: int, count: int) -> list[AskedChunk]:
    """The first `count` chunks about which something is asked: a question belongs to the only chunk of its document that has the answer.

    Raises `UsageError` where there are fewer.
    """
    rng = random.Random(0)
    found = list(islice((asked for document in documents for asked in chunks_of(base, document, chunk_tokens, rng)), count))
    if len(found) == count:
        return found
    raise UsageError(f"--chunks: there are {len(found)} chunks with questions, got {count}; lower it, or give other documents")


def chunks_of(base: Base, document: QuestionedDocument, chunk_tokens: int, rng: random.Random) -> Iterator[AskedChunk]:
    """The chunks of one document about which something is asked."""
    cut = cut_chunks([document.text], count_tokens=base.count_tokens, max_tokens=chunk_tokens, document=document.id, title=document.title)
    texts = [chunk.text for chunk in cut]
    for i, text in enumerate(texts):
        mine = [QuestionAnswer(q.question, q.answers[0]) for q in document.questions if only_holder(q.answers[0], texts) == i]
        if mine:
            yield AskedChunk(document.id, Passage(document.title, text, tuple(mine)), rng.sample(mine, min(QUESTIONS, len(mine))))


def only_holder(answer: str, texts: Sequence[str]) -> int | None:
    """Which of the texts holds an answer; None where none does, or several."""
    holding = [i for i, text in enumerate(texts) if answer in text]
    return holding[0] if len(holding) == 1 else None


def dreamt_about(dreamer: Dreamer | None, chunks: Sequence[AskedChunk]) -> list[AskedChunk]:
    """The chunks with what was dreamt about them; raises `UsageError` where nothing dreams."""
    if dreamer is None:
        raise UsageError("dreams: this protocol has no asker, or dreams.per_sentence is 0; nrem train-asker trains one")

    texts = [chunk.passage.text for chunk in chunks]
    read = [
        Chunk(document="", title=chunk.passage.title, index=0, start=0, end=len(text), text=text, num_tokens=0)
        for chunk, text in zip(chunks, texts, strict=True)
    ]
    dreamt = zip(chunks, dreamer.dream(read), strict=True)
    return [chunk._replace(passage=replace(chunk.passage, dreamt=dreaming.dreamt)) for chunk, dreaming in dreamt]


@dataclass
class Marks:
    """What was asked under one arm: one entry a question."""

    documents: list[str] = field(default_factory=list)
    nll: list[float] = field(default_factory=list)
    f1: list[float] = field(default_factory=list)
    em: list[float] = field(default_factory=list)

    def means(self) -> dict[str, Any]:
        """F1 and EM in percent, None where nothing was decoded, and NLL in nats per token."""
        f1, em = ([100 * x for x in marks] or None for marks in (self.f1, self.em))
        return {"f1": fmean(f1) if f1 else None, "em": fmean(em) if em else None, "nll": fmean(self.nll)}


@torch.no_grad()
def ask(
    bench: Bench, groups: Sequence[Sequence[AskedChunk]], fast: Any, marks: Marks, *, context: bool = False, decode: bool = True
) -> None:
    """Ask every group of chunks of its own memory (`fast`, in that order; None: nothing written), and note how it went."""
    most = max(len(chunk.questions) for group in groups for chunk in group)
    chunks = [chunk for group in groups for chunk in group]
    rows = [(chunk, chunk.questions[i % len(chunk.questions)], i < len(chunk.questions)) for chunk in chunks for i in range(most)]
    for start in range(0, len(rows), ROWS) if fast is None else [0]:  # a batch with memories has as many rows for each of them
        part = rows[start : start + ROWS] if fast is None else rows
        asked = [question for _, question, _ in part]
        contexts = [chunk.passage for chunk, _, _ in part] if context else None
        nlls = bench.answer_nll(asked, fast, contexts).tolist()
        texts = answers(bench, asked, fast, contexts) if decode else [""] * len(asked)
        for (chunk, question, counts), nll, text in zip(part, nlls, texts, strict=True):
            if counts:
                marks.documents.append(chunk.document)
                marks.nll.append(nll)
            if counts and decode:
                marked = score(question.question, text, [question.answer])
                marks.f1.append(marked.f1)
                marks.em.append(marked.em)


ROWS = 32
"""Questions of a batch without memories."""


@torch.no_grad()
def answers(bench: Bench, questions: Sequence[QuestionAnswer], fast: Any, contexts: Sequence[Passage] | None = None) -> list[str]:
    """Greedy answers; questions are group-major, as in `Bench.answer_nll`."""
    p = bench.protocol
    texts = [p.plain_ids(c.text.strip() + "\n\n") for c in contexts] if contexts else [()] * len(questions)
    prompts = [p.question_ids(q.question, context_ids=ids) for q, ids in zip(questions, texts, strict=True)]
    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[p.stop_id] * (width - len(prompt)) + prompt for prompt in prompts], device=bench.device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=bench.device)
    generation = GenerationConfig(max_new_tokens=MAX_NEW_TOKENS, do_sample=False, eos_token_id=p.stop_ids, pad_token_id=p.stop_id)
    with lent(bench.split.model, bench.parameters, fast):
        out = bench.split.model.generate(ids, attention_mask=mask, generation_config=generation)
    stops = set(p.stop_ids)
    said = [row[: next((i for i, t in enumerate(row) if t in stops), len(row))] for row in out[:, width:].tolist()]
    return [p.tokenizer.decode(row, skip_special_tokens=True).strip() for row in said]
