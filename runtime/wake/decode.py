"""Answers: greedy decoding in the protocol's words, with or without a text in the prompt, and what each one costs.

Whatever fast weights are attached at the time take part. A text that several questions share is read once and its cache reused. Knows
nothing about memories or scores.
"""

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from transformers import DynamicCache, GenerationConfig

from nrem.consolidation.budget import CostModel
from nrem.consolidation.probe.items import Item, collate, pack
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.read.split_model import SplitModel, cache_argument
from nrem.memory.errors import SleepError
from nrem.runtime.models.load import Base
from nrem.runtime.wake.config import AnswerConfig

NLL_TOKENS = 4096
"""Padded tokens computed at once for the likelihood of given answers."""
SHORT_TEXT = 512
"""Tokens up to which a text is read again with every question: decoding together saves more than reading once."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer and its price."""

    question: str
    answer: str
    prompt_tokens: int
    document_tokens: int
    """Tokens of the prompt that come from a text; 0 closed book."""
    answer_tokens: int
    fet: float
    seconds: float
    confidence: float = 0.0
    """Probability that the answer is right, where `nrem ceiling` has calibrated it for the protocol and this way of answering: so often
    were the answers of that measurement right that had this `token_confidence`. Elsewhere `token_confidence` itself."""
    token_confidence: float = 0.0
    """Probability that greedy decoding gave to the answer, per token (geometric mean), 0 to 1. Not the probability that it is right."""
    way: str = "direct"
    """How it was found, a row of `ways.WAYS`."""
    leans_on: tuple[dict[str, Any], ...] = ()
    """The chunks in the prompt: document, chunk (its index), start and end (offsets in the document), heading."""
    passes: int = 0
    """Passes that were spent on this question alone, since the first answer was not sure enough; their FET and seconds are in its price."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Answerer:
    """Asks one base model."""

    def __init__(self, base: Base, protocol: Protocol, config: AnswerConfig) -> None:
        self.base, self.protocol, self.config = base, protocol, config
        self.cost = CostModel.of(base.model)
        self._cache_name = cache_argument(base.model)
        self._context: tuple[list[int], DynamicCache] | None = None

    def ask(self, question: str, context: str = "") -> Answer:
        """Answer one question by itself, the text in the prompt read anew: the honest price of a single question."""
        return self._decode([question], [self._fit(context)])[0]

    def ask_all(self, questions: Sequence[str], contexts: str | Sequence[str] = "") -> list[Answer]:
        """Answer many questions, each with its text of `contexts` in the prompt, or all with the same: in batches where texts are short,
        one after the other over one reading of a long one that all share.

        Seconds are the mean over what was decoded together; FET are charged as if each question read its text itself.
        """
        fitted = self._fit_all(contexts, len(questions))
        if isinstance(contexts, str) and fitted and len(fitted[0]) > SHORT_TEXT:
            return [self._decode_after(question, fitted[0]) for question in questions]
        found: dict[int, Answer] = {}
        order = sorted(range(len(questions)), key=lambda n: (len(fitted[n]), n))  # of like length together: padding is decoded like text
        for start in range(0, len(order), self.config.batch_size):
            group = order[start : start + self.config.batch_size]
            found |= zip(group, self._decode([questions[n] for n in group], [fitted[n] for n in group]), strict=True)
        return [found[n] for n in range(len(questions))]

    @torch.no_grad()
    def nlls(self, pairs: Sequence[tuple[str, str]], contexts: str | Sequence[str] = "") -> list[float]:
        """Mean NLL of given answers, nats per token, for (question, answer) pairs; `contexts` as in `ask_all`."""
        fitted = self._fit_all(contexts, len(pairs))
        prompts = [self.protocol.question_ids(q, context_ids=ids) for (q, _), ids in zip(pairs, fitted, strict=True)]
        items = [Item(i, (), p, self.protocol.answer_ids(a)) for i, (p, (_, a)) in enumerate(zip(prompts, pairs, strict=True))]
        if isinstance(contexts, str) and fitted and len(fitted[0]) > SHORT_TEXT:
            return [self._nll_after(item, fitted[0]) for item in items]
        out, whole = [0.0] * len(pairs), SplitModel(self.base.model, 0)
        for group in pack(items, NLL_TOKENS):
            batch = collate(group, self.protocol.stop_id, self.base.model.device)
            nll = torch.nn.functional.cross_entropy(batch.logits(whole).float(), batch.targets, reduction="none")
            for row, item in enumerate(group):
                out[item.chunk] = float(nll[batch.owner == row].mean())
        return out

    def _nll_after(self, item: Item, fitted: list[int]) -> float:
        """Of one answer, behind one reading of a long text."""
        cache, start = self._cache_of(fitted)
        rest = torch.tensor([[*item.prompt[start:], *item.answer]], device=self.base.model.device)
        logits = self.base.model(input_ids=rest, logits_to_keep=len(item.answer) + 1, **{self._cache_name: cache}).logits[0, :-1]
        target = torch.tensor(item.answer, device=logits.device)
        return float(torch.nn.functional.cross_entropy(logits.float(), target))

    def _fit_all(self, contexts: str | Sequence[str], count: int) -> list[list[int]]:
        return [self._fit(contexts)] * count if isinstance(contexts, str) else [self._fit(context) for context in contexts]

    def _fit(self, context: str) -> list[int]:
        """Tokens of the text; its middle is left out where it exceeds what the model can read beside a question."""
        if not context:
            return []
        ids = self.protocol.plain_ids(context.strip() + "\n\n")
        room = self.base.max_positions - 256 - self.config.max_new_tokens
        return ids if len(ids) <= room else ids[: room // 2] + ids[-(room - room // 2) :]

    def _cache_of(self, fitted: list[int]) -> tuple[Any, int]:
        """A cache that holds the prompt up to the end of the text, fresh for every question; read once."""
        prefix = self.protocol.question_prefix(fitted)
        if self._context is None or self._context[0] != prefix:
            cache = DynamicCache(config=self.base.model.config)
            ids = torch.tensor([prefix], device=self.base.model.device)
            self.base.model(input_ids=ids, logits_to_keep=1, **{self._cache_name: cache})
            self._context = (prefix, cache)
        return copy.deepcopy(self._context[1]), len(prefix)

    def forget_context(self) -> None:
        """Drop the cached text; needed when other fast weights are attached."""
        self._context = None

    @torch.no_grad()
    def _decode_after(self, question: str, fitted: list[int]) -> Answer:
        started = time.perf_counter()
        prompt = self.protocol.question_ids(question, context_ids=fitted)
        cache, _ = self._cache_of(fitted)
        ids = torch.tensor([prompt], device=self.base.model.device)
        out = self.base.model.generate(
            ids, attention_mask=torch.ones_like(ids), generation_config=self._generation, **{self._cache_name: cache}
        )
        tokens, log_p = _generated(out, len(prompt))
        return self._answer(question, prompt, tokens[0], log_p[0], len(fitted), time.perf_counter() - started)

    @torch.no_grad()
    def _decode(self, questions: Sequence[str], fitted: Sequence[list[int]]) -> list[Answer]:
        """Together, each with its text in front."""
        started = time.perf_counter()
        prompts = [self.protocol.question_ids(q, context_ids=ids) for q, ids in zip(questions, fitted, strict=True)]
        width = max(len(p) for p in prompts)
        ids = torch.tensor([[self.protocol.stop_id] * (width - len(p)) + p for p in prompts], device=self.base.model.device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=ids.device)
        out = self.base.model.generate(ids, attention_mask=mask, generation_config=self._generation)
        tokens, log_p = _generated(out, width)
        seconds = (time.perf_counter() - started) / len(questions)
        rows = zip(questions, prompts, tokens, log_p, fitted, strict=True)
        return [self._answer(question, prompt, row, mine, len(text), seconds) for question, prompt, row, mine, text in rows]

    @property
    def _generation(self) -> GenerationConfig:
        return GenerationConfig(
            max_new_tokens=self.config.max_new_tokens,
            do_sample=False,
            eos_token_id=self.protocol.stop_ids,
            pad_token_id=self.protocol.stop_id,
            return_dict_in_generate=True,
            output_logits=True,
        )

    def _answer(
        self, question: str, prompt: Sequence[int], generated: list[int], log_p: list[float], document_tokens: int, seconds: float
    ) -> Answer:
        stops = set(self.protocol.stop_ids)
        length = next((i for i, token in enumerate(generated) if token in stops), len(generated))
        text = self.base.tokenizer.decode(generated[:length], skip_special_tokens=True).strip()
        steps = max(length, 1)
        said = log_p[: length + 1]  # with the token that ends it, where there is one
        fet = self.cost.forward(len(prompt), len(prompt) / 2, head_tokens=1)
        fet += self.cost.forward(steps, len(prompt) + steps / 2)
        probability = round(math.exp(sum(said) / max(1, len(said))), 4)
        return Answer(
            question=question,
            answer=text,
            prompt_tokens=len(prompt),
            document_tokens=document_tokens,
            answer_tokens=length,
            fet=round(fet, 1),
            seconds=seconds,
            confidence=probability,
            token_confidence=probability,
        )


def _generated(out: Any, start: int) -> tuple[list[list[int]], list[list[float]]]:
    """What was generated behind the prompts, and the log-probability of every token, row by row."""
    tokens = out.sequences[:, start:]
    log_p = torch.stack([torch.log_softmax(logits.float(), -1) for logits in out.logits], 1).gather(2, tokens[..., None])[..., 0]
    if torch.isnan(log_p).any():
        raise SleepError("answer: the model's figures are not finite with this adapter, so there is no answer; sleep again")
    return tokens.tolist(), log_p.tolist()
