"""Does a model learn by itself when to think? DeGRPO on the small world, over seeds and prices.

    python -m benchmarks.router [--seeds 3] [--price 0.1,0.5,1,1.5] [--fixed 0.1,0.5] [--grpo] [--work DIR] [--json]

Of each seed one warm-up, and from it: one model for all prices, which it is told in the question; one model for each of `--fixed`, which is
told nothing of prices and only meets them in its rewards; and with `--grpo` GRPO, not decoupled, for comparison. Arms: thinking always,
never, at the router's rate by lot, and as one decides who is told the number of hops. Gains over the lot with intervals by question. A run
that was killed goes on where `--work` says.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from rich.table import Table

from benchmarks.harness import common
from nrem.memory.errors import UsageError
from nrem.runtime.commands.train_router import prices_of
from nrem.runtime.config import resolve, setting_layers
from nrem.runtime.route.config import RouterConfig, check_prices
from nrem.runtime.route.job import train_seed
from nrem.runtime.route.measure import mean_reports, report
from nrem.runtime.route.table import arms_table, hops_table, print_progress

ALL, GRPO = "one model for all prices", "GRPO for all prices"


class Arm(NamedTuple):
    """One way to train: levels of the prices, settings, and the folder of the model."""

    levels: tuple[int, ...]
    config: RouterConfig
    folder: str


def arms_of(prices: Sequence[float], fixed: Sequence[float], config: RouterConfig, *, grpo: bool) -> dict[str, Arm]:
    """Every arm that is trained, in the order of training."""
    every = tuple(range(len(prices)))
    arms = {ALL: Arm(every, config, "model")}
    arms |= {f"price {100 * p:g} % only": Arm((list(prices).index(p),), config, f"price-{p:g}") for p in fixed}
    return arms | ({GRPO: Arm(every, replace(config, decoupled=False), "grpo")} if grpo else {})


def measure_arm(folder: Path, seed: int, prices: tuple[float, ...], arm: Arm) -> dict[str, Any]:
    """One model: figures and single outcomes."""
    started, config = time.process_time(), replace(arm.config, seed=seed)
    run = train_seed(folder / f"seed-{seed}", config, prices, 1e6, print_progress, levels=arm.levels, name=arm.folder)
    reports = [report(at) for at in run["outcomes"]]
    common.show(hops_table(reports, 1, f"{arm.folder}, seed {seed}"), to_stderr=True)
    return {
        "seed": seed,
        "reports": reports,
        "steps": run["steps"],
        "seconds": run["seconds"],
        "processor_seconds": round(time.process_time() - started, 1),
        "outcomes": [at.to_dict() for at in run["outcomes"]],
    }


def separation(found: dict[str, Any]) -> float:
    """Think rate at three hops and more less that at one hop (bar B4 asks for 0.5)."""
    rates = [row["think_rate"] for row in found["by_hops"]]
    return fmean(rates[2:]) - rates[0] if len(rates) > 2 else rates[-1] - rates[0]


def seeds_table(runs: Mapping[str, Sequence[dict[str, Any]]]) -> Table:
    """A row for each arm, seed and price: what must hold in each of them."""
    table = Table("arm", "seed", "price", title="each seed: think rate, separation, gain over the mixture", title_justify="left")
    for column in ("thinks %", "3+ less 1 hop", "right %", "reward over mixture", "95 %", "processor s"):
        table.add_column(column, justify="right")
    for name, of_arm in runs.items():
        for run in of_arm:
            for at in run["reports"]:
                router, gain = at["arms"]["router"], at["reward_over_mixture"]
                cells = (f"{100 * router['think_rate']:.0f}", f"{separation(at):+.2f}", f"{100 * router['accuracy']:.0f}")
                ends = f"{gain['low']:+.3f} to {gain['high']:+.3f}"
                costs = (f"{gain['mean']:+.3f}", ends, f"{run['processor_seconds']:.0f}")
                table.add_row(name, str(run["seed"]), f"{at['price']:g}", *cells, *costs)
    return table


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("router", "Does a model learn by itself when to think?")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="models of each kind (3)")
    parser.add_argument("--price", default="0.1,0.5,1,1.5", metavar="G,G", help="prices of thinking, of a reward of 1")
    parser.add_argument("--fixed", default="0.1,0.5", metavar="G,G", help="those that a model of its own is trained for")
    parser.add_argument("--grpo", action="store_true", help="also without decoupling, for all prices")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where models are kept, and gone on with if they are there")
    args = parser.parse_args(arguments)
    prices, fixed = prices_of(args.price), prices_of(args.fixed) if args.fixed else ()
    check_prices(prices)
    if wrong := [p for p in fixed if p not in prices]:
        raise UsageError(f"--fixed: got {wrong[0]:g}, expected some of --price {args.price}")
    config = resolve(RouterConfig, setting_layers(args.set))
    if not args.skip_tests:
        common.require_green("tests/runtime/route")
    with tempfile.TemporaryDirectory(prefix="nrem-router-") as scratch:
        folder = args.work or Path(scratch)
        arms = arms_of(prices, fixed, config, grpo=args.grpo)
        runs = {name: [measure_arm(folder, seed, prices, arm) for seed in range(args.seeds)] for name, arm in arms.items()}
    mean = {
        name: [mean_reports(of_price) for of_price in zip(*(run["reports"] for run in of_arm), strict=True)]
        for name, of_arm in runs.items()
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
        "separation": {name: [[separation(at) for at in run["reports"]] for run in of_arm] for name, of_arm in runs.items()},
        "config": asdict(config),
        **common.environment(),
    }
    common.finish("router", result, {"runs": runs}, args.out, args.json)


if __name__ == "__main__":
    common.run(main)
