"""What tests of commands share."""

import pytest

from tests.cli import SLEEP, Shell


@pytest.fixture
def memory(shell: Shell) -> str:
    """A saved memory."""
    assert shell(*SLEEP, "memories/orrin").code == 0
    return "memories/orrin"
