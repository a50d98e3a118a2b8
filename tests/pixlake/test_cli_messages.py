"""Messages of `pixlake produce`, read by the ingest's own parser."""

import hashlib
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from ingest.messages import Message, MessageDefaults, to_job
from pixlake.cli.messages import content_id, headers

TERMS = MessageDefaults(tenant="default", default_preset="web", max_bytes=100)
NOW = datetime.now(UTC)
METADATA = st.dictionaries(
    st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True),
    st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=20),
    max_size=5,
)


def message(told: list[tuple[str, bytes]], data: bytes = b"x", offset: int = 0) -> Message:
    return Message("images", "uuid", 0, offset, data, headers=tuple(told))


@given(filename=st.text(min_size=1, max_size=60), metadata=METADATA, event=st.booleans())
def test_no_file_name_and_no_metadata_is_refused(
    filename: str, metadata: dict[str, str], event: bool
) -> None:
    id_ = content_id(b"x", "archive", metadata) if event else None
    job = to_job(message(headers(filename, "archive", metadata, id_)), TERMS, NOW)
    assert job.preset.name == "archive"
    assert metadata.items() <= job.metadata.items()
    assert job.identity[0] == ("event" if event else "message")


def test_the_same_image_twice_is_one_and_two_without_event_ids() -> None:
    def identity(offset: int, event_id: str | None) -> tuple[str, ...]:
        told = headers("a.jpg", None, {}, event_id)
        return to_job(message(told, offset=offset), TERMS, NOW).identity

    id_ = content_id(b"x", None, {})
    assert identity(0, id_) == identity(1, id_)
    assert identity(0, None) != identity(1, None)


@given(st.binary(max_size=20), st.none() | st.text(max_size=5), METADATA)
def test_a_content_id_names_content(data: bytes, preset: str | None, said: dict[str, str]) -> None:
    made = content_id(data, preset, said)
    assert len(made) == hashlib.sha256().digest_size * 2
    assert made == content_id(data, preset, dict(reversed(said.items())))
    assert made != content_id(data + b"x", preset, said)
    assert made != content_id(data, f"{preset}x", said)
    assert made != content_id(data, preset, {**said, "another": "one"})
