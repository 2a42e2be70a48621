"""`nrem doctor`."""

from nrem.runtime.commands.options import JsonOption, fail, print_json


def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine has, and whether nrem works on it."""
    from nrem.runtime.checks.doctor import examine
    from nrem.runtime.show.memory import check_report

    checks = list(examine())
    bad = [c for c in checks if c.needed and not c.ok]
    if as_json:
        print_json({"ok": not bad, "checks": [c.to_dict() for c in checks]})
    else:
        check_report(checks)
    if bad:
        fail(f"doctor: {bad[0].name}: {bad[0].found}")
