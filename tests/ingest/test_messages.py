"""Wire format of messages: each message is either understood or refused, with no third result."""

import hashlib
import pickle
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import messages
from ingest.errors import InvalidEvent, InvalidHeader, InvalidMessage
from ingest.messages import Headers, Message, MessageDefaults, message_digest, to_job
from processors.errors import EmptyImage, Refused, TooManyBytes, UnknownPreset
from processors.job import ImageJob, KafkaPosition, by_event, by_position
from processors.preset import PresetName

TERMS = MessageDefaults(tenant="acme", default_preset="web", max_bytes=100)
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
EVENT: Headers = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"42"),
    ("ce_source", b"//camera/7"),
    ("ce_type", b"com.example.shot"),
    ("ce_time", b"2026-11-23T10:00:00+01:00"),
    ("content-type", b"image/jpeg"),
)


def message(*headers: tuple[str, bytes | None], value: bytes | None = b"bytes") -> Message:
    return Message("images", "topic-id", 3, 14, value, headers=headers)


def job(*headers: tuple[str, bytes | None], value: bytes | None = b"bytes") -> ImageJob:
    return to_job(message(*headers, value=value), TERMS, NOW)


def test_a_plain_message() -> None:
    made = job()
    said = message()
    position = KafkaPosition(
        "images", "topic-id", 3, 14, message_digest(said, hashlib.sha256(b"bytes").hexdigest())
    )
    assert (made.tenant, made.source, made.received_at) == ("acme", "kafka", NOW)
    assert made.identity == by_position(position)
    assert made.position == position
    assert (made.data.tobytes(), made.preset.name) == (b"bytes", "web")
    assert (dict(made.metadata), made.filename, made.event_time) == ({}, None, None)


def test_another_message_at_the_same_position_is_another_image() -> None:
    """A log that lost its last messages assigns their offsets to other messages."""
    first = message(("pixlake-meta-seq", b"1"))
    others = [
        first,
        replace(first, value=b"other"),
        replace(first, headers=(("pixlake-meta-seq", b"2"),)),
        replace(first, key=b"camera"),
        replace(first, timestamp=NOW),
        replace(first, headers=(("pixlake-meta-seq", None),)),
    ]
    assert len({to_job(each, TERMS, NOW).image_id for each in others}) == len(others)
    again = to_job(replace(first), replace(TERMS, default_preset="thumbnail"), NOW)
    assert again.image_id == to_job(first, TERMS, NOW).image_id


def test_all_that_a_producer_may_say() -> None:
    made = job(
        ("pixlake-preset", b"archive"),
        ("pixlake-filename", "C:\\photos\\Käse\u202e.jpg".encode()),
        ("pixlake-meta-site", "Zürich".encode()),
        ("pixlake-meta-null", None),
        ("traceparent", b"\xff\xfe not ours to read"),
    )
    assert made.preset.name == "archive"
    assert made.filename == "Käse.jpg"
    assert made.metadata == {"site": "Zürich"}


def test_a_preset_of_the_store_is_left_to_the_workers() -> None:
    newest, pinned = job(("pixlake-preset", b"shop")), job(("pixlake-preset", b"shop@3"))
    assert (newest.preset, newest.newest) == (PresetName("shop", None, "acme"), True)
    assert (pinned.preset, pinned.newest) == (PresetName("shop", 3, "acme"), False)
    default = to_job(message(), replace(TERMS, default_preset="shop"), NOW)
    assert default.preset == PresetName("shop")  # the operator's choice, so a shared preset
    assert not job().newest


def test_the_default_preset_is_no_part_of_a_request() -> None:
    assert (job().requested_preset, job(("pixlake-preset", b"web")).requested_preset) == ("", "web")
    assert job(("pixlake-preset", b"shop@3")).requested_preset == "shop@3"


def test_only_an_event_is_named_by_its_producer() -> None:
    assert (job(*EVENT).is_named, job().is_named) == (True, False)


def test_a_cloud_event() -> None:
    made = job(*EVENT)
    assert made.identity == by_event("//camera/7", "42")
    assert made.event_time == datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
    assert made.metadata == {
        "ce_id": "42",
        "ce_source": "//camera/7",
        "ce_type": "com.example.shot",
    }


def test_the_time_of_an_event_may_have_small_letters() -> None:
    made = job(*EVENT[:4], ("ce_time", b"2026-11-23t10:00:00z"))
    assert made.event_time == datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def test_an_event_is_the_same_image_wherever_it_stands() -> None:
    first = to_job(Message("images", "x", 0, 1, b"b", headers=EVENT), TERMS, NOW)
    second = to_job(Message("images", "y", 5, 9, b"b", headers=EVENT), TERMS, NOW)
    assert first.image_id == second.image_id
    other = to_job(Message("images", "y", 5, 9, b"b"), TERMS, NOW)
    assert other.image_id != second.image_id


def test_a_mirrored_event_is_the_same_image_and_a_mirrored_message_is_another() -> None:
    """A mirror copies value, key, headers and timestamp to a topic with another id."""
    for headers, same in ((EVENT, True), ((), False)):
        first = replace(message(*headers), key=b"camera", timestamp=NOW)
        mirrored = replace(first, topic="source.images", topic_id="another-id", offset=2)
        ids = {to_job(each, TERMS, NOW).image_id for each in (first, mirrored)}
        assert (len(ids) == 1) is same


def test_the_producers_timestamp_is_the_event_time_without_ce_time() -> None:
    sent = Message("images", "x", 0, 1, b"b", timestamp=NOW)
    assert to_job(sent, TERMS, NOW).event_time == NOW


