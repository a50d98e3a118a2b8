"""`store`, `sweep`, and verbs where the lake is missing or differs from their settings."""

import asyncio
import json
import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lake.lake import Lake
from lake.settings import LakeSettings
from pixlake.cli.main import app
from tests.lake.clocks import at_age
from tests.lake.samples import commit

VARIABLES = ("PIXLAKE_STORE_URL", "PIXLAKE_RETENTION_DAYS", "PIXLAKE_WINDOW_SECONDS")
STORE_VERBS = (
    ("sweep", "--yes"),
    ("seal",),
    ("audit",),
    ("rebuild", "--yes"),
    ("query", "SELECT 1"),
    ("erase", "f" * 32, "--yes"),
    ("store", "show"),
    ("store", "set", "--retention-days", "3", "--yes"),
    ("preset", "ls"),
    ("keys", "ls"),
    ("keys", "create", "x"),
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def run(home: Path, *words: str, **environment: str) -> Result:
    words = (*words, "--home", str(home))
    return CliRunner().invoke(app, words, env={f"PIXLAKE_{k}": v for k, v in environment.items()})


def tree(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A home with a retention of 90 days and three images that are 30 days old."""

    async def make() -> None:
        lake = await Lake.open(LakeSettings(home=tmp_path, retention_days=90))
        then = at_age(lake, days=-30)
        for name in "abc":
            await commit(then, name)
        await then.sealer.run_pass(now=True)

    asyncio.run(make())
    for file in (tmp_path / "store" / "images").rglob("*.*"):
        os.utime(file, (time.time() - 30 * 86_400,) * 2)
    return tmp_path


def test_a_sweep_keeps_to_the_store_s_retention(old: Path) -> None:
    before = tree(old)
    done = run(old, "sweep")
    assert (done.exit_code, done.stdout.split()[:2]) == (0, ["deleted", "0"])
    for words in (("sweep", "--yes"), ("sweep",), ("seal",), ("audit",), ("query", "SELECT 1")):
        done = run(old, *words, RETENTION_DAYS="7")
        assert done.exit_code == 2
        assert "PIXLAKE_RETENTION_DAYS is 7, but the store has 90" in done.stderr
        assert "pixlake store set --retention-days 7" in done.stderr
    assert tree(old) == before
    said = json.loads(run(old, "audit", "--json", RETENTION_DAYS="90").stdout)
    assert (said["ok"], said["seen"]["images"]) == (True, 3)


def test_a_shorter_retention_is_counted_asked_and_begins_later(old: Path) -> None:
    before = tree(old)
    asked = run(old, "store", "set", "--retention-days", "7")
    assert asked.exit_code == 2
    assert "3 images expire that the old retention would keep" in asked.stderr
    assert "--yes" in asked.stderr
    dry = json.loads(
        run(old, "store", "set", "--retention-days", "7", "--dry-run", "--json").stdout
    )
    assert (dry["changed"], dry["gone"], len(dry["changes"])) == (False, 3, 1)
    assert tree(old) == before
    assert json.loads(run(old, "store", "show", "--json").stdout)["changes"] == []
    done = run(old, "store", "set", "--retention-days", "7", "--yes")
    assert (done.exit_code, done.stdout) == (0, "changed\n")
    shown = json.loads(run(old, "store", "show", "--json").stdout)
    assert (shown["retention_days"], shown["changes"][0]["retention_days"]) == (90, 7)
    assert run(old, "sweep", "--yes").stdout.startswith("deleted 0 images")
    assert run(old, "store", "set", "--retention-days", "90").stdout == "changed\n"
    assert json.loads(run(old, "store", "show", "--json").stdout)["changes"] == []


def test_a_sweep_tells_asks_and_deletes_what_it_told(old: Path) -> None:
    now = run(old, "store", "set", "--retention-days", "7", "--now", "--yes")
    assert now.exit_code == 0, now.output
    run(old, "store", "set", "--sweep-margin-seconds", "900")
    settings = old / "store" / "store.json"
    kept = json.loads(settings.read_text())
    kept["retention"][-1]["since"] = kept["retention"][0]["since"]
    settings.write_text(json.dumps(kept))
    before = tree(old)
    dry = run(old, "sweep", "--dry-run")
    assert dry.stdout.startswith("would delete 3 images with 6 objects")
    unasked = run(old, "sweep")
    assert (unasked.exit_code, unasked.stdout) == (2, "")
    assert "to delete: 3 images" in unasked.stderr
    assert tree(old) == before
    done = run(old, "sweep", "--yes")
    assert done.stdout == dry.stdout.replace("would delete", "deleted")
    assert not list((old / "store" / "images").rglob("record.json"))


def test_nothing_to_change_changes_nothing(old: Path) -> None:
    assert run(old, "store", "set", "--retention-days", "90").stdout == "nothing to change\n"
    assert run(old, "store", "set").exit_code == 2


@pytest.mark.parametrize("words", STORE_VERBS, ids=" ".join)
def test_a_verb_makes_nothing_where_no_lake_is(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "e").mkdir()
    done = run(tmp_path / "e", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert str(tmp_path / "e") in done.stderr
    assert tree(tmp_path) == [tmp_path / "e"]


@pytest.mark.parametrize("words", STORE_VERBS, ids=" ".join)
def test_the_home_of_another_user_is_left_alone(
    old: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(old)
    monkeypatch.setattr(os, "getuid", lambda: old.stat().st_uid + 1)
    done = run(old, *words)
    assert done.exit_code == 2
    assert "belongs to user" in done.stderr
    assert tree(old) == before


def test_a_store_of_an_earlier_version_waits_for_a_word(old: Path) -> None:
    (old / "store" / "store.json").unlink()
    before = tree(old)
    for words in (("sweep", "--yes"), ("seal",), ("store", "show"), ("audit",)):
        for days in ({}, {"RETENTION_DAYS": "7"}):
            done = run(old, *words, **days)
            assert done.exit_code == 2
            assert "pixlake store set --retention-days" in done.stderr
    assert tree(old) == before
    unasked = run(old, "store", "set", "--retention-days", "7")
    assert unasked.exit_code == 2
    assert "3 images expire" in unasked.stderr
    assert tree(old) == before
    assert run(old, "store", "set", "--retention-days", "90", "--yes").exit_code == 0
    assert run(old, "sweep", "--yes").stdout.startswith("deleted 0 images")
