"""`nrem ceiling`."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from nrem.runtime.commands.options import ConfigOption, JsonOption, ModelOption, QuietOption, SetOption, model_flag, numbers, print_json


def ceiling(
    documents: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="DOC", help="Texts to measure on; default: the six that come with nrem.", show_default=False),
    ] = None,
    passes: Annotated[str, typer.Option("--passes", metavar="N,N", help="Levels to measure.")] = "0,1,2,4,8",
    questions: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--questions", metavar="FILE", help="Documents with questions that confidence is calibrated on.", show_default=False),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", "-o", metavar="DIR", help="Keep it in a protocol's folder, not in the cache.", show_default=False),
    ] = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
    be_quiet: QuietOption = False,
) -> None:
    """Measure how many passes pay on a model with its protocol; later sleeps go no deeper by themselves."""
    from nrem.memory.saved.target import check_folder
    from nrem.runtime.commands.progress import ProgressBar
    from nrem.runtime.config import load_config
    from nrem.runtime.measure.ceiling import calibration_documents, check_levels, measure_ceiling
    from nrem.runtime.measure.ceiling_table import ceiling_report
    from nrem.runtime.measure.questions import read_documents
    from nrem.runtime.parts import calibration_folder, load_base
    from nrem.runtime.readers.read import open_documents
    from nrem.runtime.show.memory import console

    levels = numbers(passes, "--passes")
    check_levels(levels)
    if out is not None:
        check_folder(out, "--out")  # hours before it is written
    resolved = load_config(config, settings or [], model_flag(model))
    progress = ProgressBar(quiet=be_quiet)
    read = open_documents(documents, tell=progress.note) if documents else calibration_documents()
    questioned = read_documents(questions) if questions else []
    try:
        progress.note(f"loading {resolved.model.name}")
        base = load_base(resolved)
        measured = measure_ceiling(base, resolved, read, levels, progress, questioned)
    finally:
        progress.close()
    folder = measured.save(out or calibration_folder(base, measured.protocol))
    if as_json:
        confidence = measured.confidence.to_dict() if measured.confidence else None
        more = {"confidence": confidence, "protocol": measured.protocol.id, "kept_in": str(folder)}
        print_json(measured.ceiling.to_dict() | more)
    else:
        ceiling_report(console(), measured.ceiling, measured.confidence, measured.protocol.id)
