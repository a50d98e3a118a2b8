"""Rate limits in Valkey or Redis: one command takes from several limits, all or none."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from throttled import RateLimitState
from throttled.rate_limiter.gcra import RedisLimitAtomicActionSpec, RedisPeekAtomicActionSpec

if TYPE_CHECKING:
    from redis.asyncio import Redis

# The scripts of throttled-py for one limit, as functions of one script for several limits. The
# server runs a script as a whole, so nothing changes between a look and the count.
_SCRIPT: Final = f"""
local function peek(KEYS, ARGV)
{RedisPeekAtomicActionSpec.SCRIPTS}
end
local function limit(KEYS, ARGV)
{RedisLimitAtomicActionSpec.SCRIPTS}
end
local states, refused = {{}}, 0
for n, key in ipairs(KEYS) do
    states[n] = peek({{key}}, {{ARGV[3 * n - 2], ARGV[3 * n - 1]}})
    if refused == 0 and states[n][2] < tonumber(ARGV[3 * n]) then
        refused = n
    end
end
if refused == 0 then
    for n, key in ipairs(KEYS) do
        states[n] = limit({{key}}, {{ARGV[3 * n - 2], ARGV[3 * n - 1], ARGV[3 * n]}})
    end
end
return {{refused, states}}
"""


class SharedCharge(NamedTuple):
    """Use of the limit `name`: `cost` of the `burst` that refills with `quota` a second."""

    name: str
    quota: int
    burst: int
    cost: int


class Charging:
    """Takes from limits that all processes share."""

    def __init__(self, client: "Redis") -> None:
        self._script = client.register_script(_SCRIPT)

    async def take(
        self, charges: Sequence[SharedCharge]
    ) -> tuple[list[RateLimitState], int | None]:
        """Take the charges if all fit; returns the states, and the first that does not fit.

        Raises the errors of the library.
        """
        keys = [charge.name for charge in charges]
        numbers = [
            number for charge in charges for number in (1 / charge.quota, charge.burst, charge.cost)
        ]
        answer = await self._script(keys, numbers)
        refused, found = cast("tuple[int, list[tuple[int, int, bytes, bytes]]]", answer)
        states = [
            RateLimitState(charge.burst, remaining, float(reset), float(retry))
            for charge, (_, remaining, reset, retry) in zip(charges, found, strict=True)
        ]
        return states, refused - 1 if refused else None
