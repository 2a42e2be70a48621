"""Study material: the items that a chunk is learned from, and the held-out ones that score it, as token ids.

Facts -> questions -> prompts in the protocol's words. Deterministic in the chunk, the seed and the phrasing. Knows nothing about models.
"""

from collections.abc import Sequence
from functools import lru_cache

from nrem.consolidation.probe.facts import find_facts
from nrem.consolidation.probe.items import Item
from nrem.consolidation.probe.probes import Probe, ProbeConfig, held_out_probes, study_items, thin
from nrem.consolidation.prompts import Prompts
from nrem.memory.stream.chunk import Chunk

KEPT = 4096  # chunks whose items are remembered between passes; older ones are made again, with equal results


class StudyMaterial:
    """Makes the items of a chunk."""

    def __init__(self, prompts: Prompts, config: ProbeConfig, seed: int, *, longest_prefix: int = 4096) -> None:
        self.prompts, self.config, self.seed = prompts, config, seed
        prefix = tuple(prompts.question_prefix())
        self._prefix = prefix if len(prefix) <= longest_prefix else ()
        self._facts = lru_cache(maxsize=KEPT)(find_facts)
        self._held_out = lru_cache(maxsize=KEPT)(self._make_held_out)
        self.study = lru_cache(maxsize=KEPT)(self._study)

    def num_phrasings(self, objective: str) -> int:
        """How many different passes there are before phrasings repeat."""
        return self.config.num_phrasings if objective == "study" else 1

    def _study(self, chunk: Chunk, phrasing: int, objective: str) -> Sequence[Item]:
        """The items of one phrasing; for "next-token" the whole chunk as one item under its document's title."""
        if objective == "study":
            facts = thin(self._facts(chunk), self.config.facts_per_chunk)
            return [self._item(probe) for probe in study_items(facts, phrasing, self.seed)]
        title = self.prompts.plain_ids(f"{chunk.title}\n\n" if chunk.title else "", start=True)
        text = self.prompts.plain_ids(chunk.text)
        return [Item(chunk.index, (), title, text)] if text else []

    def held_out_probes(self, chunk: Chunk) -> list[Probe]:
        """The scoring questions of a chunk; none where it states nothing that can be asked for."""
        return self._held_out(chunk)

    def held_out(self, chunk: Chunk, limit: int | None = None) -> list[Item]:
        """The scoring questions as items, at most `limit` of them, spread evenly."""
        probes = self.held_out_probes(chunk)
        return [self._item(probe) for probe in (probes if limit is None else thin(probes, limit))]

    def _make_held_out(self, chunk: Chunk) -> list[Probe]:
        return held_out_probes(self._facts(chunk), self.config, lambda text: len(self.prompts.plain_ids(text)))

    def _item(self, probe: Probe) -> Item:
        prompt = self.prompts.question_ids(probe.question)[len(self._prefix) :]
        return Item(probe.chunk, self._prefix, prompt, self.prompts.answer_ids(probe.answer))
