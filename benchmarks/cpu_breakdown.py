"""Processor time per image by part of the service, for the upload API and the Kafka consumer."""

from collections import defaultdict

from benchmarks import load
from benchmarks.bench import Bench
from benchmarks.kafka_ingest import BACKLOG, QUICK_SHARE, drain
from benchmarks.photos import MEDIUM, SMALL, Photo
from benchmarks.service import Service

# Word in a command line, and the part of the service; the first match counts.
_PARTS = (
    ("fork_server", "sandboxed children"),
    ("UploadApi", "replica of the HTTP API"),
    ("KafkaIngest", "replica of the Kafka consumer"),
    ("ImageProcessor", "replica of the processors"),
    ("Sealer", "sealer"),
    ("haproxy", "HAProxy"),
    ("kafka.Kafka", "Kafka broker"),
)
_OTHER = "Ray and the rest"


def run(bench: Bench) -> None:
    """Measure ms of a core per image by part; one load of each photo, by HTTP and by Kafka."""
    for photo in (SMALL, MEDIUM):
        before = _seconds(bench.service)
        seconds = 2 * bench.seconds
        answers = load.post(
            bench.service.upload_url, photo.path, seconds, key=bench.service.key
        ).flawless()
        _tell(bench, f"HTTP upload, {photo.name}", before, answers.answers)
        count = BACKLOG[photo.name] // (QUICK_SHARE if bench.quick else 2)
        _kafka_ingest(bench, photo, count)
        bench.service.forget_images()


def _kafka_ingest(bench: Bench, photo: Photo, count: int) -> None:
    before: dict[str, float] = defaultdict(float)
    drain(bench, photo, count, lambda: before.update(_seconds(bench.service)))
    _tell(bench, f"Kafka ingest, {photo.name}", before, count)


def _tell(bench: Bench, name: str, before: dict[str, float], images: int) -> None:
    after = _seconds(bench.service)
    spent = {part: (after[part] - before[part]) / images * 1000 for part in after}
    bench.report.parts[name] = spent
    bench.report.note(
        f"processor time, {name}",
        unit="ms/image",
        **{part: round(value, 3) for part, value in sorted(spent.items())},
    )


def _seconds(service: Service) -> dict[str, float]:
    by_part: dict[str, float] = defaultdict(float)
    for words, seconds in service.cpu_by_process():
        by_part[part_of(words)] += seconds
    return by_part


def part_of(words: str) -> str:
    """Part of the service that a process belongs to, by its command line."""
    return next((name for word, name in _PARTS if word in words), _OTHER)
