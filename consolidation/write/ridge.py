"""The ridge rule: a pass reads every active chunk with what all of the memory have written, and solves for one change of each module.

Forward only; needs a protocol. What a memory holds follows from its texts, how many passes each had, and the protocol alone: pass n reads
all chunks that were granted n passes or more. A sleep with earlier chunks in the same adapter therefore reads them again, pass by pass, and
ends where one sleep on everything would have ended; a chunk is forgotten by writing the others anew. Nothing is kept beside the adapter.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from nrem.consolidation.read.batches import K, SleepRows
from nrem.consolidation.read.observe import observe
from nrem.consolidation.write.lend import lent
from nrem.consolidation.write.ridge_site import Ridge
from nrem.consolidation.write.ridge_sums import Gathered, pass_flops
from nrem.consolidation.write.rule import DREAMS, PassReport, RuleParts, WriteRule
from nrem.memory.stream.chunk import Chunk
from nrem.memory.weights.fast_weights import Factors
from nrem.memory.weights.layers import cache_bytes
from nrem.memory.weights.low_rank import beside, cut, rounded
from nrem.memory.weights.statistics import WrittenStatistics

CACHE_SHARE = 0.25
"""Bytes that an adapter may take, of those that the attention cache of its texts would."""
SHORTEST = 2000
"""Tokens from which on that holds; a shorter text may take as much as this many."""
BYTES = 2
"""Of a value, in adapter and cache."""
RANKS = (16, 32, 64, 128, 256, 320, 512)
"""Of an adapter, reader included, that engines such as vLLM accept."""


class RidgeRule(WriteRule):
    """Holds the uncut change of every module during a sleep; see the module's text."""

    rereads = True
    uses = DREAMS

    def __init__(self, parts: RuleParts) -> None:
        assert isinstance(parts.learned, Ridge), "a row of RULES goes with what it learns"
        self.split, self.fast, self.parameters, self.ledger, self.cost = parts.split, parts.fast, parts.learned, parts.ledger, parts.cost
        self.kept_energy = parts.kept_energy
        self._material, self._dreams = parts.texts(self._reading_to_write), parts.dreams()
        self._passes: dict[int, int] = {}
        """How many passes each chunk of the adapter has had."""
        self._done = 0
        """Passes that `_changes` holds."""
        self._published = 0
        """Passes that the fast weights hold."""
        self._changes: dict[str, Tensor] = {}
        self._where: dict[str, Tensor] = {}
        """C + mu C_0 of the first pass: where this memory's texts and ordinary ones lie."""

    def begin(self, chunks: Sequence[Chunk], replay: Sequence[Chunk]) -> None:
        self._material.begin([*replay, *chunks])
        self._dreams.begin([*replay, *chunks])
        self._start_over()

    def end(self) -> None:
        self._material.end()
        self._dreams.end()
        self._start_over()

    def next_pass_fet(self, active: Sequence[int]) -> float:
        number = self._number(active)
        todo = self._read_in(number, active)
        later = sum(self._fet(n, self._read_in(n, ())) for n in range(number + 1, self._deepest))
        read = self._read_in(min(self._done, number), active)  # also by passes that a sleep that was cut off has to make again
        unread = self._material.unread_fet(read) + self._dreams.unread_fet(self._dreams.about(read))
        return self._fet(number, todo) + unread + later + self._cutting_fet

    @torch.no_grad()
    def write(self, active: Sequence[int]) -> PassReport:
        number = self._number(active)
        self._granted(number, charged=False)  # of a sleep that was cut off: what its passes wrote follows from the texts
        todo = self._read_in(number, active)
        loss = self._pass(number, todo, charged=True)
        self._passes |= dict.fromkeys(active, number + 1)
        tokens = self._material.tokens(todo) + self._dreams.tokens(self._dreams.about(todo))
        return PassReport(loss={index: loss[index] for index in active}, tokens=tokens)

    @torch.no_grad()
    def complete(self) -> None:
        if self._done:
            self._granted(self._deepest, charged=True)
        self.publish()

    @torch.no_grad()
    def publish(self) -> None:
        if not self._changes or self._published == self._done:
            return
        self._published = self._done
        most = self._affordable_rank()
        with self.ledger.debit("passes", self._cutting_fet):
            for name, site in self.parameters.items():
                written = cut(self._changes[name], self._where[name], most, self.kept_energy)
                self.fast.factors[name].take(beside(rounded(Factors(site.reader_A, site.reader_B)), written))

    @torch.no_grad()
    def rewrite(self, chunks: Sequence[Chunk], passes: Mapping[int, int]) -> None:
        """Write these chunks and no others, with `passes` of each."""
        self.go_on(None, passes)
        self.begin([], chunks)
        try:
            self._granted(self._deepest, charged=True)
            self.publish()
        finally:
            self.end()

    def state(self) -> dict[str, Tensor]:
        return {"passes": torch.tensor(sorted(self._passes.items()), dtype=torch.long).reshape(-1, 2)}

    def restore(self, state: dict[str, Tensor]) -> None:
        self._passes = {int(index): int(passes) for index, passes in state["passes"].tolist()}
        self._start_over()

    def go_on(self, written: WrittenStatistics | None, passes: Mapping[int, int]) -> None:
        self._passes = dict(passes)

    def _affordable_rank(self) -> int:
        """The largest rank with which the adapter is the protocol's, and no more than a share of the attention cache of its texts; what was
        written, dreams too, has no more directions than it has tokens."""
        chunks = list(self._material.ids)
        own_tokens = self._material.tokens(chunks)
        tokens, written = max(own_tokens, SHORTEST), own_tokens + self._dreams.written(self._dreams.about(chunks))
        column = sum(site.d_in + site.d_out for _, site in self.parameters.items())
        own = self.parameters.reader_rank
        allowed = int(CACHE_SHARE * tokens * cache_bytes(self.split.model) / BYTES - self.parameters.reader_weights) // column + own
        whole = max((rank for rank in RANKS if rank <= allowed), default=RANKS[0])
        return max(1, min(self.parameters.rank - own, whole - own, written))

    def _start_over(self) -> None:
        self._done, self._published, self._changes, self._where = 0, 0, {}, {}

    @property
    def _deepest(self) -> int:
        """The most passes that one of the chunks at hand had."""
        return max((self._passes.get(index, 0) for index in self._material.ids), default=0)

    def _number(self, active: Sequence[int]) -> int:
        """Which pass the active chunks, all with equally many behind them, are about to have."""
        return self._passes.get(active[0], 0)

    def _read_in(self, number: int, active: Sequence[int]) -> list[int]:
        """The chunks of pass `number`: the active ones, and those that were granted it before."""
        wanted = {*active, *(i for i, passes in self._passes.items() if passes > number)}
        return [index for index in self._material.ids if index in wanted]

    def _granted(self, depth: int, *, charged: bool) -> None:
        """The passes up to this depth that are still to be made, over the chunks that were granted them before."""
        for number in range(self._done, depth):
            self._pass(number, self._read_in(number, ()), charged=charged)

    def _pass(self, number: int, todo: Sequence[int], *, charged: bool) -> dict[int, float]:
        """Read these chunks with what is written so far, and add what solves for what is still wrong."""
        gathered = {name: Gathered(site) for name, site in self.parameters.items()}
        loss: dict[int, float] = {}
        for group in self._material.groups(todo):
            seen = self._read(self._material, group, number, gathered, charged=charged)
            loss.update(zip(group, seen.tolist(), strict=True))
        for dreamt in self._dreams.groups(self._dreams.about(todo)):
            self._read(self._dreams, dreamt, number, gathered, charged=charged)
        with self.ledger.debit("passes", self._solving_fet(todo) if charged else 0.0):
            for name, site in self.parameters.items():
                change, where = gathered[name].solved()
                self._changes[name] = self._changes[name] + site.correction * change if number else change
                if not number:
                    self._where[name] = where
        self._done = number + 1
        return loss

    def _read(self, rows: SleepRows[K], group: Sequence[K], number: int, gathered: Mapping[str, Gathered], *, charged: bool) -> Tensor:
        """Read a batch with what is written so far, and gather what a pass solves for; gives the mean loss of each text. The fast weights
        are silent meanwhile: they hold the same, cut to their rank."""
        texts, lower = rows.texts(group), rows.lower(group)
        with self.ledger.debit("passes", self._reading_fet(number, rows, group) if charged else 0.0), self.fast.silenced():
            written, scribe = {n: c[None] for n, c in self._changes.items()}, self.parameters.scribe if rows is self._material else None
            with lent(self.split.model, self.parameters, written, scribe):
                seen = observe(self.split, texts, lower, self.parameters.names, self.parameters.error_vocabulary)
            valid, dreamt = seen.seen.valid.bool(), rows is self._dreams
            for name, site in self.parameters.items():
                asked, gather = (site.asked, gathered[name].add_dreams) if dreamt else (None, gathered[name].add)
                gather(seen.inputs[name][valid], site.values(seen.seen, asked)[valid], site.strength(seen.seen, asked)[valid])
        return seen.loss

    @contextmanager
    def _reading_to_write(self) -> Iterator[None]:
        """Texts are read with the scribe, where there is one, from the lowest layer on."""
        if not self.parameters.scribe:
            yield
            return
        with self.fast.silenced(), lent(self.split.model, self.parameters, None, self.parameters.scribe):
            yield

    def _fet(self, number: int, todo: Sequence[int]) -> float:
        texts = sum(self._reading_fet(number, self._material, group) for group in self._material.groups(todo))
        dreams = sum(self._reading_fet(number, self._dreams, group) for group in self._dreams.groups(self._dreams.about(todo)))
        return texts + dreams + self._solving_fet(todo)

    def _reading_fet(self, number: int, rows: SleepRows[K], group: Sequence[K]) -> float:
        """The upper layers, the head forward and once more for the expected embedding, what is attached, uncut, and the errors' spread."""
        tokens = rows.width(group) * len(group)
        attached = self.parameters.reader_weights + (self.parameters.scribe_weights if rows is self._material else 0)
        attached += sum(site.d_in * site.d_out for _, site in self.parameters.items()) if number else 0
        bands = sum(2 * rows.width(group) * tokens * site.W2.shape[1] for _, site in self.parameters.items())
        return rows.upper_fet(group, heads=2) + self.cost.adapter(tokens, attached) + bands / self.cost.flops_per_fet

    def _solving_fet(self, todo: Sequence[int]) -> float:
        """Values, sums and the solution."""
        tokens = self._material.tokens(todo) + self._dreams.written(self._dreams.about(todo))
        return sum(pass_flops(site, tokens) for _, site in self.parameters.items()) / self.cost.flops_per_fet

    @property
    def _cutting_fet(self) -> float:
        """Once a sleep: the product in which directions are ranked, and their eigenvectors."""
        flops = sum(2 * site.d_out * site.d_in * (site.d_in + 2 * site.d_out) + 9 * site.d_out**3 for _, site in self.parameters.items())
        return flops / self.cost.flops_per_fet
