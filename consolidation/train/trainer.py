"""Protocol training: learn once per base model how to write, so that passes pay on text never seen.

Every step draws groups of passages and a number of passes K, writes each group into fast weights of its own, and descends the closed-book
answer NLL through the write; now and then also the NLL with the passage in the prompt (the reader), and the divergence from the base on
ordinary text (locality). The draw of a step depends on seed and step number only, so a run that was killed goes on from its checkpoint with
the same steps.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from nrem.consolidation.read.observe import Texts, module_traffic
from nrem.consolidation.train.bench import Bench
from nrem.consolidation.train.data import Passage, Sampler, alike
from nrem.consolidation.train.in_context import PackedQuestions, contrast
from nrem.consolidation.train.optimisers import Optimisers, Paces
from nrem.consolidation.train.training import Training, changed
from nrem.consolidation.write.rule import DREAMS
from nrem.consolidation.write.rules import RULES, trainable
from nrem.memory.errors import SleepError, UsageError
from nrem.memory.saved.journal import Journal
from nrem.memory.weights.fast_weights import Layers


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    rule: str = "ridge"
    """The write rule, as in `write.rules.RULES`."""
    rank: int = 64
    """Of `ridge` the largest of a saved adapter, its reader included: take one that engines accept, 16, 32, 64, 128, 256, 320 or 512. Of
    the other rules, that of the written part alone."""
    reader_rank: int = 16
    """Rank of the static reader."""
    scribe_rank: int = 0
    """Rank of the scribe, a LoRA on all that carries a reader, on while texts are read to be written and never when a question is asked;
    0 for none. Of rule `ridge` only."""
    error_vocabulary: int = 8192
    """Most frequent tokens over which expectations run when a pass takes the prediction error; 0 for all."""
    target: str = "auto"
    """Suffix of the adapted modules; "auto" is the MLP's output projection."""
    reader_target: str = ""
    """Suffixes, joined by commas, of further modules that carry a static reader only; "all-linear" is all of them."""
    reader_layers: Layers = "all"
    """Which layers these are in; readers below the adapted layers learn from the steps with the passage in the prompt."""
    layers: Layers = "upper-half"
    """Which decoder layers are adapted."""
    order: int = 1
    """1: what a pass reads is taken as given; 2: gradients run through all passes."""
    max_passes: int = 4
    """K is drawn from 0 to this, small ones more often; becomes `trained_passes`."""
    chunks_per_step: int = 8
    """Passages read in a step."""
    chunks_together: tuple[int, ...] = (1, 1, 2, 4, 8, 16)
    """How many of them are written into one memory; drawn anew at every step."""
    questions_per_chunk: int = 4
    """Questions asked for every passage, on average."""
    questions_per_step: int = 32
    """At most so many in a step: of a large memory not every text is asked about."""
    max_chunk_tokens: int = 288
    """Longer passages are left out."""
    cloze_share: float = 0.2
    """Share of questions made by rules where a passage has given ones."""
    write_every: int = 1
    """Every how many steps passages are written and asked about closed book; the steps between only read, at a fraction of the cost."""
    context_every: int = 1
    """Every how many steps passages are put in the prompt."""
    read_in_context: int = 4
    """Prompts with passages in a step that has some."""
    passages_in_prompt: tuple[int, ...] = (1, 1, 2)
    """How many passages, neighbours as a rule, stand in one prompt; drawn anew at every step."""
    questions_in_context: int = 6
    """Questions asked about each of them."""
    memory_on_share: float = 0.5
    """Share of the steps that write in which the memory is on while its passages are in the prompt."""
    not_stated_share: float = 0.05
    """Share of questions that are asked with another passage in the prompt: the answer is that it is not stated, or, with the memory on,
    what the memory holds."""
    dreamt_share: tuple[float, ...] = (0.0, 0.0, 0.2, 0.5, 0.7)
    """Share of the questions given with a passage that passes read as dreams, where none came with it; drawn anew for every passage."""
    wrong_dreams: float = 0.08
    """Share of these whose answer is another question's."""
    locality_every: int = 2
    """The divergence on ordinary text is descended as well every this many steps."""
    locality_weight: float = 4.0
    """Its weight."""
    reader_pace: float = 0.15
    """Step size of the reader relative to what is written: Muon's of full size would undo at first what a reader knows
    (benchmarks/LOG.md). 0 leaves it as it starts, at cheaper steps."""
    write_pace: float = 1.0
    """Step size of what is written relative to `step_size`. 0 leaves it, and the scribe, as they start: no gradient runs through passes,
    and a step that writes is a third as long."""
    scribe_texts: int = 4
    """Passages of a step, at most, through whose keys gradients run, into the scribe. What all layers hold of them is kept for the way
    back: 1.5 GB a passage of 250 tokens of a model of 135M."""
    scribe_pace: float = 0.15
    """Step size of the scribe, by AdamW, relative to `step_size`. Take 5 where that is small, as AdamW's is from a trained protocol. 0
    holds it."""
    values_by: Literal["muon", "adamw"] = "muon"
    """What the values' matrices descend by: Muon from a beginning; AdamW, at a small step size, from what is trained far already."""
    values_decay: float = 1.0
    """Decay of the values' matrices towards the identity, relative to the step size: what has little to learn must not walk away."""
    ordinary_tokens: int = 8192
    """How much ordinary text the background is taken from."""
    step_size: float = 1e-2
    """Step size of Muon and AdamW, after the warm-up and before the decay; far smaller from a trained protocol."""
    warm_up: int = 20
    """Steps of the linear warm-up."""
    decay_share: float = 0.9
    """The last share of the minutes, over which the step size falls linearly to a twentieth."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rule not in trainable():
            raise UsageError(f"rule: got {self.rule!r}, expected {', '.join(trainable())}")
        if self.order not in (1, 2):
            raise UsageError(f"order: got {self.order}, expected 1 or 2")
        shares = (*self.dreamt_share, self.wrong_dreams)
        if not self.dreamt_share or not all(0 <= share <= 1 for share in shares):
            raise UsageError(f"dreamt_share, wrong_dreams: got {list(shares)}, expected shares of 0 to 1, one of each at least")
        for key, held in (("reader_pace", "reader"), ("write_pace", "write"), ("scribe_pace", "scribe")):
            if (pace := getattr(self, key)) < 0:
                raise UsageError(f"{key}: got {pace:g}, expected 0, which holds the {held}, or more")
        if not (self.reader_pace or self.write_pace):
            raise UsageError("reader_pace, write_pace: got 0 for both, expected more for one of them; nothing would be learned")
        if not self.reader_pace and self.write_every != 1:
            raise UsageError(f"write_every: got {self.write_every}, expected 1: with reader_pace 0 the steps between would learn nothing")
        if self.scribe_rank < 0 or (self.scribe_rank and self.rule != "ridge"):
            raise UsageError(f"scribe_rank: got {self.scribe_rank} with rule {self.rule}, expected 0, or more with rule ridge")
        if self.scribe_texts < 1:
            raise UsageError(f"scribe_texts: got {self.scribe_texts}, expected 1 or more; scribe_pace=0 holds the scribe")
        if wrong := [n for n in self.chunks_together if n < 1 or (n < self.chunks_per_step and self.chunks_per_step % n)]:
            raise UsageError(f"chunks_together: {wrong[0]} does not divide chunks_per_step {self.chunks_per_step}")


ROW_TOKENS = 64
"""Length of the pieces of ordinary text."""
LOCALITY_ROWS = 8
LOCALITY_STRIDE = 4
"""Tokens from one at which the divergence is taken to the next: more rows say more than more tokens of a row."""


class ProtocolTrainer(Training):
    """Trains the parameters of a bench."""

    def __init__(
        self, bench: Bench, sampler: Sampler, ordinary_text: Sequence[int], config: TrainConfig, journal: Journal, *, fresh: Collection[str]
    ) -> None:
        """`fresh`: modules that began, here or before this run was cut off, with nothing learned; they write in units of their outputs."""
        self.bench, self.sampler, self.ordinary_text, self.config = bench, sampler, list(ordinary_text), config
        bench.order, bench.scribe_texts = config.order, config.scribe_texts
        rows = self._ordinary_rows(random.Random(config.seed), -(-config.ordinary_tokens // ROW_TOKENS))
        texts = Texts.pad(rows, bench.protocol.stop_id, bench.device)
        bench.ordinary, units = module_traffic(bench.split, texts, bench.parameters.names)
        bench.parameters.take_units({name: units[name] for name in fresh})
        if not config.reader_pace:
            bench.parameters.hold_reader()
        if not config.scribe_pace:
            bench.parameters.hold_scribe()
        if not config.write_pace:
            bench.parameters.hold_write()
        named = dict(bench.parameters.named_parameters())
        learning = {name: p for name, p in named.items() if p.requires_grad}
        paces = Paces(config.reader_pace, config.write_pace, config.scribe_pace)
        optimisers = Optimisers(learning, config.step_size, config.values_decay, paces, matrices_by=config.values_by)
        super().__init__(named, optimisers, journal, {"config": asdict(config), "fresh": sorted(fresh)})

    def step(self, fraction: float) -> dict[str, Any]:
        c, number = self.config, self.done.steps
        rng = random.Random(f"{c.seed} {number}")
        figures: dict[str, Any] = {}
        losses: list[torch.Tensor] = []
        groups: list[list[Passage]] = []
        fast: dict[str, Any] | None = None
        if number % c.write_every == 0:
            groups, passes = self._drawn(rng)
            with torch.set_grad_enabled(c.write_pace > 0):
                fast = self.bench.write(groups, passes)
            losses.append(self._recall_loss(rng, groups, fast))
            figures |= {"loss": losses[-1].detach(), "passes": float(passes), "together": float(len(groups[0]))}
            self.done.passages += sum(len(group) for group in groups)
        if number % c.context_every == 0:
            memory_on = rng.random() < c.memory_on_share or not c.reader_pace
            losses.append(self._reading_loss(rng, groups, fast if memory_on else None))
            figures["reading"] = losses[-1].detach()
        if number % c.locality_every == 0:
            count = max(1, len(groups))
            rows = self._ordinary_rows(rng, max(count, LOCALITY_ROWS - LOCALITY_ROWS % count))
            figures["drift"] = (drift := self.bench.divergence(rows, fast, LOCALITY_STRIDE)).detach()
            losses.append(c.locality_weight * drift)
        if losses:
            self._descend(torch.stack(losses).sum(), fraction)
        self.done.steps += 1
        return figures

    def _drawn(self, rng: random.Random) -> tuple[list[list[Passage]], int]:
        """Groups of passages, each to be written into a memory of its own, and the number of passes."""
        c = self.config
        together = rng.choice(c.chunks_together)
        groups = [self.sampler.group(rng, together) for _ in range(max(1, c.chunks_per_step // together))]
        if RULES[c.rule].rule.uses >= DREAMS:
            groups = [[p.dreaming(rng, rng.choice(c.dreamt_share), c.wrong_dreams) for p in group] for group in groups]
        without = 0.15 if c.reader_pace else 0.0
        return groups, rng.choices(range(c.max_passes + 1), [without, *(1 / k for k in range(1, c.max_passes + 1))])[0]

    def _recall_loss(self, rng: random.Random, groups: Sequence[Sequence[Passage]], fast: Mapping[str, Any] | None) -> torch.Tensor:
        """Answer NLL closed book."""
        count = min(self.config.questions_per_chunk * len(groups[0]), self.config.questions_per_step // len(groups))
        asked = [q for group in groups for q in self.sampler.questions(rng, group, count)]
        return self.bench.answer_nll(asked, fast).mean()

    def _reading_loss(self, rng: random.Random, groups: Sequence[Sequence[Passage]], fast: Mapping[str, Any] | None) -> torch.Tensor:
        """Answer NLL with a passage in the prompt: of the groups whose memory is on, else of any."""
        c = self.config
        size = rng.choice(c.passages_in_prompt)
        if fast is None:
            groups = [alike(rng, [_joined(self.sampler.group(rng, size)) for _ in range(3 * c.read_in_context)], c.read_in_context)]
        elif len(groups[0]) >= size:
            groups = [[_joined(group[i : i + size]) for i in range(0, len(group) - size + 1, size)] for group in groups]
        chosen = [rng.sample(list(group), min(len(group), -(-c.read_in_context // len(groups)))) for group in groups]
        prompts = [p for group in chosen for p in group]
        asked = [[self.sampler.question(rng, p) for _ in range(c.questions_in_context)] for p in prompts]
        asked = contrast(rng, prompts, asked, c.not_stated_share, among=len(chosen[0]), known=fast is not None)
        packed = PackedQuestions.of(self.bench.protocol, prompts, asked, self.bench.device)
        return packed.nll(self.bench.split, self.bench.parameters, fast).mean()

    def _ordinary_rows(self, rng: random.Random, count: int) -> list[list[int]]:
        starts = [rng.randrange(max(1, len(self.ordinary_text) - ROW_TOKENS)) for _ in range(count)]
        return [self.ordinary_text[s : s + ROW_TOKENS] for s in starts]

    def _descend(self, loss: torch.Tensor, fraction: float) -> None:
        c = self.config
        decay = min(1.0, max(0.05, (1 - fraction) / c.decay_share)) if c.decay_share else 1.0
        self.optimisers.descend(loss, min(1.0, (self.done.steps + 1) / max(1, c.warm_up)) * decay)

    def check(self, state: Mapping[str, Any]) -> None:
        fixed = ["rule", "rank", "reader_rank", "scribe_rank", "error_vocabulary", "target", "layers", "reader_target", "reader_layers"]
        fixed += ["max_passes"] if self.bench.parameters.steps_by_pass else []
        config = asdict(TrainConfig()) | state["config"]  # a training from before there was a key had its default
        if other := changed(config, self.began["config"], fixed):
            raise SleepError(f"{self.journal.folder}: this training began with {other}; give the same, or another --out")
        if state.get("fresh", self.began["fresh"]) != self.began["fresh"]:
            raise SleepError(f"{self.journal.folder}: this training began from another protocol; give the same --from, or another --out")


def _joined(passages: Sequence[Passage]) -> Passage:
    """Passages behind one another, as one that can be asked all of their questions."""
    given = tuple(question for passage in passages for question in passage.given)
    return Passage(passages[0].title, "\n\n".join(p.text.strip() for p in passages), given)
