"""Latency of refusals while more clients upload than the service admits.

`python -m benchmarks.overload URL KEY PHOTO CLIENTS SECONDS` is the load in a separate process, and
prints JSON. Each client uploads one new image after another and obeys `Retry-After`, like Pixlake's
client library.
"""

import asyncio
import json
import random
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.figures import Target
from benchmarks.open_loop import Client
from benchmarks.photos import SMALL

_TARGET = Target(100.0, 50.0, "ms", less=True)
# Four times the uploads that the API admits by default (processed and waiting), on two cores.
_CLIENTS = 256
_CREATED, _UNAVAILABLE = 201, 503
_MILLI = 1000


@dataclass(slots=True)
class Answers:
    """Latencies of refusals in seconds; number of stored uploads and of other answers."""

    refusals: list[float] = field(default_factory=list)
    created: int = 0
    others: int = 0


def run(bench: Bench) -> None:
    """Measure the p99 latency of refusals."""
    service = bench.service
    slow, share, rates = [], [], []
    for _ in range(bench.rounds):
        words = [sys.executable, "-m", "benchmarks.overload", service.upload_url, service.key]
        load = [str(SMALL.path), str(_CLIENTS), str(bench.seconds)]
        done = subprocess.run([*words, *load], check=True, capture_output=True, text=True)
        answers = Answers(**json.loads(done.stdout))
        assert answers.refusals, "nothing was refused"
        assert not answers.others, f"{answers.others} answers are neither 201 nor a good 503"
        times = sorted(answers.refusals)
        slow.append(times[len(times) * 99 // 100] * _MILLI)
        share.append(len(times) / (len(times) + answers.created))
        rates.append(answers.created / bench.seconds)
        service.forget_images()
    bench.report.raw("overload_refused", share, "of all answers")
    bench.report.raw("overload_http_upload_74KB", rates, "images/s")
    bench.report.judge("a refusal when overloaded, p99", slow, _TARGET)


async def _upload(client: Client, answers: Answers, until: float) -> None:
    while time.perf_counter() < until:
        begun = time.perf_counter()
        answer = await client.post()
        if answer.status == _CREATED:
            answers.created += 1
        elif answer.status == _UNAVAILABLE and "retry-after" in answer.headers:
            answers.refusals.append(time.perf_counter() - begun)
            # Wait with jitter, as clients should, so that they do not all retry at the same time.
            await asyncio.sleep(float(answer.headers["retry-after"]) * random.uniform(1, 2))
        else:
            answers.others += 1


async def _main(client: Client, clients: int, seconds: float) -> None:
    answers, until = Answers(), time.perf_counter() + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(_upload(client, answers, until))
    print(json.dumps(asdict(answers)))


if __name__ == "__main__":
    address, secret, file, count, length = sys.argv[1:]
    asyncio.run(_main(Client(address, secret, Path(file).read_bytes()), int(count), float(length)))
