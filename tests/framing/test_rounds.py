"""Short differential test: every form in turn. `make soak-http` runs the long one."""

import os

import httptools
import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serve_app.asgi.framing import FramedProtocol
from tests.framing.forms import FORMS, Form, trailers, upgrade
from tests.framing.rounds import ANSWER_SECONDS, AT_ONCE, Disagreement, Round, play
from tests.framing.stand import Stand

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEED = int(os.environ.get("PIXLAKE_FRAMING_SEED", "14"))
ROUNDS = 12 * len(FORMS)


async def played(
    stand: Stand, rounds: int, forms: tuple[Form, ...] = FORMS, patience: float = ANSWER_SECONDS
) -> list[Disagreement]:
    found = []
    for start in range(0, rounds, AT_ONCE):
        numbers = range(start, start + AT_ONCE)
        found += await play(stand, [Round(SEED, number, forms) for number in numbers], patience)
    return found


async def test_nobody_gets_or_sends_what_is_anothers(both: Stand) -> None:
    assert await played(both, ROUNDS) == []


@pytest.mark.parametrize("form", [upgrade, trailers])
async def test_without_fences_it_is_found(none: Stand, form: Form) -> None:
    """Only the sender is affected: each bystander has a connection of its own to the replica."""
    found = [str(wrong) for wrong in await played(none, 4 * AT_ONCE, (form,), 0.5)]
    assert any("bystander" not in wrong for wrong in found)
    at_haproxy = [wrong for wrong in found if "a bystander" in wrong]
    assert at_haproxy == []


def _deaf(protocol: FramedProtocol) -> object:
    """Return a parser as uvicorn makes it: it ignores data after a trailer `Connection: close`."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


@pytest.mark.parametrize(
    ("form", "rules"),
    [
        (trailers, {"new_parser": _deaf}),
        (trailers, {"on_header": HttpToolsProtocol.on_header}),
        (
            upgrade,
            {
                "on_headers_complete": HttpToolsProtocol.on_headers_complete,
                "on_message_complete": HttpToolsProtocol.on_message_complete,
            },
        ),
    ],
    ids=["deaf after a trailer", "trailers as headers", "no body after an offer"],
)
async def test_each_rule_of_the_replica_is_missed(
    both: Stand, monkeypatch: pytest.MonkeyPatch, form: Form, rules: dict[str, object]
) -> None:
    for name, without in rules.items():
        monkeypatch.setattr(FramedProtocol, name, without)
    assert await played(both, 6 * AT_ONCE, (form,), 0.5)


@pytest.mark.parametrize("form", [upgrade, trailers])
async def test_the_replicas_fence_holds_alone(only_replica: Stand, form: Form) -> None:
    assert await played(only_replica, 8 * AT_ONCE, (form,)) == []
