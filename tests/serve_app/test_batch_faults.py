"""Bad batches: each fault has its code, and nothing is half stored."""

import tarfile

import pytest

from serve_app.settings import ServeSettings
from tests.serve_app.batches import (
    MIXED,
    by_name,
    entry,
    files,
    ids,
    is_released,
    lines,
    mixed,
    send,
    tar,
)
from tests.serve_app.site import PHOTO, MakeSite, Site, png

pytestmark = pytest.mark.asyncio(loop_scope="session")

ODD_ENTRIES = {
    "invalid_name": [
        entry("../x.png", png()),
        entry("a/../../x.png", png()),
        entry("/etc/x.png", png()),
        entry("..\\x.png", png()),
        entry("C:\\x.png", png()),
        entry("a\nb.png", png()),
        entry("a", png(), pax_headers={"path": "a\0b.png"}),
        entry("x" * 1025, png()),
        entry("\udcff.png", png()),
    ],
    "special_file": [
        entry("l", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        entry("h", type=tarfile.LNKTYPE, linkname="0.png"),
        entry("c", type=tarfile.CHRTYPE),
        entry("b", type=tarfile.BLKTYPE),
        entry("f", type=tarfile.FIFOTYPE),
    ],
    "unsupported_entry": [
        entry("s", png(), type=tarfile.GNUTYPE_SPARSE),
        entry("p", png(), pax_headers={"GNU.sparse.major": "1"}),
        entry("v", png(), type=b"V"),
    ],
    "not_an_image": [entry("t.txt", b"plain text")],
    "empty_body": [entry("e.png")],
}


@pytest.mark.parametrize("code", ODD_ENTRIES)
async def test_what_is_no_image_is_refused_alone(site: Site, code: str) -> None:
    odd = ODD_ENTRIES[code]
    found = lines(
        await send(site, tar(*files(1), *odd, *files(1, first=1), errors="surrogateescape"))
    )
    assert [line["code"] for line in found if line["outcome"] == "refused"] == [code] * len(odd)
    assert all(line["id"] is None for line in found if line["outcome"] == "refused")
    stored = {line["id"] for line in found if line["outcome"] == "new"}
    assert len(stored) == 2
    assert stored == await ids(site)
    assert is_released(site)


async def test_an_image_over_the_limit_is_refused_alone(
    make_site: MakeSite, settings: ServeSettings
) -> None:
    site = await make_site(settings.model_copy(update={"max_bytes": 1_000}))
    body = tar(entry("big.png", bytes(200_000)), *files(1))
    found = by_name(await send(site, body))
    line = found["big.png"]
    assert (line["status"], line["code"]) == (413, "too_many_bytes")
    assert (line["limit"], line["value"]) == (1_000, 200_000)
    assert found["photos/0.png"]["outcome"] == "new"
    form = mixed(("X-Pixlake-Meta-a: 1", bytes(200_000)), ("X-Pixlake-Meta-a: 1", png()))
    found = by_name(await send(site, form, headers=MIXED))
    assert (found["#1"]["code"], found["#2"]["outcome"]) == ("too_many_bytes", "new")
    assert is_released(site)


async def test_a_second_file_of_a_name_is_refused(site: Site) -> None:
    found = lines(await send(site, tar(*files(1), *files(1), entry("./photos/0.png", PHOTO))))
    assert sorted(line["code"] or "" for line in found) == ["", *["duplicate_name"] * 2]
    assert len(await ids(site)) == 1


async def test_equal_bytes_of_two_names_are_one_image(site: Site) -> None:
    found = by_name(await send(site, tar(entry("a.png", png()), entry("b.png", png()))))
    assert found["a.png"]["id"] == found["b.png"]["id"]
    assert {line["outcome"] for line in found.values()} == {"new", "replay"}


WHOLE = tar(*files(2))
FIRST_IS_WHOLE = 512 + 512 * -(-len(png(seed=0)) // 512)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"", "empty_batch", id="nothing"),
        pytest.param(tar(), "empty_batch", id="no-file"),
        pytest.param(tar(entry("d", type=tarfile.DIRTYPE)), "empty_batch", id="folders"),
        pytest.param(b"\x1f\x8b" + bytes(2000), "compressed_archive", id="gzip"),
        pytest.param(b"\x1f\x8b\x08", "compressed_archive", id="short-gzip"),
        pytest.param(b"\x28\xb5\x2f\xfd" + bytes(2000), "compressed_archive", id="zstd"),
        pytest.param(PHOTO, "malformed_archive", id="a-photo"),
        pytest.param(WHOLE[:300], "truncated_archive", id="half-a-header"),
        pytest.param(WHOLE[:600], "truncated_archive", id="half-an-image"),
    ],
)
async def test_a_fault_before_the_first_line_is_the_answer(
    site: Site, body: bytes, code: str
) -> None:
    before = await site.stored()
    answer = await send(site, body)
    assert answer.json()["code"] == code
    assert answer.status_code in {400, 415}
    assert await site.stored() == before
    assert is_released(site)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(WHOLE[:FIRST_IS_WHOLE], "truncated_archive", id="no-end"),
        pytest.param(WHOLE[: FIRST_IS_WHOLE + 600], "truncated_archive", id="half-an-image"),
        pytest.param(WHOLE[:FIRST_IS_WHOLE] + PHOTO, "malformed_archive", id="garbage"),
        pytest.param(WHOLE[:FIRST_IS_WHOLE] + bytes(1024) + WHOLE, "malformed_archive", id="two"),
        pytest.param(WHOLE[:FIRST_IS_WHOLE] + bytes(3_000_000), "malformed_archive", id="zeros"),
    ],
)
async def test_a_fault_in_the_middle_is_the_last_line(site: Site, body: bytes, code: str) -> None:
    *others, last = lines(await send(site, body))
    assert (last["name"], last["id"], last["outcome"], last["code"]) == (
        None,
        None,
        "refused",
        code,
    )
    assert [(line["name"], line["outcome"]) for line in others] == [("photos/0.png", "new")]
    assert {line["id"] for line in others} == await ids(site)
    assert is_released(site)


