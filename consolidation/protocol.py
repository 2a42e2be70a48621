"""A protocol: how this base model sleeps and is asked. Prompts and the name of its write rule; a trained one adds learned parameters.

The untrained protocol holds prompts only. Both the study items of a sleep and every later question go through `question_ids`, so the
fast weights are asked in the words in which they were written. Knows nothing about chunks or passes.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from nrem.consolidation.ceiling import Ceiling
from nrem.consolidation.confidence import Confidence
from nrem.consolidation.curves import CurveTable
from nrem.consolidation.delta import DeltaParameters
from nrem.consolidation.descent import DescentParameters
from nrem.consolidation.keyed import KeyedRidge
from nrem.consolidation.learned import LearnedWrite
from nrem.consolidation.ridge import Ridge

INSTRUCTION = "Answer in a few words."
LEARNED: dict[str, type[LearnedWrite[Any]]] = {"ridge": Ridge, "keyed": KeyedRidge, "delta": DeltaParameters, "gradient": DescentParameters}
"""What there is to learn for each write rule, by its name."""
HASHED_AS = {"keyed": "ridge"}
"""Rules under the name that they had when memories that are still around were made."""


@dataclass(frozen=True, eq=False)
class Protocol:
    """Prompts in the model's own chat template, or plain text where it has none."""

    tokenizer: Any
    id: str = "untrained"
    rule: str = "gradient"
    instruction: str = INSTRUCTION
    template: Literal["chat", "plain"] = "chat"
    """`chat`: the model's own template under the instruction; `plain`: bare question and answer, for protocols that learn what to do."""
    trained_passes: int = 0
    """Depth that the passes were trained for; 0 for an untrained protocol."""
    segment_chunks: int = 0
    """Chunks that one adapter was measured to hold; 0 for no limit."""
    question_chunks: int = 0
    """Most chunks that a question is answered from, where their statistics are kept; 0 for all of an adapter."""
    kept_energy: float = 1.0
    """Share of what was written, as texts and ordinary text meet it, that survives the cut to a saved adapter's rank."""
    ceiling: Ceiling | None = None
    """How deep passes were measured to pay; None where nobody measured."""
    curves: CurveTable | None = None
    """The measured curves, for allocators that predict."""
    confidence: Confidence | None = None
    """What an answer's probability was measured to be worth; None where nobody measured."""
    learned: LearnedWrite[Any] | None = None
    """What the rule has learned; None for an untrained protocol."""
    weights_sha256: str = ""
    """Hash of the learned parameters' files."""

    def right(self, probability: float, way: str) -> float:
        """The probability that an answer is right which decoding gave this one, where that was measured for the way; else the same."""
        measured = self.confidence
        return round(measured.right(probability), 4) if measured and measured.way == way else probability

    @property
    def retired(self) -> bool:
        """Whether it was trained once, and what it has learned is no longer here: it asks, and cannot write."""
        return bool(self.weights_sha256) and self.learned is None

    @property
    def keyed(self) -> KeyedRidge | None:
        """What is learned, where it is the rule of learned keys: of the others there are no statistics."""
        return self.learned if isinstance(self.learned, KeyedRidge) else None

    @cached_property
    def sha256(self) -> str:
        """Hash of everything that shapes a prompt, for the memory's provenance."""
        values = {k: getattr(self, k) for k in ("id", "rule", "instruction", "template", "trained_passes", "weights_sha256")} | {
            "around": self._around
        }
        values["rule"] = HASHED_AS.get(self.rule, self.rule)
        if self.kept_energy < 1:
            values["kept_energy"] = self.kept_energy
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def question_prefix(self, context_ids: Sequence[int] = ()) -> list[int]:
        """The prompt up to the end of a text that is put in it; `question_ids` starts with exactly these tokens."""
        return [*self._encode(self._around[0]), *context_ids]

    def question_ids(self, question: str, context_ids: Sequence[int] = ()) -> list[int]:
        """The whole prompt; what the model generates next is the answer, starting with a space."""
        return self.question_prefix(context_ids) + self._encode(f"Question: {question.strip()}{self._around[1]}")

    def answer_ids(self, answer: str) -> list[int]:
        """The answer as it must be generated: a space, the answer, the end of the turn."""
        return [*self._encode(" " + answer.strip()), self.stop_id]

    def plain_ids(self, text: str, *, start: bool = False) -> list[int]:
        """Running text without a template; `start` puts the beginning-of-sequence token (or the stop token, as GPT-2 does) in front."""
        return ([self._start_id] if start else []) + self._encode(text)

    @property
    def _start_id(self) -> int:
        first = self.tokenizer.bos_token_id
        return self.stop_id if first is None else int(first)

    def chunk_ids(self, title: str, text: str) -> list[int]:
        """A chunk as a pass reads it: title, blank line, text, end of turn."""
        return [*self.plain_ids(f"{title}\n\n" if title else "", start=True), *self._encode(text), self.stop_id]

    @cached_property
    def stop_id(self) -> int:
        """The token that ends an answer."""
        stop = self.tokenizer.eos_token_id
        assert stop is not None, "loaders give every tokenizer an end-of-sequence token"
        return int(stop)

    @cached_property
    def stop_ids(self) -> list[int]:
        """Tokens at which greedy decoding stops: the end of the turn and the line break."""
        newline = self._encode("\n")
        return [self.stop_id, *newline[:1]] if len(newline) == 1 else [self.stop_id]

    @cached_property
    def _around(self) -> tuple[str, str]:
        """The text before the context and after the question."""
        mark = "\x1e"
        if self.template == "plain":
            return self.tokenizer.decode([self._start_id]), "\nAnswer:"
        if getattr(self.tokenizer, "chat_template", None):
            text = self._chat([{"role": "system", "content": self.instruction}, {"role": "user", "content": mark}])
            if text is None:  # Gemma's template, for one, refuses a system turn
                text = self._chat([{"role": "user", "content": f"{self.instruction}\n{mark}"}])
            if text is not None and text.count(mark) == 1:
                before, after = text.split(mark)
                return before, after + "Answer:"
        return (self.tokenizer.bos_token or "") + self.instruction + "\n", "\nAnswer:"

    def _chat(self, messages: list[dict[str, str]]) -> str | None:
        try:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        except Exception:  # templates raise their own jinja errors; the caller has another form to try
            return None

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)
