"""What a person sees of trained routers: how often they think by hops and price, and what each way of deciding is worth."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from nrem.runtime.show.memory import plain_table
from nrem.runtime.show.night import plural


def progress_line(seed: int, phase: str, done: int, steps: int, figures: Mapping[str, float]) -> str:
    """One line of the way.

    >>> progress_line(0, "warm-up", 10, 100, {"short": 1.5})
    'seed 0, warm-up, step 10 of 100: short 1.50'
    """
    return f"seed {seed}, {phase}, step {done} of {steps}: " + ", ".join(f"{name} {value:.2f}" for name, value in figures.items())


def print_progress(seed: int, phase: str, done: int, steps: int, figures: Mapping[str, float]) -> None:
    """The same on stderr, as `train_seed` wants to be listened to."""
    print(progress_line(seed, phase, done, steps, figures), file=sys.stderr, flush=True)


def hops_table(reports: Sequence[Mapping[str, Any]], num_seeds: int, title: str = "") -> Table:
    """Rows: what is right either way, then the think rate at every price; columns: number of hops."""
    hops = [row["hops"] for row in reports[0]["by_hops"]]
    title = title or f"think rate in per cent by price and hops, mean of {plural(num_seeds, 'seed')}"
    table = plain_table("", *(f">{plural(int(n), 'hop')}" for n in hops), ">all", title=title)
    mean = {key: [_mean([r["by_hops"][i][key] for r in reports]) for i in range(len(hops))] for key in ("short_right", "think_right")}
    for key, name in (("short_right", "right without thinking"), ("think_right", "right after thinking")):
        table.add_row(name, *(f"{100 * x:.0f}" for x in mean[key]), f"{100 * _mean(mean[key]):.0f}", style="dim")
    for report in reports:
        rates = [row["think_rate"] for row in report["by_hops"]]
        table.add_row(f"thinks at price {report['price']:g}", *(f"{100 * x:.0f}" for x in rates), f"{100 * _mean(rates):.0f}")
    return table


def arms_table(reports: Sequence[Mapping[str, Any]]) -> Table:
    """Mean reward and accuracy of the router beside the ways that look at nothing, and one that was told the hops."""
    names = list(reports[0]["arms"])
    table = plain_table(
        "price", *(f">{name}" for name in names), ">over mixture", title="mean reward (per cent right) of each way to decide"
    )
    for report in reports:
        cells = [f"{arm['reward']:.3f} ({100 * arm['accuracy']:.0f})" for arm in report["arms"].values()]
        table.add_row(f"{report['price']:g}", *cells, f"{report['reward_over_mixture']:+.3f}")
    return table


def verdict(result: Mapping[str, Any]) -> list[str]:
    """What went wrong, if anything did: a run that was cut off, a price at which a model thinks always or never where that is not best."""
    said = []
    for run in result["by_seed"]:
        if run["cut_off"]:
            steps = run["steps"]
            said.append(
                f"seed {run['seed']} ran out of minutes after {steps['warm_up']} steps of warm-up and {steps['degrpo']} of DeGRPO; "
                "give more --minutes, with --force"
            )
    for report in result["mean"]:
        if report["collapsed"]:
            models = f"{plural(report['collapsed'], 'model')} of {len(result['seeds'])}"
            said.append(f"at price {report['price']:g} {models} collapsed: more than 95 % of the questions decided in one way")
    return said


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