def extended(kind: bytes, size: int, data: bytes = b"") -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(extended(tarfile.XHDTYPE, 8_000_000_000), id="huge"),
        pytest.param(extended(tarfile.GNUTYPE_LONGNAME, 2_000_000), id="huge-name"),
        pytest.param(extended(tarfile.XHDTYPE, 9, b"99 path=a"), id="wrong-length"),
        pytest.param(extended(tarfile.XHDTYPE, 5, b"nopax"), id="no-record"),
        pytest.param(extended(tarfile.XHDTYPE, 11, b"11 size=-5\n"), id="negative"),
        pytest.param(extended(tarfile.XGLTYPE, 11, b"11 path=ab\n"), id="global-path"),
        pytest.param(extended(tarfile.XHDTYPE, 10, b"10 path=a\n") + bytes(1024), id="no-entry"),
    ],
)
async def test_a_bad_extended_header_ends_the_batch(site: Site, header: bytes) -> None:
    *others, last = lines(await send(site, WHOLE[:FIRST_IS_WHOLE] + header + WHOLE))
    assert (last["name"], last["code"]) == (None, "malformed_archive")
    assert [line["name"] for line in others] == ["photos/0.png"]
    assert is_released(site)


async def test_a_batch_has_a_limit_of_files(site: Site) -> None:
    link = extended(tarfile.SYMTYPE, 0)
    answer = await send(site, link * 10_001 + bytes(1024))
    found = lines(answer)
    assert len(found) == 10_001
    assert (found[-1]["name"], found[-1]["code"], found[-1]["limit"]) == (
        None,
        "too_many_items",
        10_000,
    )
