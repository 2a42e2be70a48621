"""`nrem chat`."""

from nrem.runtime.commands.options import MemoryArgument, ModelOption, SetOption, WayOption, model_setting, way_setting


def chat(memory: MemoryArgument, way: WayOption = None, model: ModelOption = None, settings: SetOption = None) -> None:
    """Ask a memory one question after the other; exit or Ctrl-D ends."""
    from nrem.runtime.wake.ready import check_ready

    given = [*model_setting(model), *way_setting(way), *(settings or [])]
    check_ready(memory, given)

    from nrem.runtime.wake.talk import chat, open_wake

    chat(open_wake(memory, given))
