"""Sizes: can a small model that thinks stand in for a larger one that does not? Two models from scratch on the small world, FLOPs matched.

    python -m benchmarks.sizes [--seeds 3] [--price 0.5] [--work DIR] [--set values=5] [--json]

Both learn the same questions in the same steps, to answer at once and by thinking, and then by DeGRPO when to think. All is in FLOPs, since
a token of the larger model costs more. By the number of hops: what each answers right in each way; then each with what it has learned about
when to think, and with what one knows who is told the hops: its own best allocation, the larger model's too (arXiv 2408.03314 leaves it
out).
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.table import Table

from benchmarks.harness import common
from nrem.consolidation.budget import CostModel
from nrem.consolidation.resample import QuestionResampler
from nrem.memory.errors import UsageError
from nrem.runtime.config import resolve, setting_layers
from nrem.runtime.route.config import RouterConfig, check_prices
from nrem.runtime.route.job import train_seed
from nrem.runtime.route.measure import Outcomes, mean_at, mixed
from nrem.runtime.route.network import make_model
from nrem.runtime.route.table import print_progress
from nrem.runtime.route.world import World

SIZES = {"small": (48, 2), "large": (96, 4)}
"""Width and depth."""
LEARNABLE, TRADED, WORSE = (0.2, 0.8), 0.05, 0.01
"""Bar: where the smaller one at once is right for so many, and the larger one for more than so many more, its thinking is no more than so
much worse than that."""


@dataclass(frozen=True)
class Size:
    """One model's answers over all seeds, and what an answer costs."""

    outcomes: Outcomes
    mflop: tuple[float, float]
    """Of an answer at once, and of one by thinking."""
    weights: int

    def arm(self, name: str) -> tuple[list[float], float]:
        """Right or not, question by question, and the mean MFLOP of an answer."""
        o = self.outcomes
        best = {n: float(mean_at(o.think_right, o.hops, n) > mean_at(o.short_right, o.hops, n)) for n in set(o.hops)}
        chosen = {
            "at once": [0.0] * len(o.hops),
            "thinks": [1.0] * len(o.hops),
            "decides": [float(p > 0.5) for p in o.think_prob],
            "best by hops": [best[n] for n in o.hops],
        }[name]
        return mixed(chosen, o.think_right, o.short_right), self.mflop[0] + fmean(chosen) * (self.mflop[1] - self.mflop[0])


ARMS = ("at once", "thinks", "decides", "best by hops")


def mflop_of(config: RouterConfig, num_prices: int) -> tuple[tuple[float, float], int]:
    """What an answer at once and one by thinking cost, and the weights in matrix products."""
    world = World.make(config.values, config.moves, config.slots, num_prices)
    cost = CostModel.of(make_model(config, world))
    prompt = config.slots + 2

    def answer(generated: int) -> float:
        read = prompt + generated  # the control token is read, the last one is not
        return cost.forward(read, read / 2, head_tokens=generated + 1) * cost.flops_per_fet / 1e6

    return (answer(1), answer(config.slots)), int(cost.flops_per_fet / 2)


def train(folder: Path, config: RouterConfig, price: float, seeds: int) -> Size:
    """A model for each seed; their questions are pooled. Step sizes fall with the width (arXiv 2203.03466): at the same one the larger
    model learns less than the smaller."""
    narrower = RouterConfig.hidden / config.hidden
    config = replace(config, warm_up_step_size=narrower * config.warm_up_step_size, step_size=narrower * config.step_size)
    seeded = [replace(config, seed=config.seed + n) for n in range(seeds)]
    runs = [train_seed(folder / f"seed-{c.seed}", c, (price,), 1e6, print_progress)["outcomes"][0] for c in seeded]
    mflop, weights = mflop_of(config, 1)
    lists = {key: [x for run in runs for x in getattr(run, key)] for key in ("hops", "think_prob", "short_right", "think_right")}
    return Size(Outcomes(price, **lists), mflop, weights)


