"""Generating: prompts as token ids in, what the model goes on with out, greedily or by sampling, with log-probabilities.

Whatever fast weights are attached at the time take part. A prefix that several prompts share is read once. Knows nothing about questions.
"""

import copy
import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache, GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel

from nrem.consolidation.read.split_model import cache_argument
from nrem.memory.errors import SleepError

NO_ANSWER = "answer: the model's figures are not finite with this adapter, so there is no answer; sleep again"


def checked(values: list[float]) -> list[float]:
    """The same; raises `SleepError` where one is not finite."""
    if not all(map(math.isfinite, values)):
        raise SleepError(NO_ANSWER)
    return values


def padded(prompts: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids and mask of prompts, (row token), padded on the left: all end where the next token comes."""
    width = max(map(len, prompts))
    ids = torch.tensor([[pad_id] * (width - len(p)) + [*p] for p in prompts], device=device)
    return ids, torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)


class Generated(NamedTuple):
    """What came behind one prompt."""

    tokens: list[int]
    """Up to the token that ended it, or the most there may be."""
    log_p: list[float]
    """Log-probability of each of them and of the token that ended them, where there is one; of sampled ones at temperature 1."""
    watched: float
    """Probability of the watched token in the first place."""


class Floor(LogitsProcessor):
    """Before so many tokens nothing ends: where it would, another token is put in its place, and generating goes on."""

    def __init__(self, stop_ids: Sequence[int], instead: int, start: int, least: int) -> None:
        self.stop_ids, self.instead, self.end = list(stop_ids), instead, start + least

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if input_ids.shape[1] >= self.end:
            return scores
        ends = torch.isin(scores.argmax(-1), torch.tensor(self.stop_ids, device=scores.device))
        forced = torch.full_like(scores, float("-inf"))
        forced[:, self.instead] = 0.0
        return torch.where(ends[:, None], forced, scores)


class Generator:
    """One model and the tokens that end what it says."""

    def __init__(self, model: PreTrainedModel, stop_ids: Sequence[int], pad_id: int, watched_id: int) -> None:
        self.model, self.stop_ids, self.pad_id, self.watched_id = model, list(stop_ids), pad_id, watched_id
        self.cache_name = cache_argument(model)
        self._read: tuple[list[int], DynamicCache, float] | None = None

    @torch.no_grad()
    def together(
        self, prompts: Sequence[Sequence[int]], most: int, least: int = 0, instead: int = 0, beside: LogitsProcessor | None = None
    ) -> list[Generated]:
        """Greedily, at most `most` tokens behind each prompt, all in one batch that is padded on the left; what would end before `least`
        tokens goes on with the token `instead`. `beside` has a say in every token, and in its probability."""
        ids, mask = padded(prompts, self.pad_id, self.model.device)
        width = ids.shape[1]
        floor = [Floor(self.stop_ids, instead, width, least)] if least else []
        processors = LogitsProcessorList([*floor, *([beside] if beside else [])])
        config = self._config(most, output_scores=beside is not None)
        out = self.model.generate(ids, attention_mask=mask, generation_config=config, logits_processor=processors)
        return self._generated(out, width, out.scores if beside else out.logits)

    @torch.no_grad()
    def behind(self, prefix: Sequence[int], prompt: Sequence[int], most: int) -> Generated:
        """Greedily, behind a prompt that begins with `prefix`, which is read once for all prompts that come one after the other."""
        return self._continued(prompt, self.cache_of(prefix), 1, self._config(most))[0]

    @torch.no_grad()
    def drawn(self, prompt: Sequence[int], number: int, seed: int, temperature: float, most: int) -> list[Generated]:
        """`number` samples from the whole distribution; the same seed and number give the same ones. The prompt is read once for all draws
        that come one after the other."""
        config = self._config(most, do_sample=True, temperature=temperature, top_k=0, top_p=1.0)
        cache = self.cache_of(prompt[:-1])
        cache.batch_repeat_interleave(number)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            try:
                return self._continued(prompt, cache, number, config)
            except RuntimeError as error:
                if "probability tensor" in str(error):  # what torch says of drawing from NaN
                    raise SleepError(NO_ANSWER) from None
                raise

    def cache_of(self, prefix: Sequence[int]) -> DynamicCache:
        """A cache that holds these tokens, fresh at every call; they are read once."""
        return copy.deepcopy(self._reading_of(prefix)[1])

    @torch.no_grad()
    def seconds_of(self, prefix: Sequence[int]) -> float:
        """What it takes, or took, to read these tokens."""
        return self._reading_of(prefix)[2]

    def _reading_of(self, prefix: Sequence[int]) -> tuple[list[int], DynamicCache, float]:
        if self._read is None or self._read[0] != [*prefix]:
            started, cache = time.perf_counter(), DynamicCache(config=self.model.config)
            ids = torch.tensor([[*prefix]], device=self.model.device)
            self.model(input_ids=ids, logits_to_keep=1, **{self.cache_name: cache})
            if ids.is_cuda:
                torch.cuda.synchronize(ids.device)  # the call returns before the work is done
            self._read = ([*prefix], cache, time.perf_counter() - started)
        return self._read

    def forget(self) -> None:
        """Drop what was read; needed when other fast weights are attached."""
        self._read = None

    def _continued(self, prompt: Sequence[int], cache: DynamicCache, rows: int, config: GenerationConfig) -> list[Generated]:
        ids = torch.tensor([[*prompt]] * rows, device=self.model.device)
        out = self.model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config, **{self.cache_name: cache})
        return self._generated(out, len(prompt), out.logits)

    def _config(self, most: int, **more: Any) -> GenerationConfig:
        return GenerationConfig(
            max_new_tokens=most,
            eos_token_id=self.stop_ids,
            pad_token_id=self.pad_id,
            return_dict_in_generate=True,
            output_logits=True,
            **{"do_sample": False, **more},
        )

    def _generated(self, out: Any, start: int, logits_of: Sequence[Tensor]) -> list[Generated]:
        """`logits_of`: of all rows, step by step."""
        tokens: Tensor = out.sequences[:, start:]
        steps = zip(logits_of, tokens.T[..., None], strict=True)
        chosen = torch.cat([torch.log_softmax(logits.float(), -1).gather(1, said) for logits, said in steps], 1)  # (row, step)
        if torch.isnan(chosen).any():
            raise SleepError(NO_ANSWER)
        watched = logits_of[0].float().softmax(-1)[:, self.watched_id]
        return [self._cut(*row) for row in zip(tokens.tolist(), chosen.tolist(), watched.tolist(), strict=True)]

    def _cut(self, tokens: list[int], log_p: list[float], watched: float) -> Generated:
        length = next((i for i, token in enumerate(tokens) if token in self.stop_ids), len(tokens))
        return Generated(tokens[:length], log_p[: length + 1], watched)
