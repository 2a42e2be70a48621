"""`nrem chat`."""

from nrem.runtime.commands.options import AskingOption, MemoryArgument, ModelOption, SetOption, WayOption, model_flag, way_flag


def chat(
    memory: MemoryArgument,
    way: WayOption = None,
    config: AskingOption = None,
    model: ModelOption = None,
    settings: SetOption = None,
) -> None:
    """Ask a memory one question after the other; exit or Ctrl-D ends."""
    from nrem.runtime.opened import asking_flags
    from nrem.runtime.wake.ready import check_ready

    flags = {**asking_flags(config), **model_flag(model), **way_flag(way)}
    check_ready(memory, settings or [], flags)

    from nrem.runtime.wake.talk import chat, open_wake

    chat(open_wake(memory, settings or [], flags), lambda base: open_wake(memory, settings or [], flags, base))
