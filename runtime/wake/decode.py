"""Asking a base model: answers by greedy decoding or drawn, thoughts before them, the likelihood of given ones, and what each costs.

Whatever fast weights are attached at the time take part. A text that several questions share is read once and its cache reused. Knows
nothing about memories or scores.
"""

import copy
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Self, TypeVar

import torch
from torch import Tensor

from nrem.consolidation.budget import CostModel
from nrem.consolidation.probe.items import Batch, Item, collate, pack
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.read.split_model import SplitModel
from nrem.consolidation.train.data import NOT_STATED
from nrem.runtime.models.load import Base
from nrem.runtime.wake.answer import Answer, Thought
from nrem.runtime.wake.config import AnswerConfig
from nrem.runtime.wake.generate import Generated, Generator, checked
from nrem.runtime.wake.normal import normalise
from nrem.runtime.wake.prompt import Prompt, fitted, prompts_of
from nrem.runtime.wake.witnesses import BesideReader, Witnesses, together

NLL_TOKENS = 4096
"""Padded tokens computed at once for the likelihood of given answers."""
SHORT_TEXT = 512
"""Tokens up to which a text is read again with every question: decoding together saves more than reading once."""
ASKED = 1 / 16
"""Of what the model can read, left for a question beside a long text, so that the same part of it stands beside them all; a longer question
gets what it needs."""
WORDS = 32
"""More than a prompt has of its own between text, question and thought."""
TEMPERATURE = 0.7
"""Of answers that are drawn."""
FLOOR = 0.5
"""Share of a thought's cap before which it does not end."""
WAIT = " Wait"
"""What a thought that would end too early goes on with (s1, arXiv 2501.19393); its first token, where it is more than one."""
T = TypeVar("T")
R = TypeVar("R")


