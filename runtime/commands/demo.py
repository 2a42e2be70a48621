"""`nrem demo`."""

from pathlib import Path
from typing import Annotated

import typer

from nrem.runtime.commands.options import (
    ConfigOption,
    DreamsOption,
    JsonOption,
    ModelOption,
    PassesOption,
    QuietOption,
    SetOption,
    dreams_flag,
    model_flag,
    passes_flag,
    print_json,
)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="MEMORY", help="Where to put the memory.")] = Path("memories/demo"),
    passes: PassesOption = None,
    dreams: DreamsOption = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a memory there that is not the demo's.")] = False,
    as_json: JsonOption = False,
    be_quiet: QuietOption = False,
) -> None:
    """Run the main job on a document that comes with nrem, and compare."""
    from nrem.runtime.commands.demo_show import show_comparison, show_document, show_night
    from nrem.runtime.commands.progress import ProgressBar
    from nrem.runtime.config import load_config
    from nrem.runtime.measure.demo import compare, demo_document, sleep_on_demo
    from nrem.runtime.show.memory import console, summary

    resolved = load_config(config, settings or [], {**model_flag(model), **passes_flag(passes), **dreams_flag(dreams)})
    progress, screen = ProgressBar(quiet=be_quiet), console(silent=as_json)
    try:
        show_document(screen, demo_document())
        night = sleep_on_demo(out, resolved, force=force, listener=progress, tell=progress.note)
        show_night(screen, night)
        found = compare(night, tell=progress.note)
        show_comparison(screen, night, found)
    finally:
        progress.close()
    if as_json:
        print_json(summary(night.memory.record, out) | {"adapter_bytes": night.memory.num_bytes} | found.to_dict())
