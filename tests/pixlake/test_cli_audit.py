"""`erase`, `audit`, `rebuild` and `sweep` on images that were uploaded by HTTP."""

import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from pixlake.client import Client
from tests.pixlake.conftest import Run
from tests.pixlake.door import Door

NOBODY = "0" * 32


@pytest.fixture
def stored(client: Client, photo: bytes) -> list[str]:
    """Ids of three images of this test's tenant, not sealed."""
    return [
        client.upload(photo, filename=f"{n}.jpg", metadata={"n": str(n)}).image.image_id
        for n in range(3)
    ]


def rows(run: Run, tenant: str) -> list[str]:
    sql = f"SELECT image_id FROM images WHERE tenant = '{tenant}' ORDER BY 1"
    return [row["image_id"] for row in json.loads(run("query", sql, "--json").stdout)]


def test_an_erased_image_and_its_row_are_gone(
    run: Run, stored: list[str], client: Client, tenant: str
) -> None:
    assert run("seal", "--now").exit_code == 0
    ids = (stored[0], f"{tenant}/{stored[1]}", "--tenant", tenant)
    unasked = run("erase", *ids)
    assert (unasked.exit_code, unasked.stdout) == (2, "")
    assert "erase 2 images for good" in unasked.stderr
    assert len(list(client.images())) == 3
    done = run("erase", *ids, "--yes")
    assert (done.exit_code, done.stdout) == (0, "erased 2 images\n")
    assert [image.image_id for image in client.images()] == stored[2:]
    assert rows(run, tenant) == stored[2:]
    again = json.loads(run("erase", f"{tenant}/{stored[0]}", "--json", "--yes").stdout)
    assert (again["erased"], again["images"][0]["outcome"]) == (1, "erased")


def test_a_list_with_one_that_is_not_there(
    run: Run, stored: list[str], client: Client, tenant: str, tmp_path: Path
) -> None:
    listed = tmp_path / "ids.txt"
    listed.write_text(f"{stored[0]}\n\n{NOBODY}\n{stored[1]}\n")
    looked = run("erase", "--file", listed, "--tenant", tenant, "--json", "--dry-run")
    assert looked.exit_code == 1
    outcomes = [one["outcome"] for one in json.loads(looked.stdout)["images"]]
    assert outcomes == ["found", "image_not_found", "found"]
    assert len(list(client.images())) == 3
    done = run("erase", "--file", listed, "--tenant", tenant, "--json", "--yes")
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert (said["erased"], said["failed"]) == (2, 1)
    assert [one["outcome"] for one in said["images"]] == ["erased", "image_not_found", "erased"]
    assert [image.image_id for image in client.images()] == stored[2:]


def test_by_a_predicate_also_what_is_not_sealed(
    run: Run, stored: list[str], client: Client, tenant: str, door: Door
) -> None:
    where = f"tenant = '{tenant}' AND metadata['n'] <> '2' -- not the last"
    assert run("erase", "--where", where).exit_code == 2
    store = door.home / "store"
    before = {file: file.stat().st_mtime_ns for file in store.rglob("*") if file.is_file()}
    looked = json.loads(run("erase", "--where", where, "--dry-run", "--json").stdout)
    after = {file: file.stat().st_mtime_ns for file in store.rglob("*") if file.is_file()}
    assert after == before
    assert [one["image_id"] for one in looked["images"]] == sorted(stored[:2])
    assert len(list(client.images())) == 3
    assert run("erase", "--where", where, "--yes").exit_code == 0
    assert [image.image_id for image in client.images()] == stored[2:]
    assert rows(run, tenant) == stored[2:]
    assert run("erase", "--where", "nonsense = 1", "--yes").exit_code == 1


@pytest.mark.parametrize("words", [[], ["nonsense"], ["A/" + NOBODY], ["--file", "/nowhere"]])
def test_what_can_not_be_erased_is_usage(run: Run, words: list[str]) -> None:
    assert run("erase", *words).exit_code == 2


