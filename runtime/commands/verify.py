"""`nrem verify`."""

from nrem.runtime.commands.options import JsonOption, MemoryArgument, ModelOption, fail, model_flag, print_json


def verify(memory: MemoryArgument, model: ModelOption = None, as_json: JsonOption = False) -> None:
    """Check a memory: files, tensors, base model, the same logits from PEFT, the recorded answer."""
    from nrem.runtime.checks.verify import verify_memory
    from nrem.runtime.show.memory import check_report

    checks = list(verify_memory(memory, model_flag(model)))
    if as_json:
        print_json({"memory": str(memory), "ok": all(c.ok for c in checks), "checks": [c.to_dict() for c in checks]})
    else:
        check_report(checks)
    if failed := [c for c in checks if not c.ok]:
        fail(f"{memory}: {failed[0].name}: {failed[0].found}")