def by_hops(small: Size, large: Size) -> list[dict[str, Any]]:
    """Each number of hops: all four answers, and whether thinking of the small one stood in for the size of the large one."""
    s, other = small.outcomes, large.outcomes
    assert s.hops == other.hops, "both were asked the same"
    rows = []
    for n in sorted(set(s.hops)):
        here = [i for i, hops in enumerate(s.hops) if hops == n]
        gain = QuestionResampler(len(here)).difference([s.think_right[i] for i in here], [other.short_right[i] for i in here])
        right = {
            "small at once": mean_at(s.short_right, s.hops, n),
            "small thinks": mean_at(s.think_right, s.hops, n),
            "large at once": mean_at(other.short_right, s.hops, n),
            "large thinks": mean_at(other.think_right, s.hops, n),
        }
        to_trade = LEARNABLE[0] <= right["small at once"] <= LEARNABLE[1] and right["large at once"] - right["small at once"] > TRADED
        rows.append({"hops": n, **right, "gain": gain.to_dict(), "to_trade": to_trade, "stands_in": to_trade and gain.low > -WORSE})
    return rows


def compared(sizes: Mapping[str, Size]) -> dict[str, Any]:
    """Every arm of both sizes, and what the small model that decides gains over the large one that answers at once."""
    arms = {f"{size} {arm}": sizes[size].arm(arm) for size in sizes for arm in ARMS}
    mine, theirs = arms["small decides"][0], arms["large at once"][0]
    return {
        "weights": {name: size.weights for name, size in sizes.items()},
        "arms": {name: {"right": fmean(right), "mflop": mflop} for name, (right, mflop) in arms.items()},
        "small_decides_minus_large_at_once": QuestionResampler(len(mine)).difference(mine, theirs).to_dict(),
        "by_hops": by_hops(sizes["small"], sizes["large"]),
    }


def tables(result: Mapping[str, Any]) -> list[Table]:
    columns = ("small at once", "small thinks", "large at once", "large thinks")
    first = Table("hops", *columns, "small thinks - large at once", "stands in", title="right in per cent, by hops", title_justify="left")
    for row in result["by_hops"]:
        gain = row["gain"]
        ends = f"{100 * gain['mean']:+.0f} [{100 * gain['low']:+.0f}, {100 * gain['high']:+.0f}]"
        said = ("yes" if row["stands_in"] else "no") if row["to_trade"] else "nothing to trade"
        first.add_row(str(row["hops"]), *(f"{100 * row[c]:.0f}" for c in columns), ends, said)
    second = Table("arm", "right %", "MFLOP an answer", title="over all questions", title_justify="left")
    for name, arm in result["arms"].items():
        second.add_row(name, f"{100 * arm['right']:.1f}", f"{arm['mflop']:.2f}")
    return [first, second]


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("sizes", "Whether a small model that thinks stands in for a larger one.")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="models of each size (3)")
    parser.add_argument("--price", type=float, default=0.5, metavar="G", help="price of thinking, of a reward of 1 (0.5)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where models are kept, and gone on with if they are there")
    args = parser.parse_args(arguments)
    check_prices((args.price,))
    if args.seeds < 1:
        raise UsageError(f"--seeds: got {args.seeds}, expected 1 or more")
    config = resolve(RouterConfig, setting_layers(args.set))
    if (config.hidden, config.layers) != (RouterConfig.hidden, RouterConfig.layers):
        raise UsageError(f"--set: got hidden or layers, which the sizes are, {SIZES}; set others")
    if not args.skip_tests:
        common.require_green("tests/runtime/route")
    with tempfile.TemporaryDirectory(prefix="nrem-sizes-") as scratch:
        folder = args.work or Path(scratch)
        sizes = {
            name: train(folder / name, replace(config, hidden=hidden, layers=layers), args.price, args.seeds)
            for name, (hidden, layers) in SIZES.items()
        }
    result = {"benchmark": "sizes", "price": args.price, "seeds": args.seeds, **compared(sizes), "config": asdict(config)}
    for table in tables(result):
        common.show(table, to_stderr=args.json)
    raw = {"outcomes": {name: size.outcomes.to_dict() for name, size in sizes.items()}}
    common.finish("sizes", result | common.environment(), raw, args.out, args.json)


if __name__ == "__main__":
    common.run(main)
