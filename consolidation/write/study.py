"""The study rule: a pass descends the write loss of all active chunks, with nothing learned beforehand.

Works on any causal language model. The write loss is the study objective: cross-entropy on the short
answers of deterministic study items, one phrasing a pass in turn. Raw next-token loss is kept as the control arm; it stores the text
and does not make it answerable. Everything below the fast weights is computed once per item and reused by all passes.

A pass writes after every few items, mixed over all chunks: with one write a pass, 40 passes over 15 chunks had learned nothing that could
be asked for (benchmarks/LOG.md). Step: `m <- b1 m + (1 - b1) g`, `v <- b2 v + (1 - b2) g^2`, `theta <- theta - eta m^ / (sqrt(v^) + eps)`
(Adam, arXiv 1412.6980). Does not divide by the norm over the whole adapter: with untrained step sizes that learned
nothing in 16 passes where Adam did (benchmarks/LOG.md); `normalise = "global"` keeps it.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import fields

import torch
import torch.nn.functional as F
from torch import Tensor

from nrem.consolidation.probe.items import Batch, Item, Size, collate, pack, with_lower
from nrem.consolidation.read.split_model import ends_layer
from nrem.consolidation.write.config import StudyConfig
from nrem.consolidation.write.rule import PassReport, RuleParts, WriteRule
from nrem.consolidation.write.teacher import teacher_fet, with_teacher
from nrem.memory.stream.chunk import Chunk


class StudyRule(WriteRule):
    """One descent step per pass on the fast weights; see the module's text."""

    uses = frozenset(
        {"sleep.replay", "probes.facts_per_chunk", "probes.keyword_variants"} | {f"study.{f.name}" for f in fields(StudyConfig)}
    )

    def __init__(self, parts: RuleParts) -> None:
        self.split, self.fast, self.material, self.config = parts.split, parts.fast, parts.material, parts.study
        self.ledger, self.cost = parts.ledger, parts.cost
        self._tensors = list(self.fast.tensors().values())
        self._adapter_weights = sum(t.numel() for t in self._tensors)
        self._layers_back = self.cost.num_layers - self.split.cut - int(ends_layer(self.split, list(self.fast.factors)))
        self._mean = [torch.zeros_like(t) for t in self._tensors]
        self._square = [torch.zeros_like(t) for t in self._tensors]
        self._passes = 0  # of this memory, over all its sleeps: phrasings go on where they stopped
        self._writes = 0
        self._chunks: dict[int, Chunk] = {}
        self._replay: list[int] = []
        self._lower: dict[tuple[int, int], list[Item]] = {}

    def begin(self, chunks: Sequence[Chunk], replay: Sequence[Chunk]) -> None:
        self._chunks = {chunk.index: chunk for chunk in (*chunks, *replay)}
        self._replay = [chunk.index for chunk in replay]
        self._lower = {}

    def end(self) -> None:
        self._chunks, self._replay, self._lower = {}, [], {}

    def next_pass_fet(self, active: Sequence[int]) -> float:
        todo = self._read_list(active)
        unread = [index for index in todo if (index, self._phrasing) not in self._lower]
        new = [item for index in unread for item in self._bare_items(index)]
        prepare = sum(self._prepare_fet(group) for group in pack(new, self.config.batch_tokens))
        if self.config.distill_weight:
            prepare += sum(self._teacher_fet(index) for index in unread)
        bare = [item for index in todo for item in self._bare_items(index)]
        groups = [group for part in self._parts(bare) for group in pack(part, self.config.batch_tokens)]
        return prepare + sum(self._pass_fet(group) for group in groups)

    def write(self, active: Sequence[int]) -> PassReport:
        items = self._prepared_items(self._read_list(active))
        loss_sum = dict.fromkeys(active, 0.0)
        loss_count = dict.fromkeys(active, 0)
        tokens = 0
        for part in self._parts(items):
            gradients = [torch.zeros_like(t) for t in self._tensors]
            num_targets = sum(len(item.answer) for item in part)
            for group in pack(part, self.config.batch_tokens):
                with self.ledger.debit("passes", self._pass_fet(group)):
                    loss, group_gradients = self._descend(self._collate(group), num_targets)
                for total, g in zip(gradients, group_gradients, strict=True):
                    total.add_(g)
                tokens += Size.of(group).plain_tokens
                for item, value in zip(group, loss, strict=True):
                    if item.chunk in loss_sum:
                        loss_sum[item.chunk] += value
                        loss_count[item.chunk] += len(item.answer)
            self._step(gradients)
        self._passes += 1
        return PassReport(loss={c: loss_sum[c] / max(1, loss_count[c]) for c in active}, tokens=tokens)

    def _parts(self, items: Sequence[Item]) -> list[list[Item]]:
        """The items of one pass, mixed over all of its chunks and dealt out to its writes; in whatever order they come."""
        count = max(1, round(len(items) / self.config.items_per_write))
        mixed = sorted(items, key=lambda item: (item.chunk, tuple(item.prompt), tuple(item.answer)))
        random.Random(f"{self.material.seed} {self._passes}").shuffle(mixed)
        return [mixed[part::count] for part in range(count)] if mixed else []

    def _descend(self, batch: Batch, num_targets: int) -> tuple[list[float], Sequence[Tensor]]:
        """Summed write loss of each item, and the gradients of the batch's share of the mean loss."""
        for tensor in self._tensors:
            tensor.requires_grad_(True)
        try:
            loss = self._loss(batch)
            gradients = torch.autograd.grad(loss.sum() / num_targets, self._tensors)
        finally:
            for tensor in self._tensors:
                tensor.requires_grad_(False)
        return torch.zeros(len(batch.items), device=loss.device).index_add(0, batch.owner, loss.detach()).tolist(), gradients

    def state(self) -> dict[str, Tensor]:
        out = {f"mean.{i}": t for i, t in enumerate(self._mean)} | {f"square.{i}": t for i, t in enumerate(self._square)}
        return out | {"count": torch.tensor([self._passes, self._writes])}

    def restore(self, state: dict[str, Tensor]) -> None:
        for i in range(len(self._tensors)):
            self._mean[i].copy_(state[f"mean.{i}"])
            self._square[i].copy_(state[f"square.{i}"])
        self._passes, self._writes = state["count"].tolist()

    @torch.no_grad()
    def _step(self, gradients: Sequence[Tensor]) -> None:
        c = self.config
        step = self._writes + 1
        eta = c.step_size * min(1.0, step / max(1, c.warm_up))
        norm = math.sqrt(sum(float(g.pow(2).sum()) for g in gradients)) or 1.0
        for theta, g, mean, square in zip(self._tensors, gradients, self._mean, self._square, strict=True):
            if c.normalise == "global":
                theta.sub_(g, alpha=eta / norm)
                continue
            mean.lerp_(g, 1 - c.beta1)
            square.lerp_(g * g, 1 - c.beta2)
            scale = (square / (1 - c.beta2**step)).sqrt_().add_(1e-8)
            theta.addcdiv_(mean, scale, value=-eta / (1 - c.beta1**step))
        self._writes = step

    def _loss(self, batch: Batch) -> Tensor:
        """Write loss at every selected position; shape (selected,), float32."""
        logits = batch.logits(self.split).float()
        loss = F.cross_entropy(logits, batch.targets, reduction="none", label_smoothing=self.config.label_smoothing)
        if batch.teacher is not None:
            loss = loss + self.config.distill_weight * batch.teacher.divergence(logits)
        return loss

    def _read_list(self, active: Sequence[int]) -> list[int]:
        return [*active, *self._replay]

    @property
    def _phrasing(self) -> int:
        return self._passes % self.material.num_phrasings(self.config.objective)

    def _bare_items(self, index: int) -> Sequence[Item]:
        return self.material.study(self._chunks[index], self._phrasing, self.config.objective)

    def _prepared_items(self, indices: Sequence[int]) -> list[Item]:
        """The items of this pass's phrasing, with their lower activations; those met for the first time are computed now."""
        new = [index for index in indices if (index, self._phrasing) not in self._lower]
        for index in new:
            self._lower[index, self._phrasing] = []
        bare = [item for index in new for item in self._bare_items(index)]
        for group in pack(bare, self.config.batch_tokens):
            with self.ledger.debit("preparation", self._prepare_fet(group)):
                for item in with_lower(self._collate(group), self.split):
                    self._lower[item.chunk, self._phrasing].append(item)
        if self.config.distill_weight:
            for index in new:
                self._lower[index, self._phrasing] = self._taught(index)
        return [item for index in indices for item in self._lower[index, self._phrasing]]

    def _taught(self, index: int) -> list[Item]:
        items = self._lower[index, self._phrasing]
        return with_teacher(
            items, self._chunks[index], self.material.prompts, self.split.model, self.config.distill_top, self.ledger, self.cost
        )

    def _teacher_fet(self, index: int) -> float:
        return teacher_fet(self._bare_items(index), self._chunks[index], self.material.prompts, self.split.model, self.cost)

    def _collate(self, group: Sequence[Item]) -> Batch:
        return collate(group, self.material.prompts.stop_id, self._tensors[0].device)

    def _prepare_fet(self, group: Sequence[Item]) -> float:
        return Size.of(group).forward_fet(self.cost, layers=self.split.cut, head=False)

    def _pass_fet(self, group: Sequence[Item]) -> float:
        size, upper = Size.of(group), self.cost.num_layers - self.split.cut
        forward = size.forward_fet(self.cost, layers=upper, head=True) + self.cost.adapter(size.tokens, self._adapter_weights)
        return forward + self.cost.backward(
            size.tokens, size.context, layers=self._layers_back, head_tokens=size.targets, adapter_weights=self._adapter_weights
        )
