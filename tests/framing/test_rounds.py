"""The differential test in short: every form in turn; `make soak-http` is the long one."""

import os

import pytest

from tests.framing.forms import FORMS, Form, trailers, upgrade
from tests.framing.rounds import AT_ONCE, Disagreement, Round, play
from tests.framing.stand import Stand

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEED = int(os.environ.get("PIXLAKE_FRAMING_SEED", "14"))
ROUNDS = 12 * len(FORMS)


async def played(stand: Stand, rounds: int, forms: tuple[Form, ...] = FORMS) -> list[Disagreement]:
    found = []
    for start in range(0, rounds, AT_ONCE):
        numbers = range(start, start + AT_ONCE)
        found += await play(stand, [Round(SEED, number, forms) for number in numbers])
    return found


async def test_nobody_gets_or_sends_what_is_anothers(both: Stand) -> None:
    assert await played(both, ROUNDS) == []


@pytest.mark.parametrize("form", [upgrade, trailers])
async def test_without_fences_it_is_found(none: Stand, form: Form) -> None:
    """By who sent it: no bystander is hit, whose connection to the replica is its own."""
    found = [str(wrong) for wrong in await played(none, 4 * AT_ONCE, (form,))]
    assert any("bystander" not in wrong for wrong in found)
    at_haproxy = [wrong for wrong in found if "a bystander" in wrong]
    assert at_haproxy == []


@pytest.mark.parametrize("form", [upgrade, trailers])
async def test_the_replicas_fence_holds_alone(only_replica: Stand, form: Form) -> None:
    assert await played(only_replica, 8 * AT_ONCE, (form,)) == []
