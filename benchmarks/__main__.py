"""`make bench`: all benchmarks with their targets. `python -m benchmarks --help` lists the options.

Prints each figure as a JSON line (also to .bench/results), then a table. The exit code is 1 if a
figure misses its `must`. All comparisons are ratios within one round on one machine; other work on
the machine affects the ratios.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import (
    capacity_page,
    cpu_breakdown,
    crash_storm,
    hostile,
    http_upload,
    kafka_ingest,
    large_images,
    latency,
    overload,
    performance_page,
    published,
    reads,
    sandbox,
)
from benchmarks.bench import Bench
from benchmarks.figures import Report
from benchmarks.load import check_wrk
from benchmarks.opencv_alone import CORES
from benchmarks.service import running

RESULTS = Path(".bench") / "results"
BENCHMARKS: dict[str, Callable[[Bench], None]] = {
    "sandbox": sandbox.run,
    "http-upload": http_upload.run,
    "kafka-ingest": kafka_ingest.run,
    "latency": latency.run,
    "reads": reads.run,
    "overload": overload.run,
    "hostile": hostile.run,
    "crash-storm": crash_storm.run,
    "memory": large_images.run,
    "where": cpu_breakdown.run,
}
_ROUNDS, _SECONDS = 5, 5.0
_QUICK_ROUNDS, _QUICK_SECONDS = 1, 2.0


def main() -> int:
    """Run the chosen benchmarks; returns the exit code."""
    asked = _asked()
    check_wrk()
    RESULTS.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    report = Report(RESULTS / f"{now:%Y%m%dT%H%M%SZ}.jsonl")
    report.note(
        "machine",
        at=now.isoformat(timespec="seconds"),
        cores=CORES,
        machine=platform.machine(),
        load_before=os.getloadavg()[0],
        rounds=asked.rounds,
        seconds=asked.seconds,
    )
    began = time.monotonic()
    settings = dict(word.split("=", 1) for word in asked.setting)
    with running(**settings) as service:
        bench = Bench(service, report, asked.rounds, asked.seconds, asked.quick)
        for name in asked.names or BENCHMARKS:
            try:
                BENCHMARKS[name](bench)
            except (AssertionError, OSError, subprocess.SubprocessError) as error:
                report.broke(name, error)
    report.note("took", minutes=round((time.monotonic() - began) / 60, 1))
    print(f"\n{report.table()}\n\nraw values: {report.path}")
    if asked.publish:
        published.write(report, now, platform.machine())
        performance_page.write(report, now, platform.machine())
        capacity_page.main()
    return 0 if report.ok else 1


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which ones: {', '.join(BENCHMARKS)}; all")
    parser.add_argument("--quick", action="store_true", help="one short round of each")
    parser.add_argument("--rounds", type=int, help=f"of each figure, {_ROUNDS}")
    parser.add_argument("--seconds", type=float, help=f"of load for each value, {_SECONDS:g}")
    parser.add_argument(
        "--setting", action="append", default=[], metavar="NAME=VALUE", help="for the service"
    )
    parser.add_argument(
        "--publish", action="store_true", help="write what `pixlake plan` counts with"
    )
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(BENCHMARKS):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    asked.rounds = asked.rounds or (_QUICK_ROUNDS if asked.quick else _ROUNDS)
    asked.seconds = asked.seconds or (_QUICK_SECONDS if asked.quick else _SECONDS)
    return asked


if __name__ == "__main__":
    sys.exit(main())
