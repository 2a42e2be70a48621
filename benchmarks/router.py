"""Does a model learn by itself when to think? DeGRPO on the small world, over seeds and prices.

    python -m benchmarks.router [--seeds 3] [--price 0.1,0.5,1,1.5] [--fixed 0.1,0.5] [--work DIR] [--json]

Of each seed one warm-up, and from it: one model for all prices, which it is told in the question; one model for each of `--fixed`, which is
told nothing of prices and only meets them in its rewards; and GRPO, not decoupled, for comparison. Arms: thinking always, never, at the
router's rate by lot, and as one decides who is told the number of hops. Reward and accuracy with intervals by question.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.table import Table

from benchmarks.harness import common
from nrem.memory.errors import UsageError
from nrem.runtime.commands.train_router import prices_of
from nrem.runtime.config import resolve, setting_layers
from nrem.runtime.route.config import RouterConfig, check_prices
from nrem.runtime.route.job import train_seed
from nrem.runtime.route.measure import mean_reports, report
from nrem.runtime.route.table import arms_table, hops_table, progress_line

ALL, GRPO = "one model for all prices", "GRPO, for all prices"


def arms_of(prices: Sequence[float], fixed: Sequence[float], config: RouterConfig) -> dict[str, tuple[tuple[int, ...], RouterConfig, str]]:
    """Levels of the prices, settings and folder of every trained arm."""
    every = tuple(range(len(prices)))
    arms = {ALL: (every, config, "model")}
    arms |= {f"price {p:g} only": ((list(prices).index(p),), config, f"price-{p:g}") for p in fixed}
    return arms | {GRPO: (every, replace(config, decoupled=False), "grpo")}


def measure_seed(folder: Path, seed: int, prices: tuple[float, ...], fixed: Sequence[float], config: RouterConfig) -> dict[str, Any]:
    """All arms of one seed: figures and single outcomes by arm."""

    def note(seed: int, phase: str, done: int, steps: int, figures: dict[str, float]) -> None:
        print(progress_line(seed, phase, done, steps, figures), flush=True, file=sys.stderr)

    found: dict[str, Any] = {}
    for name, (levels, settings, model) in arms_of(prices, fixed, replace(config, seed=seed)).items():
        started = time.process_time()
        run = train_seed(folder / f"seed-{seed}", settings, prices, 1e6, note, levels=levels, name=model)
        found[name] = {
            "seed": seed,
            "reports": [report(at) for at in run["outcomes"]],
            "steps": run["steps"],
            "processor_seconds": round(time.process_time() - started, 1),
            "outcomes": [at.to_dict() for at in run["outcomes"]],
        }
    return found


def separation(found: dict[str, Any]) -> float:
    """Think rate at three hops and more less that at one hop (bar B4 asks for 0.5)."""
    rates = [row["think_rate"] for row in found["by_hops"]]
    return fmean(rates[2:]) - rates[0] if len(rates) > 2 else rates[-1] - rates[0]


def seeds_table(runs: Sequence[dict[str, Any]]) -> Table:
    """A row for each arm, seed and price: what must hold in each of them."""
    table = Table("arm", "seed", "price", title="each seed: think rate, separation, gain over the mixture", title_justify="left")
    for column in ("thinks %", "3+ less 1 hop", "right %", "reward over mixture", "95 %", "processor s"):
        table.add_column(column, justify="right")
    for run in runs:
        for name, arm in run.items():
            for at in arm["reports"]:
                router, gain = at["arms"]["router"], at["reward_over_mixture"]
                cells = (f"{100 * router['think_rate']:.0f}", f"{separation(at):+.2f}", f"{100 * router['accuracy']:.0f}")
                ends = f"{gain['low']:+.3f} to {gain['high']:+.3f}"
                costs = (f"{gain['mean']:+.3f}", ends, f"{arm['processor_seconds']:.0f}")
                table.add_row(name, str(arm["seed"]), f"{at['price']:g}", *cells, *costs)
    return table


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("router", "Does a model learn by itself when to think?")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="models of each kind (3)")
    parser.add_argument("--price", default="0.1,0.5,1,1.5", metavar="G,G", help="prices of thinking, of a reward of 1")
    parser.add_argument("--fixed", default="0.1,0.5", metavar="G,G", help="those that a model of its own is trained for")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where models are kept, and gone on with if they are there")
    args = parser.parse_args(arguments)
    prices, fixed = prices_of(args.price), prices_of(args.fixed)
    check_prices(prices)
    if wrong := [p for p in fixed if p not in prices]:
        raise UsageError(f"--fixed: got {wrong[0]:g}, expected some of --price {args.price}")
    config = resolve(RouterConfig, setting_layers(args.set))
    if not args.skip_tests:
        common.require_green("tests/runtime/route")
    with tempfile.TemporaryDirectory(prefix="nrem-router-") as scratch:
        folder = args.work or Path(scratch)
        runs = [measure_seed(folder, seed, prices, fixed, config) for seed in range(args.seeds)]
    mean = {
        name: [mean_reports(list(of_price)) for of_price in zip(*(run[name]["reports"] for run in runs), strict=True)] for name in runs[0]
    }
    for name, reports in mean.items():
        common.show(hops_table(reports, args.seeds, f"{name}: think rate in per cent, mean of {args.seeds} seeds"), to_stderr=args.json)
        common.show(arms_table(reports), to_stderr=args.json)
    common.show(seeds_table(runs), to_stderr=args.json)
    result = {
        "benchmark": "router",
        "prices": list(prices),
        "seeds": args.seeds,
        "mean": mean,
        "separation": {name: [[separation(at) for at in run[name]["reports"]] for run in runs] for name in mean},
        "config": asdict(config),
        **common.environment(),
    }
    common.finish("router", result, {"runs": runs}, args.out, args.json)


if __name__ == "__main__":
    common.run(main)
