"""The job of `nrem train-router`: a folder with a trained model a seed, and what they do. Knows nothing about terminals.

OUT/seed-N/warm-up   OUT/seed-N/model   OUT/run.json (what was asked for)   OUT/result.json (figures, and every single outcome)
"""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nrem.memory.errors import UsageError
from nrem.memory.saved.atomic import write_text
from nrem.memory.saved.files import RESUME
from nrem.memory.saved.json_text import json_text
from nrem.memory.saved.own import is_temporary
from nrem.memory.saved.target import real_target
from nrem.runtime.route.config import PRICES, RouterConfig, check_prices

RUN, RESULT, SEED = "run.json", "result.json", "seed-"
MODEL_FILES = ("config.json", "model.safetensors", RESUME)
"""Of a model, as transformers saves it, and of its training."""
WARM_UP_SHARE = 0.6
"""The share of the minutes that the warm-up may take."""
Note = Callable[[int, str, int, int, dict[str, float]], None]
"""Called with the seed, the phase, steps done and in all, and figures."""


@dataclass(frozen=True, kw_only=True)
class RouterJob:
    """What was asked for."""

    out: Path
    prices: tuple[float, ...] = PRICES
    """One model answers for all of them: the price is a token of the question."""
    seeds: int = 1
    minutes: float = 10.0
    """The most wall time of each seed; the number of steps is the configuration's."""
    resume: bool = False
    force: bool = False


def run_router(job: RouterJob, config: RouterConfig, *, note: Note) -> dict[str, Any]:
    """Train and measure a model for each seed; returns what is in `result.json` without the single outcomes.

    Raises `UsageError` before a model library is loaded.
    """
    check_prices(job.prices)
    if job.seeds < 1:
        raise UsageError(f"--seeds: got {job.seeds}, expected 1 or more")
    if not 0 < job.minutes < float("inf"):
        raise UsageError(f"--minutes: got {job.minutes:g}, expected a finite number, more than 0")
    job = replace(job, out=real_target(job.out))
    _take_folder(job, config)
    from nrem.runtime.route.measure import mean_reports, report

    runs: list[dict[str, Any]] = []
    for number in range(job.seeds):
        runs.append(train_seed(job.out / f"{SEED}{number}", replace(config, seed=config.seed + number), job.prices, job.minutes, note))
    reports = [[report(outcomes) for outcomes in run["outcomes"]] for run in runs]
    result = {
        "prices": list(job.prices),
        "seeds": [run["seed"] for run in runs],
        "mean": [mean_reports([of_seed[i] for of_seed in reports]) for i in range(len(job.prices))],
        "by_seed": [{key: run[key] for key in run if key != "outcomes"} | {"reports": r} for run, r in zip(runs, reports, strict=True)],
        "config": asdict(config),
    }
    raw = {"outcomes": [{"seed": run["seed"], "at": [o.to_dict() for o in run["outcomes"]]} for run in runs]}
    write_text(job.out / RESULT, json_text(result | raw) + "\n")
    return result


def train_seed(
    folder: Path,
    config: RouterConfig,
    prices: tuple[float, ...],
    minutes: float,
    note: Note,
    *,
    levels: tuple[int, ...] | None = None,
    name: str = "model",
) -> dict[str, Any]:
    """One seed: warm-up, DeGRPO on these levels of the prices (None: all), outcomes at each of them.

    The warm-up is the same for all levels, so several runs of a folder under different names share it.
    """
    import copy

    from nrem.runtime.route.descent import Phase, descend
    from nrem.runtime.route.measure import measure
    from nrem.runtime.route.network import make_model
    from nrem.runtime.route.train import degrpo_step
    from nrem.runtime.route.warm_up import warm_up_step
    from nrem.runtime.route.world import World

    world = World.make(config.values, config.moves, config.slots, len(prices))
    levels = tuple(range(len(prices))) if levels is None else levels

    def tell(phase: str, done: int, steps: int, figures: dict[str, float]) -> None:
        note(config.seed, phase, done, steps, figures)

    folder.mkdir(parents=True, exist_ok=True)
    first = Phase(
        name="warm-up",
        folder=folder / "warm-up",
        steps=config.warm_up_steps,
        seconds=60 * minutes * WARM_UP_SHARE,
        step_size=config.warm_up_step_size,
        decay=True,
    )
    warm = descend(first, make_model(config, world), lambda model: warm_up_step(model, config, world), tell)
    reference = copy.deepcopy(warm.model).requires_grad_(False) if config.reference_weight else None
    second = Phase(
        name="DeGRPO" if config.decoupled else "GRPO",
        folder=folder / name,
        steps=config.steps,
        seconds=max(0.0, 60 * minutes - warm.seconds),
        step_size=config.step_size,
        decay=False,
    )
    done = descend(second, copy.deepcopy(warm.model), lambda model: degrpo_step(model, config, world, prices, levels, reference), tell)
    return {
        "seed": config.seed,
        "steps": {"warm_up": warm.steps, "degrpo": done.steps},
        "seconds": {"warm_up": warm.seconds, "degrpo": done.seconds},
        "cut_off": warm.steps < config.warm_up_steps or done.steps < config.steps,
        "outcomes": measure(done.model, config, world, prices, levels),
    }


def _take_folder(job: RouterJob, config: RouterConfig) -> None:
    """Refuse what is not ours, an older run unless it is to go on or to go, and going on with other settings."""
    asked = json_text({"config": asdict(config), "prices": list(job.prices)}, indent=1)
    if job.out.exists():
        foreign = [job.out] if not job.out.is_dir() else sorted(path for path in job.out.rglob("*") if not _is_own(path, job.out))
        if foreign:
            name = job.out.name if foreign[0] == job.out else foreign[0].relative_to(job.out)
            raise UsageError(f"{job.out}: exists and is not a router's run ({name} is no part of one); choose another name")
        if any(job.out.iterdir()) and not (job.resume or job.force):
            raise UsageError(f"{job.out}: a router's run is already there; go on with --resume, or start again with --force")
        if job.force and not job.resume:
            shutil.rmtree(job.out)
    path = job.out / RUN
    if path.exists() and path.read_text(encoding="utf-8") != asked:
        raise UsageError(f"{job.out}: the run there has other prices or settings; give the same, or start again with --force")
    job.out.mkdir(parents=True, exist_ok=True)
    write_text(path, asked)


def _is_own(path: Path, out: Path) -> bool:
    """At any depth: the folder of a seed holds models and their checkpoints only."""
    top, *inside = path.relative_to(out).parts
    if not inside:
        return top in (RUN, RESULT) or top.startswith((f".{RUN}.", f".{RESULT}.")) or (top.startswith(SEED) and path.is_dir())
    return top.startswith(SEED) and (path.is_dir() or is_temporary(path.name) or path.name in MODEL_FILES)
