"""Latency of uploads while cache and accounts database are stopped, paused or 2 s late.

`python -m benchmarks.stalls [RATE]`: the whole service, a real Redis and a real PostgreSQL, open
loop. Each run has its fault from the second to the sixth of eight seconds.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from threading import Timer

from sqlalchemy import make_url

from benchmarks import open_loop
from benchmarks.photos import SMALL
from benchmarks.service import Service, running
from serve_app.accounts import Accounts, Limits
from tests.serve_app.postgres import Postgres
from tests.servers.redis import RedisServer
from tests.servers.slow_link import SlowLink, link_in_thread

_SECONDS, _BEGIN, _END = 8.0, 2.0, 6.0
_RATE = 20.0
_LATE_SECONDS = 2.0
# The service notices the end of a fault within a second or two.
_PAUSE_SECONDS = 5.0

Fault = tuple[Callable[[], None], Callable[[], None]]


def _faults(
    redis: RedisServer, postgres: Postgres, to_redis: SlowLink, to_postgres: SlowLink
) -> dict[str, Fault]:
    def delay(link: SlowLink, seconds: float) -> Callable[[], None]:
        return lambda: setattr(link, "delay", seconds)

    def nothing() -> None:
        pass

    return {
        "none": (nothing, nothing),
        "cache stopped": (redis.stop, redis.start),
        "cache paused": (redis.pause, redis.resume),
        "cache 2 s late": (delay(to_redis, _LATE_SECONDS), delay(to_redis, 0)),
        "database stopped": (postgres.stop, postgres.start),
        "database paused": (postgres.pause, postgres.resume),
        "database 2 s late": (delay(to_postgres, _LATE_SECONDS), delay(to_postgres, 0)),
        "none again": (nothing, nothing),
    }


def _measure(service: Service, name: str, fault: Fault, rate: float) -> None:
    # The load has a second of its own before it is measured.
    timers = [Timer(at + 1, run) for at, run in zip((_BEGIN, _END), fault, strict=True)]
    for timer in timers:
        timer.start()
    seen = open_loop.measure(service.upload_url, service.key, SMALL.path, rate, _SECONDS)
    for timer in timers:
        timer.join()
    figures = {key: round(value, 4) for key, value in asdict(seen).items() if key != "cpu"}
    print(json.dumps({"fault": name, **figures}), flush=True)
    time.sleep(_PAUSE_SECONDS)


def main(rate: float = _RATE) -> None:
    """Print one JSON line for each fault."""
    with (
        Postgres(None) as postgres,
        RedisServer() as redis,
        link_in_thread(redis.port) as to_redis,
        link_in_thread(postgres.socket) as to_postgres,
    ):
        url = make_url(postgres.new_database())
        linked = url.set(host="127.0.0.1", port=to_postgres.port, query={})
        settings = {
            "PIXLAKE_DATABASE_URL": linked.render_as_string(hide_password=False),
            "PIXLAKE_CACHE_URL": redis.url_of(to_redis.port),
        }
        with running(**settings) as service:
            accounts = Accounts.open(settings["PIXLAKE_DATABASE_URL"])
            [key] = accounts.keys()
            many = Limits(requests_per_second=100_000, images_per_second=100_000)
            accounts.limits.set_key(key.prefix, many, actor="benchmark")
            time.sleep(_PAUSE_SECONDS)
            for name, fault in _faults(redis, postgres, to_redis, to_postgres).items():
                _measure(service, name, fault, rate)
            accounts.close()


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