class Answerer:
    """Asks one base model."""

    def __init__(self, base: Base, protocol: Protocol, config: AnswerConfig, seed: int = 0) -> None:
        self.base, self.protocol, self.config, self.seed = base, protocol, config, seed
        self.cost = CostModel.of(base.model)
        self.witnesses: Witnesses | None = None
        self._generator = Generator(base.model, protocol.stop_ids, protocol.stop_id, protocol.answer_ids(NOT_STATED)[0])

    def before(self, witnesses: Witnesses) -> Self:
        """The same, with witnesses who have a say in `ask_all` and `nlls`."""
        other = copy.copy(self)
        other.witnesses = witnesses
        return other

    def ask(self, question: str, context: str = "") -> Answer:
        """Answer one question by itself, the text in the prompt read anew: the honest price of a single question."""
        return self._answers(prompts_of(self.protocol, [question], [self._fit(context, [question])]))[0]

    def ask_all(self, questions: Sequence[str], contexts: str | Sequence[str] = "", thoughts: Sequence[Thought] = ()) -> list[Answer]:
        """Answer many questions, each with its text of `contexts` in the prompt, or all with the same, and behind its thought where there
        are such: in batches where texts are short, one after the other over one reading of a long one that all share.

        Seconds are the mean over what was decoded together; FET, and seconds of a long text that all share, are charged as if each question
        read its text itself.
        """
        prompts = prompts_of(self.protocol, questions, self._fit_all(contexts, questions, thoughts), thoughts)
        if self._share_a_text(contexts, prompts):
            return [self._answer_behind(prompt) for prompt in prompts]
        return self._in_batches(prompts, lambda prompt: len(prompt.ids), self._answers)

    @torch.no_grad()
    def nlls(self, pairs: Sequence[tuple[str, str]], contexts: str | Sequence[str] = "", thoughts: Sequence[Thought] = ()) -> list[float]:
        """Mean NLL of given answers, nats per token, for (question, answer) pairs; `contexts` and `thoughts` as in `ask_all`."""
        questions = [question for question, _ in pairs]
        prompts = prompts_of(self.protocol, questions, self._fit_all(contexts, questions, thoughts), thoughts)
        items = [Item(i, (), p.ids, self.protocol.answer_ids(a)) for i, (p, (_, a)) in enumerate(zip(prompts, pairs, strict=True))]
        if self._share_a_text(contexts, prompts):
            return checked([self._nll_behind(item, prompt) for item, prompt in zip(items, prompts, strict=True)])
        out, whole = [0.0] * len(pairs), SplitModel(self.base.model, 0)
        for group in pack(items, NLL_TOKENS):
            batch = collate(group, self.protocol.stop_id, self.base.model.device)
            logits = self._logits(batch, [prompts[item.chunk] for item in group], whole)
            nll = torch.nn.functional.cross_entropy(logits.float(), batch.targets, reduction="none")
            for row, item in enumerate(group):
                out[item.chunk] = float(nll[batch.owner == row].mean())
        return checked(out)

    def think(self, questions: Sequence[str], contexts: Sequence[str], most: int) -> list[Thought]:
        """A thought of at most `most` tokens for every question: greedy, and told to wait where it ends before `FLOOR` of them."""
        rows = [(question, self._fit(text, [question], most)) for question, text in zip(questions, contexts, strict=True)]
        return self._in_batches(rows, lambda row: len(row[1]), lambda batch: self._thoughts(batch, most))

    def draw(self, question: str, context: str, together: Sequence[int]) -> Iterator[Answer]:
        """Answers drawn at `TEMPERATURE`, as many at once as `together` says, when the last of those before is asked for. The same seed
        and question give the same ones. The prompt is read once, and is in the price of the first."""
        (prompt,) = prompts_of(self.protocol, [question], [self._fit(context, [question])])
        digest = hashlib.sha256(f"{self.seed}\n{question}".encode()).digest()
        seed, read = int.from_bytes(digest[:6], "big"), False
        self._generator.forget()
        for batch, number in enumerate(together):
            started = time.perf_counter()
            drawn = self._generator.drawn(prompt.ids, number, seed + batch, TEMPERATURE, self.config.max_new_tokens)
            seconds = (time.perf_counter() - started) / number
            for generated in drawn:
                yield self._answer(prompt, generated, seconds, read=read)
                read = True
        self._generator.forget()

    def forget_context(self) -> None:
        """Drop the cached text; needed when other fast weights are attached."""
        self._generator.forget()

    def _logits(self, batch: Batch, prompts: Sequence[Prompt], whole: SplitModel) -> Tensor:
        """At a batch's answers, (selected vocab): the model's own, or all witnesses' together."""
        logits = batch.logits(whole)
        if self.witnesses is None:
            return logits
        asked = [replace(item, prompt=self._alone(prompt.question)) for item, prompt in zip(batch.items, prompts, strict=True)]
        alone = collate(asked, self.protocol.stop_id, self.base.model.device)
        with self.witnesses.adapter_on():
            on = [batch.logits(whole), alone.logits(whole)]
        weights = self.witnesses.weights([prompt.text_ids for prompt in prompts]).to(batch.owner.device)
        return together([logits, *on, alone.logits(whole)], weights[batch.owner])

    def _alone(self, question: str) -> list[int]:
        """The prompt without a text."""
        return self.protocol.question_ids(question)

    def _in_batches(self, rows: Sequence[T], length: Callable[[T], int], work: Callable[[list[T]], list[R]]) -> list[R]:
        """In the order of `rows`; those of like length together, since padding is decoded like text."""
        found: dict[int, R] = {}
        order = sorted(range(len(rows)), key=lambda n: (length(rows[n]), n))
        for start in range(0, len(order), self.config.batch_size):
            group = order[start : start + self.config.batch_size]
            found |= zip(group, work([rows[n] for n in group]), strict=True)
        return [found[n] for n in range(len(rows))]

    def _share_a_text(self, contexts: str | Sequence[str], prompts: Sequence[Prompt]) -> bool:
        return isinstance(contexts, str) and bool(prompts) and len(prompts[0].text_ids) > SHORT_TEXT

    def _fit_all(self, contexts: str | Sequence[str], questions: Sequence[str], thoughts: Sequence[Thought]) -> list[list[int]]:
        lengths = [len(thought.ids) for thought in thoughts] or [0] * len(questions)
        if isinstance(contexts, str):
            return [self._fit(contexts, questions, max(lengths, default=0))] * len(questions)
        return [self._fit(text, [question], length) for text, question, length in zip(contexts, questions, lengths, strict=True)]

    def _fit(self, context: str, questions: Sequence[str], thought: int = 0) -> list[int]:
        """Tokens of the text, as many of them as the model can read beside the longest of these questions, a thought and an answer."""
        if not context:
            return []
        asked = max((len(self.protocol.question_ids(question)) for question in questions), default=0)
        most = self.base.max_positions
        return fitted(self.protocol, context, most - max(round(ASKED * most), asked + WORDS) - thought - self.config.max_new_tokens)

    def _answers(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """In one batch."""
        started, beside = time.perf_counter(), None
        ids = [prompt.ids for prompt in prompts]
        if self.witnesses is not None:
            alone, texts = [self._alone(p.question) for p in prompts], [p.text_ids for p in prompts]
            beside = BesideReader(self.base.model, self.witnesses, ids, alone, texts, self.protocol.stop_id)
        found = self._generator.together(ids, self.config.max_new_tokens, beside=beside)
        seconds = (time.perf_counter() - started) / len(prompts)
        return [self._answer(prompt, generated, seconds) for prompt, generated in zip(prompts, found, strict=True)]

    def _answer_behind(self, prompt: Prompt) -> Answer:
        """Behind one reading of a long text, which counts in full for each."""
        prefix = self.protocol.question_prefix(prompt.text_ids)
        reading, started = self._generator.seconds_of(prefix), time.perf_counter()
        found = self._generator.behind(prefix, prompt.ids, self.config.max_new_tokens)
        return self._answer(prompt, found, reading + time.perf_counter() - started)

    def _nll_behind(self, item: Item, prompt: Prompt) -> float:
        prefix = self.protocol.question_prefix(prompt.text_ids)
        cache = self._generator.cache_of(prefix)
        rest = torch.tensor([[*item.prompt[len(prefix) :], *item.answer]], device=self.base.model.device)
        out = self.base.model(input_ids=rest, logits_to_keep=len(item.answer) + 1, **{self._generator.cache_name: cache})
        target = torch.tensor(item.answer, device=rest.device)
        return float(torch.nn.functional.cross_entropy(out.logits[0, :-1].float(), target))

    def _thoughts(self, rows: Sequence[tuple[str, list[int]]], most: int) -> list[Thought]:
        """In one batch."""
        started, wait = time.perf_counter(), self.protocol.plain_ids(WAIT)[0]
        prompts = [self.protocol.thought_ids(question, context_ids=text) for question, text in rows]
        found = self._generator.together(prompts, most, least=round(FLOOR * most), instead=wait)
        seconds = (time.perf_counter() - started) / len(rows)
        return [
            Thought(generated.tokens, self._text(generated.tokens), seconds, self._fet(len(prompt), len(generated.tokens)))
            for prompt, generated in zip(prompts, found, strict=True)
        ]

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self.base.tokenizer.decode(tokens, skip_special_tokens=True)).strip()

    def _fet(self, length: int, steps: int, *, read: bool = False) -> float:
        """Of so many tokens said behind a prompt of a length; the adapter's own products are left out, a twentieth on the default model."""
        said = self.cost.forward(steps, length + steps / 2)
        return said if read else said + self.cost.forward(length, length / 2, head_tokens=1)

    def _answer(self, prompt: Prompt, found: Generated, seconds: float, *, read: bool = False) -> Answer:
        """With its price; `read` tells that somebody else has paid for the prompt."""
        length, text, steps = len(prompt.ids), self._text(found.tokens), max(len(found.tokens), 1)
        fet = self._fet(length, steps, read=read) + (prompt.thought.fet if prompt.thought else 0.0)
        if self.witnesses is not None:  # the prompt once more, and the question by itself twice
            fet += self._fet(length, steps) + 2 * self._fet(len(self._alone(prompt.question)), steps)
        probability = round(math.exp(sum(found.log_p) / max(1, len(found.log_p))), 4)
        not_stated, unlikely = round(found.watched, 6), self.config.not_stated
        return Answer(
            question=prompt.question,
            answer=text,
            prompt_tokens=length - prompt.thought_tokens,
            document_tokens=len(prompt.text_ids),
            answer_tokens=len(found.tokens),
            fet=round(fet, 1),
            seconds=seconds + (prompt.thought.seconds if prompt.thought else 0.0),
            confidence=probability,
            token_confidence=probability,
            thought_tokens=prompt.thought_tokens,
            thought=prompt.thought.text if prompt.thought else "",
            not_stated=not_stated,
            stated=normalise(text) != NOT_STATED and not 0 < unlikely <= not_stated,
        )
