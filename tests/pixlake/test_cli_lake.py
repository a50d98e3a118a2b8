"""Verbs that need the store or the accounts and not the API: `seal`, `query`, `keys`, `tenants`."""

import csv
import getpass
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pixlake.client import Client
from serve_app.accounts.errors import TenantSuspended
from tests.pixlake.conftest import Run, make_lake
from tests.pixlake.door import Door


@pytest.fixture
def stored(run: Run, client: Client, photo: bytes) -> list[str]:
    """Ids of three images of this test's tenant, sealed."""
    ids = [
        client.upload(photo, filename=f"{n}.jpg", metadata={"n": str(n)}).image.image_id
        for n in range(3)
    ]
    assert run("seal", "--now").exit_code == 0
    return ids


def of(tenant: str, sql: str) -> str:
    """Limit a query to this test's images, because all tests share the store."""
    return sql.replace("mine", f"tenant = '{tenant}'")


def test_a_sealed_image_is_a_row_once(run: Run, stored: list[str], tenant: str) -> None:
    sql = of(tenant, "SELECT image_id, width, metadata FROM images WHERE mine ORDER BY 1")
    rows = json.loads(run("query", sql, "--json").stdout)
    assert [row["image_id"] for row in rows] == sorted(stored)
    assert {row["metadata"]["n"] for row in rows} == {"0", "1", "2"}
    again = json.loads(run("seal", "--now", "--json").stdout)
    assert (again["rows"], again["failed"]) == (0, 0)
    assert run("query", sql, "--format", "json").stdout == run("query", sql, "--json").stdout


def test_csv_is_csv(run: Run, stored: list[str], tenant: str) -> None:
    sql = """
        SELECT filename, bytes, event_time, metadata, received_at, 'a,"b' AS odd
        FROM images WHERE mine ORDER BY 1
    """
    done = run("query", "-", "--format", "csv", stdin=of(tenant, sql))
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["filename"] for row in rows] == ["0.jpg", "1.jpg", "2.jpg"]
    assert rows[0]["event_time"] == ""
    assert json.loads(rows[0]["metadata"]) == {"n": "0"}
    assert rows[0]["odd"] == 'a,"b'
    assert rows[0]["received_at"].endswith("+00:00")
    assert len(stored) == len(rows)


def test_the_table_of_the_readme(run: Run, stored: list[str], tenant: str) -> None:
    sql = "SELECT format, count(*), avg(width) FROM images WHERE mine GROUP BY 1"
    done = run("query", of(tenant, sql))
    head, row = done.stdout.splitlines()
    assert head.split() == ["format", "count_star()", "avg(width)"]
    assert row.split()[:2] == ["jpeg", str(len(stored))]


def test_numbers_of_every_kind_are_json(run: Run) -> None:
    sql = "SELECT sum(1::HUGEINT) AS s, 'nan'::DOUBLE AS n, 1.50::DECIMAL(4,2) AS d, [1, NULL] AS l"
    (row,) = json.loads(run("query", sql, "--json").stdout)
    assert row == {"s": 1, "n": None, "d": 1.5, "l": [1, None]}


