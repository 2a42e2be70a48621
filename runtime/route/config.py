"""The settings of a learned router on the small world. Imports nothing heavy, so that what is refused is refused at once."""

from dataclasses import dataclass

from nrem.memory.errors import UsageError

PRICES = (0.1, 0.5, 1.0, 1.5)
LEAST = {
    "values": 2,
    "moves": 1,
    "slots": 1,
    "hidden": 2,
    "layers": 1,
    "heads": 1,
    "warm_up_steps": 1,
    "warm_up_batch": 4,
    "steps": 0,
    "questions": 1,
    "group": 2,
    "updates": 1,
    "measured": 1,
}
"""Whole numbers below which there is nothing to train."""


@dataclass(frozen=True, kw_only=True)
class RouterConfig:
    values: int = 5
    """Values that a chain runs over."""
    moves: int = 2
    """Permutations of the values that a hop may be."""
    slots: int = 8
    """Places for hops in a question: the longest chain, and the number of tokens that thinking takes."""
    hidden: int = 64
    """Width of the model."""
    layers: int = 2
    """Its depth, which bounds the chains that it can answer directly."""
    heads: int = 4
    """Its attention heads."""
    warm_up_steps: int = 1500
    """Supervised steps in both ways, the control token drawn by lot."""
    warm_up_batch: int = 64
    """Questions in each of them; a quarter is answered by thinking, which is learned sooner."""
    warm_up_step_size: float = 4e-3
    """Step size of AdamW there, with a linear decay."""
    steps: int = 200
    """Steps of DeGRPO."""
    questions: int = 32
    """Questions in each of them."""
    group: int = 8
    """Rollouts of each question."""
    updates: int = 2
    """Updates that the rollouts of a step are split into."""
    step_size: float = 1e-3
    """Step size of AdamW there."""
    alpha: float = 1.0
    """Weight of the control token's loss."""
    decoupled: bool = True
    """False: GRPO, one mean over all tokens, for comparison."""
    clip: float = 0.2
    """How far a token's probability may move within a step."""
    forced_share: float = 0.125
    """Share of each group that is forced to each control token; 0 forces none."""
    reference_weight: float = 0.0
    """Weight of the divergence from the model after the warm-up; published with 0.001, left out it saves a third of the time."""
    measured: int = 200
    """Questions of every number of hops that the trained model is measured on."""
    seed: int = 0
    """Seed of the model, the questions and the rollouts; the world is the same for all."""

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise UsageError(f"{name}: got {getattr(self, name)}, expected {least} or more")
        for name in ("warm_up_step_size", "step_size", "alpha", "clip", "reference_weight"):
            value, may_be_0 = getattr(self, name), name == "reference_weight"
            if not (0 < value < float("inf") or (may_be_0 and value == 0)):
                raise UsageError(f"{name}: got {value:g}, expected a finite number, {'0 or more' if may_be_0 else 'above 0'}")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"seed: got {self.seed}, expected 0 to {2**32 - 1}")
        if self.hidden % (2 * self.heads):
            raise UsageError(f"hidden: got {self.hidden}, expected a multiple of twice heads, {2 * self.heads}")
        if self.updates > self.questions:
            raise UsageError(f"updates: got {self.updates}, expected 1 to {self.questions}, the questions of a step")
        if not 0 <= self.forced_share <= 0.5:
            raise UsageError(f"forced_share: got {self.forced_share}, expected 0 to 0.5")


def check_prices(prices: tuple[float, ...]) -> None:
    """Raises `UsageError` for none, one twice, or one outside of 0 to 2, from where on thinking never pays."""
    if not prices or len(set(prices)) < len(prices) or not all(0 <= price < 2 for price in prices):
        given = ",".join(f"{price:g}" for price in prices)
        raise UsageError(f"--price: got {given!r}, expected different numbers from 0 to below 2, such as 0.1,0.5")
