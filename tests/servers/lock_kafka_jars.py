"""Write `pixlake_server/embedded/kafka-jars.lock` from `kafka-pom.xml`; needs Maven."""

import hashlib
import tempfile
from pathlib import Path

from tests.servers.kafka import download_with_maven

LOCK = Path(__file__).parents[2] / "pixlake_server" / "embedded" / "kafka-jars.lock"
_HEADER = """\
# Apache Kafka and what it needs to run: Maven coordinates and SHA-256 of each jar.
# Made from tests/servers/kafka-pom.xml by: python -m tests.servers.lock_kafka_jars
"""


def lock_text() -> str:
    """Return the lock for the present `kafka-pom.xml`."""
    with tempfile.TemporaryDirectory() as folder:
        download_with_maven(Path(folder))
        lines = [_line(jar, Path(folder)) for jar in Path(folder).rglob("*.jar")]
    return _HEADER + "".join(sorted(lines))


def _line(jar: Path, root: Path) -> str:
    *group, artifact, version, _ = jar.relative_to(root).parts
    digest = hashlib.sha256(jar.read_bytes()).hexdigest()
    return f"{'.'.join(group)}:{artifact}:{version} sha256:{digest}\n"


if __name__ == "__main__":
    LOCK.write_text(lock_text(), encoding="utf-8")