def test_a_wrong_statement_is_1_in_one_line(run: Run) -> None:
    done = run("query", "SELECT nothing FROM images", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["error"]["code"] == "query_failed"
    assert len(done.stderr.splitlines()) == 1
    assert run("query", " ").exit_code == 2
    assert run("query", "SELECT 1", "--format", "xml").exit_code == 2


def test_an_empty_lake_says_what_to_do(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIXLAKE_STORE_URL")
    make_lake(home)
    done = run("query", "SELECT count(*) AS n FROM images")
    assert done.exit_code == 0
    assert done.stdout.split() == ["n", "0"]
    assert "pixlake seal --now" in done.stderr


def test_settings_that_can_not_be_name_their_variable(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIXLAKE_RETENTION_DAYS", "soon")
    done = run("query", "SELECT 1")
    assert done.exit_code == 2
    assert "PIXLAKE_RETENTION_DAYS" in done.stderr
    monkeypatch.delenv("PIXLAKE_RETENTION_DAYS")
    monkeypatch.delenv("PIXLAKE_STORE_URL")
    for verb in (["seal"], ["query", "SELECT 1"], ["keys", "ls"]):
        done = run(*verb, "--home", tmp_path / "nowhere")
        assert done.exit_code == 2
        assert "nowhere" in done.stderr
        assert not (tmp_path / "nowhere").exists()


def test_a_key_lives_from_create_to_revoke(run: Run, door: Door) -> None:
    there = ("--home", door.home)
    made = run("keys", "create", "camera 7", "--tenant", "cams", "--scope", "images:read", *there)
    assert made.exit_code == 0, made.output
    key = made.stdout.strip()
    with Client(door.url, key) as client:
        assert list(client.images()) == []
    said = json.loads(run("keys", "ls", *there, "--json").stdout)["keys"][-1]
    assert (said["name"], said["tenant"], said["scopes"]) == ("camera 7", "cams", ["images:read"])
    assert said["revoked_at"] is None
    assert key not in run("keys", "ls", *there).stdout

    looked = run("keys", "revoke", said["prefix"], "--dry-run", *there)
    assert looked.stdout == f"would revoke {said['prefix']} of tenant cams, 'camera 7'\n"
    unasked = run("keys", "revoke", said["prefix"], *there)
    assert (unasked.exit_code, "tenant cams" in unasked.stderr) == (2, True)
    assert json.loads(run("keys", "ls", *there, "--json").stdout)["keys"][-1] == said
    assert run("keys", "revoke", said["prefix"], "--yes", *there).exit_code == 0
    assert run("keys", "revoke", said["prefix"], "--yes", *there).exit_code == 1
    said = json.loads(run("keys", "ls", *there, "--json").stdout)["keys"][-1]
    assert said["revoked_at"] is not None


def test_a_key_as_json_and_keys_that_can_not_be(run: Run, door: Door) -> None:
    there = ("--home", door.home)
    made = json.loads(run("keys", "create", "x", *there, "--json").stdout)
    assert made["key"].startswith(f"pxl_{made['prefix']}_")
    assert run("keys", "create", "x", "--tenant", "A B", *there).exit_code == 1
    assert run("keys", "create", "x", "--scope", "all", *there).exit_code == 1


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "SELECT 1; DROP VIEW images;", ";"])
def test_more_than_one_statement_is_refused(run: Run, sql: str) -> None:
    done = run("query", sql)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "one statement at a time" in done.stderr
    assert run("query", "SELECT 1 AS n;").exit_code == 0


def test_keys_expire_and_rotate(run: Run, door: Door) -> None:
    there = ["--home", str(door.home)]
    made = json.loads(run("keys", "create", "x", "--expires", "90d", *there, "--json").stdout)
    told = run("keys", "rotate", made["prefix"], "--overlap", "1h", *there)
    assert door.accounts.verify(told.stdout.strip()).tenant == "default"
    assert f"{made['prefix']} is accepted until " in told.stderr
    ends = door.accounts.key(made["prefix"]).expires_at
    assert ends is not None
    assert timedelta(minutes=59) < ends - datetime.now(UTC) <= timedelta(hours=1)
    [event] = door.accounts.log.newest(1)
    assert event.actor == f"operator {getpass.getuser()}"
    assert run("keys", "rotate", "0" * 12, *there).exit_code == 1
    for wrong in ("90", "d", "-1d", "1w", "123456d"):
        refused = run("keys", "create", "x", f"--expires={wrong}", *there)
        assert (refused.exit_code, wrong in refused.stderr) == (2, True)


def test_a_tenant_is_suspended_and_resumed(run: Run, door: Door) -> None:
    there = ["--home", str(door.home)]
    assert run("tenants", "create", "late", *there).stdout == "created late\n"
    assert run("tenants", "create", "late", *there).stdout == "late exists\n"
    key = door.key("late")
    assert run("tenants", "suspend", "late", *there).exit_code == 2  # no terminal to ask on
    assert run("tenants", "suspend", "late", "--yes", *there).exit_code == 0
    with pytest.raises(TenantSuspended):
        door.accounts.verify(key)
    assert run("tenants", "create", "late", *there).stdout == "late exists\n"
    listed = json.loads(run("tenants", "ls", *there, "--json").stdout)["tenants"]
    [late] = [tenant for tenant in listed if tenant["name"] == "late"]
    assert (late["active_keys"], late["suspended_at"] is None) == (1, False)
    assert "late" in run("tenants", "ls", *there).stdout
    assert run("tenants", "resume", "late", *there).exit_code == 0
    assert door.accounts.verify(key).tenant == "late"
    for words in (["suspend", "nobody", "--yes"], ["resume", "nobody"]):
        missing = run("tenants", *words, *there, "--json")
        assert missing.exit_code == 1
        assert json.loads(missing.stdout)["error"]["code"] == "tenant_not_found"


def test_the_log_of_the_accounts_is_printed(run: Run, door: Door) -> None:
    there = ["--home", str(door.home)]
    made = json.loads(run("keys", "create", "x", *there, "--json").stdout)
    run("keys", "revoke", made["prefix"], "--yes", *there)
    words = ["accounts", "log", "--subject", made["prefix"], *there]
    events = json.loads(run(*words, "--json").stdout)["events"]
    assert [event["act"] for event in events] == ["key.revoked", "key.created"]
    assert made["key"].split("_")[2] not in json.dumps(events)
    older = json.loads(run(*words, "--before", str(events[0]["number"]), "--json").stdout)
    assert older["events"] == events[1:]
    assert "key.revoked" in run(*words, "--limit", "1").stdout
    assert run("accounts", "migrate", *there).stdout.endswith("has version 0004\n")


def test_limits_are_set_shown_and_removed_by_command(run: Run, door: Door) -> None:
    there = ("--home", str(door.home))
    prefix = door.key("cams").split("_")[1]

    def limits(*words: str) -> dict[str, int | None]:
        found: dict[str, int | None] = json.loads(run(*words, *there, "--json").stdout)
        return found

    for words in (("tenants", "limit", "cams"), ("keys", "limit", prefix)):
        assert set(limits(*words).values()) == {None}
        assert limits(*words, "--images-per-second", "20")["images_per_second"] == 20
        both = limits(*words, "--bytes-per-second", "1000")
        assert (both["images_per_second"], both["bytes_per_second"]) == (20, 1000)
        assert limits(*words, "--images-per-second", "none")["images_per_second"] is None
        assert limits(*words) == {**both, "images_per_second": None}
        assert "1000" in run(*words, *there).stdout
        wrong = run(*words, "--bytes-per-second", "many", *there)
        assert wrong.exit_code == 2
        assert "--bytes-per-second 'many'" in wrong.stderr
        refused = run(*words, "--bytes-per-second", "0", *there, "--json")
        assert refused.exit_code == 1
        assert json.loads(refused.stdout)["error"]["code"] == "invalid_account"
    assert run("tenants", "limit", "nobody", *there).exit_code == 1


def test_the_schema_has_the_range_of_values(run: Run, stored: list[str]) -> None:
    columns = {each["name"]: each for each in json.loads(run("schema", "--json").stdout)}
    assert columns["image_id"]["minimum"] <= min(stored)
    assert columns["image_id"]["maximum"] >= max(stored)
    assert columns["image_id"]["null_share"] == 0
    assert columns["renditions"]["null_share"] is None
    assert [each["name"] for each in columns["codes"]["fields"]] == ["kind", "text"]
    unread = json.loads(run("schema", "--json", "--no-statistics").stdout)
    assert {each["maximum"] for each in unread} == {None}
