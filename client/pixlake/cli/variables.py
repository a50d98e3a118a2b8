"""Check of environment variables: an unknown name is probably misspelt, and is refused.

`data/variables.txt` names each setting's variable; `python -m tests.reference` writes it.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from pixlake.cli.failures import UsageFault, near

_NAMES = Path(__file__).parent / "data" / "variables.txt"
_PREFIX = "PIXLAKE_"
# Variables of the command and of the tests that are not settings.
_OTHERS = frozenset(
    {
        "PIXLAKE_URL", "PIXLAKE_API_KEY", "PIXLAKE_CA_FILE", "PIXLAKE_CLIENT_CERT",
        "PIXLAKE_PROXY", "PIXLAKE_ALLOW_HTTP", "PIXLAKE_DEBUG", "PIXLAKE_RUN",
    }
)  # fmt: skip
_OF_TESTS = ("PIXLAKE_TEST_", "PIXLAKE_CRASH_SECONDS")
# Other programs use variables that begin with KAFKA_, so only a near miss is refused.
_KAFKA_PREFIX = "KAFKA_"
_KAFKA_NEAR = 0.85


def check_variables(given: Iterable[str] | None = None) -> None:
    """Raise UsageFault, with the nearest name, if a variable of the environment is unknown."""
    names = sorted(os.environ if given is None else given)
    suspects = [name for name in names if name.upper().startswith((_PREFIX, _KAFKA_PREFIX))]
    if not suspects:
        return
    known = _OTHERS | set(_NAMES.read_text(encoding="ascii").split())
    faults = [fault for name in suspects if (fault := _fault(name, known))]
    if faults:
        raise UsageFault("; ".join(faults))


def _fault(name: str, known: set[str] | frozenset[str]) -> str | None:
    # pydantic reads variables in any case.
    upper = name.upper()
    if upper in known or upper.startswith(_OF_TESTS):
        return None
    if upper.startswith(_KAFKA_PREFIX):
        ours = [one for one in known if one.startswith(_KAFKA_PREFIX)]
        hint = near(upper, ours, _KAFKA_NEAR)
        return f"{name} is not a setting{hint}" if hint else None
    return f"{name} is not a setting of Pixlake{near(upper, known)} (docs/settings.md lists all)"
