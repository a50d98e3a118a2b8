"""`canary` with the real HTTP API and store: what each step finds, and that nothing stays."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pixlake.client import Client, Corrupted, Refused
from tests.pixlake.conftest import Run
from tests.pixlake.door import Door


def steps(text: str) -> dict[str, dict[str, Any]]:
    return {each["step"]: each for each in json.loads(text)["steps"]}


@pytest.fixture
def running(door: Door, home: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [
        str(Path(sys.executable).with_name("pixlake")),
        "canary",
        "--json",
        "--url",
        door.url,
    ]
    store = (door.home.resolve() / "store").as_uri()
    with subprocess.Popen(
        command,
        env={**os.environ, "PIXLAKE_HOME": str(home), "PIXLAKE_STORE_URL": store},
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        yield started
        started.kill()


def test_a_canary_goes_all_the_way(
    running: "subprocess.Popen[str]", run: Run, client: Client
) -> None:
    while running.poll() is None:
        # In place of the sealer, which this API does not have.
        assert run("seal", "--now").exit_code == 0
    assert running.stdout is not None
    done = steps(running.stdout.read())
    assert [*done] == ["upload", "read", "row", "erase"]
    assert all(each["ok"] and each["seconds"] > 0 for each in done.values())
    assert running.returncode == 0
    assert list(client.images()) == []


def test_a_row_that_does_not_come_is_told_and_the_image_erased(run: Run, client: Client) -> None:
    done = run("canary", "--row-seconds", 0.1, "--json")
    found = steps(done.stdout)
    assert done.exit_code == 1
    assert {name for name, each in found.items() if each["ok"]} == {"upload", "read", "erase"}
    assert found["row"]["code"] == "canary_failed"
    assert "no row" in found["row"]["detail"]
    assert list(client.images()) == []


def test_without_a_service_the_upload_fails_and_nothing_follows(run: Run) -> None:
    done = run("canary", "--url", "http://127.0.0.1:9", "--deadline", 1)
    assert done.exit_code == 1
    assert "unavailable" in done.stdout
    assert "erase" not in done.stdout


def test_other_bytes_are_noticed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bytes:
        raise Corrupted("the received bytes are not the stored bytes")

    monkeypatch.setattr(Client, "download", broken)
    found = steps(run("canary", "--row-seconds", 0, "--json").stdout)
    assert [name for name, each in found.items() if not each["ok"]] == ["read"]
    assert [*found] == ["upload", "read", "erase"]


def test_an_image_that_stays_is_noticed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "erase", lambda *_: None)
    done = run("canary", "--row-seconds", 0)
    assert done.exit_code == 1
    assert "after its erasure" in done.stdout


def test_a_key_that_may_not_erase_is_told(door: Door, run: Run, home: Path, tenant: str) -> None:
    (home / "api-key").write_text(door.key(tenant, ["images:write", "images:read"]))
    found = steps(run("canary", "--row-seconds", 0, "--json").stdout)
    assert found["erase"]["code"] == "forbidden"


def test_the_client_erases(client: Client, photo: bytes) -> None:
    image = client.upload(photo).image
    client.erase(image.image_id)
    for gone in (lambda: client.get(image.image_id), lambda: client.erase("0" * 32)):
        with pytest.raises(Refused):
            gone()