@pytest.mark.parametrize(
    ("headers", "value", "fault"),
    [
        ((), None, EmptyImage),
        ((), b"", EmptyImage),
        ((), b"x" * 101, TooManyBytes),
        ((("pixlake-preset", b"no such"),), b"x", UnknownPreset),
        ((("pixlake-preset", b"web@2"),), b"x", UnknownPreset),
        ((("pixlake-preset", b"\xff"),), b"x", InvalidHeader),
        ((("pixlake-preset", b""),), b"x", InvalidHeader),
        ((("pixlake-preset", b"web"), ("pixlake-preset", b"web")), b"x", InvalidHeader),
        ((("pixlake-meta-a", b"a\x00b"),), b"x", InvalidHeader),
        ((("pixlake-meta-a", b"x" * 1025),), b"x", InvalidHeader),
        ((("pixlake-meta-", b"x"),), b"x", InvalidHeader),
        ((("pixlake-tenant", b"x"),), b"x", InvalidHeader),
        ((("pixlake-meta-a b", b"x"),), b"x", InvalidHeader),
        ((*EVENT, ("pixlake-meta-ce_id", b"x")), b"x", InvalidHeader),
        (tuple((f"pixlake-meta-{n}", b"") for n in range(33)), b"x", InvalidHeader),
        (tuple((f"pixlake-meta-{n}", b"x" * 1000) for n in range(9)), b"x", InvalidHeader),
        ((("ce_id", b"1"),), b"x", InvalidEvent),
        ((("ce_specversion", b"1.0"), ("ce_source", b""), ("ce_id", b"1")), b"x", InvalidEvent),
        ((("ce_specversion", b"2.0"), *EVENT[1:]), b"x", InvalidEvent),
        ((*EVENT[:4], ("ce_time", b"yesterday")), b"x", InvalidEvent),
        ((*EVENT[:4], ("ce_time", b"2026-11-23T10:00:00")), b"x", InvalidEvent),
        ((*EVENT[:4], ("ce_time", b"0001-01-01T00:00:00+14:00")), b"x", InvalidEvent),
        ((("content-type", b"application/cloudevents+json"),), b"{}", InvalidEvent),
    ],
)
def test_what_is_refused(headers: Headers, value: bytes | None, fault: type[Exception]) -> None:
    with pytest.raises(fault):
        job(*headers, value=value)


def test_a_limit_is_told_with_what_was_measured() -> None:
    with pytest.raises(TooManyBytes) as caught:
        job(value=b"x" * 101)
    assert (caught.value.limit, caught.value.value) == (100, 101)
    with pytest.raises(InvalidHeader) as header:
        job(("pixlake-meta-a", b"x" * 1025))
    assert (header.value.limit, header.value.value) == (1024, 1025)


def test_headers_that_cannot_be_read() -> None:
    with pytest.raises(InvalidHeader, match="not UTF-8"):
        to_job(Message("t", "t", 0, 0, b"x", headers_fault="not UTF-8"), TERMS, NOW)


NAMES = st.one_of(
    st.sampled_from([*messages.EVENT_HEADERS, messages.PRESET, messages.FILENAME]),
    st.text(max_size=5).map(lambda name: messages.METADATA + name),
    st.text(max_size=20),
)
VALUES = st.one_of(
    st.none(),
    st.binary(max_size=40),
    st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from([b"web", b"1.0", b"2026-11-23T10:00:00Z", b"9999-12-31T23:59:59-10:00"]),
)


@given(
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=6),
    value=st.none() | st.binary(max_size=120),
)
def test_any_message_is_a_job_or_refused(
    headers: list[tuple[str, bytes | None]], value: bytes | None
) -> None:
    try:
        made = job(*headers, value=value)
    except (InvalidMessage, Refused) as error:
        refusal: Exception | None = error
    else:
        refusal = None
    if refusal is not None:
        assert str(refusal).isprintable()
        return
    assert made.data.tobytes() == value
    assert len(made.image_id) == 32
    assert pickle.loads(pickle.dumps(made)).image_id == made.image_id  # noqa: S301  # our own
    assert made.event_time is None or made.event_time.tzinfo is UTC
    # Values in rows have to be valid UTF-8, so that any client can read them.
    for text in (*made.metadata, *made.metadata.values(), made.filename or ""):
        text.encode()


@given(st.integers(-(2**63), 2**63 - 1))
def test_no_timestamp_is_too_odd(milliseconds: int) -> None:
    found = messages.moment(milliseconds)
    assert found is None or found.tzinfo is UTC


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("pixlake-prest", "pixlake-preset"),
        ("Pixlake-Preset", "pixlake-preset"),
        ("pixlake-file-name", "pixlake-filename"),
        ("pixlake-metta-site", "pixlake-meta-<name>"),
    ],
)
def test_a_misspelt_header_is_refused_with_the_nearest_name(name: str, nearest: str) -> None:
    """Without this refusal the image would be stored with the default preset, unnoticed."""
    with pytest.raises(InvalidHeader) as refused:
        to_job(Message("images", "x", 0, 0, b"image", headers=((name, b"web"),)), TERMS, NOW)
    assert f"did you mean {nearest}?" in refused.value.detail
    assert refused.value.value == name


def test_headers_of_others_and_of_a_dead_letter_are_ignored() -> None:
    headers = (
        ("pixlake-dead-letter-code", b"truncated"),
        ("pixlake-later", None),
        ("x-pixlake", b"1"),
        ("traceparent", b"00"),
    )
    job = to_job(Message("images", "x", 0, 0, b"image", headers=headers), TERMS, NOW)
    assert job.metadata == {}