def test_an_audit_is_kept_for_the_metrics(run: Run, door: Door, stored: list[str]) -> None:
    said = json.loads(run("audit", "--json").stdout)
    kept = json.loads((door.home / "store" / "audit" / "last.json").read_text())
    assert datetime.fromisoformat(kept["at"]) == datetime.fromisoformat(said["at"])
    assert kept["faults"] == {name: check["found"] for name, check in said["checks"].items()}
    assert stored


def test_the_audit_of_all_this(
    run: Run, stored: list[str], door: Door, tenant: str, tmp_path: Path
) -> None:
    assert run("seal", "--now").exit_code == 0
    report = tmp_path / "audit.json"
    done = run("audit", "--full", "--report", report)
    assert done.exit_code == 0, done.output
    assert "every promise is kept" in done.stdout
    said = json.loads(report.read_text())
    assert said["ok"] is True
    assert said["seen"]["images"] == said["seen"]["hashed"] >= len(stored)

    (original,) = (door.home / "store/images" / tenant).glob(f"*/{stored[0]}/original-*")
    intact = original.read_bytes()
    original.write_bytes(intact[:-1] + b"!")
    try:
        done = run("audit", "--full", "--json")
        assert done.exit_code == 1
        said = json.loads(done.stdout)["checks"]["wrong_bytes"]
        assert said["found"] == 1
        assert stored[0] in said["examples"][0]["subject"]
        assert run("audit", "--sample", "0").exit_code == 0
        nothing = run("audit", "--full", "--to", "2020-01-01")
        assert (nothing.exit_code, nothing.stdout.splitlines()[-1]) == (
            0,
            "no images, so nothing was proven",
        )
        assert run("audit", "--from", "2026-12-02", "--to", "2026-12-01").exit_code == 2
    finally:
        original.write_bytes(intact)
    os.mkfifo(fifo := tmp_path / "fifo")
    for path, told in ((tmp_path / "no" / "folder", "no folder"), (fifo, "is a FIFO")):
        done = run("audit", "--report", path)
        assert (done.exit_code, told in done.stderr) == (2, True)


def test_the_lake_is_rebuilt_and_swept(
    run: Run, stored: list[str], door: Door, tenant: str
) -> None:
    assert run("seal", "--now").exit_code == 0
    for file in (door.home / "store/lake").rglob("*.parquet"):
        file.unlink()
    looked = json.loads(run("rebuild", "--dry-run", "--json").stdout)
    assert (looked["added"] >= len(stored), looked["dry_run"]) == (True, True)
    assert not list((door.home / "store/lake").rglob("*.parquet"))
    assert run("rebuild").exit_code == 2
    done = json.loads(run("rebuild", "--json", "--yes").stdout)
    assert done["added"] == looked["added"]
    assert (done["added"] >= len(stored), done["failed"]) == (True, 0)
    assert rows(run, tenant) == sorted(stored)
    assert "removed" in run("rebuild", "--everything", "--yes").stdout
    (record,) = (door.home / "store/images" / tenant).glob(f"*/{stored[0]}/record.json")
    intact = record.read_bytes()
    record.write_text(json.dumps(json.loads(intact) | {"width": 2**40}))
    try:
        done = run("rebuild", "--yes")
        assert done.exit_code == 1
        assert f"{stored[0]}/record.json: this record does not give a valid row" in done.stderr
    finally:
        record.write_bytes(intact)
    shadow = json.loads(run("rebuild", "--shadow", "--json").stdout)
    assert shadow["rows"] >= len(stored)
    assert run("rebuild", "--shadow", "--everything").exit_code == 2
    swept = json.loads(run("sweep", "--json").stdout)
    assert (swept["images"], swept["failed"]) == (0, 0)
    assert run("sweep").stdout.startswith("deleted 0 images")


def test_a_folder_has_no_lifecycle(run: Run) -> None:
    done = run("lifecycle", "apply", "--check", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["error"]["code"] == "no_lifecycle"
