"""Paths that are no files, files that change, forked processes, and one base class of errors."""

import hashlib
import io
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from pixlake.cli.uploading import UploadRun
from pixlake.client import BadAnswer, Client, ClientError, FileChanged, NotAFile, Refused, Retries
from pixlake.client.body import ImageBody
from tests.pixlake.conftest import Run
from tests.pixlake.scripted import RECORD, Answer, problem, record, scripted

QUICK = Retries(deadline=2, first_wait=0.001, longest_wait=0.002)
DATA = b"bytes"
SUM = hashlib.sha256(DATA).hexdigest()


def made(**changes: object) -> Answer:
    return Answer(201, record(SUM, **changes), {"Content-Type": "application/json"})


@pytest.fixture
def odd(tmp_path: Path) -> dict[str, Path]:
    """Paths that look like images by name, but are no regular files."""
    fifo, socket_ = tmp_path / "fifo.jpg", tmp_path / "folder.jpg"
    os.mkfifo(fifo)
    socket_.mkdir()
    return {"FIFO": fifo, "folder": socket_, "device": Path("/dev/null")}


@pytest.mark.parametrize("kind", ["FIFO", "folder", "device"])
def test_what_is_no_file_is_named_and_not_waited_for(odd: dict[str, Path], kind: str) -> None:
    path = odd[kind]
    before = path.stat().st_mode
    with scripted(made()) as server, Client(server.url, "k", retries=QUICK) as client:
        with pytest.raises(NotAFile, match=f"{path} is a {kind}"):
            client.upload(path)
        with pytest.raises(NotAFile, match=kind):
            client.save("0" * 32, path)
        run = UploadRun(client, preset=None, said=lambda _: {}, jobs=1)
        (result,) = run.results([path])
        assert (result.outcome, result.code) == ("refused", "not_a_file")
        assert server.asked == []
    assert path.stat().st_mode == before


def test_verbs_name_what_is_no_file(run: Run, odd: dict[str, Path], tmp_path: Path) -> None:
    done = run("upload", odd["FIFO"], "--json")
    assert (done.exit_code, "not_a_file" in done.stdout) == (1, True)
    done = run("process", odd["FIFO"], tmp_path / "out.png")
    assert (done.exit_code, "is a FIFO" in done.stderr) == (2, True)
    assert stat.S_ISFIFO(odd["FIFO"].stat().st_mode)


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    answers = (made(image_id=RECORD["image_id"]), Answer(200, DATA))
    with scripted(*answers) as server, Client(server.url, "k", retries=QUICK) as client:
        assert client.save(str(RECORD["image_id"]), link) == len(DATA)
    assert link.is_symlink()
    assert target.read_bytes() == DATA
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link", "target"]


@pytest.mark.parametrize("size", [3, 9])
def test_a_file_that_grows_or_shrinks_is_one_of_our_errors(size: int) -> None:
    with pytest.raises(FileChanged):
        b"".join(ImageBody(io.BytesIO(DATA), size))


def test_a_file_that_changes_once_is_sent_again(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(DATA)
    turns = []

    class Growing(ImageBody):
        def __init__(self, opened: io.BufferedReader, size: int) -> None:
            turns.append(size)
            super().__init__(opened, size - (len(turns) == 1))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pixlake.client.body.ImageBody", Growing)
        with scripted(made()) as server, Client(server.url, "k", retries=QUICK) as client:
            assert client.upload(file).outcome == "created"
    assert len(turns) == 2


@pytest.mark.parametrize("given", [DATA, bytearray(DATA), memoryview(DATA), io.BytesIO(DATA)])
def test_bytes_of_every_kind_are_taken(given: object) -> None:
    with scripted(made()) as server, Client(server.url, "k", retries=QUICK) as client:
        client.upload(given)  # type: ignore[arg-type]
        assert server.asked[-1].body == DATA


def test_a_path_may_be_text(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(DATA)
    with scripted(made()) as server, Client(server.url, "k", retries=QUICK) as client:
        client.upload(str(tmp_path / "a.jpg"))
        assert "a.jpg" in server.asked[-1].headers["content-disposition"]


def test_what_is_too_large_is_known_from_the_first_refusal() -> None:
    refusal = problem(413, "too_many_bytes", limit=3, value=5)
    with scripted(refusal) as server, Client(server.url, "k", retries=QUICK) as client:
        for _ in range(3):
            with pytest.raises(Refused) as fault:
                client.upload(DATA)
            assert (fault.value.code, fault.value.limit) == ("too_many_bytes", 3)
        assert len(server.asked) == 1


def test_another_s_record_is_no_answer() -> None:
    with (
        scripted(made(image_id="f" * 32)) as server,
        Client(server.url, "k", retries=QUICK) as client,
        pytest.raises(BadAnswer, match="f" * 32),
    ):
        client.get("0" * 32)


def test_errors_are_of_one_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = Answer(200, b"no gzip", {"Content-Encoding": "gzip"})
    with scripted(encoded) as server:
        client = Client(server.url, "k", retries=Retries(deadline=0.05))
        with pytest.raises(ClientError):
            client.get("0" * 32)
        client.close()
        with pytest.raises(ClientError, match="closed"):
            client.get("0" * 32)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    with pytest.raises(ClientError, match="proxy"):
        Client("https://example.org", "k")
    with pytest.raises(ValueError, match="user or a password") as fault:
        Client("http://user:secret@example.org", "k")
    assert "secret" not in str(fault.value)


def test_a_code_of_a_stranger_is_short() -> None:
    with (
        scripted(problem(400, "x" * 5000)) as server,
        Client(server.url, "k", retries=QUICK) as client,
        pytest.raises(Refused) as fault,
    ):
        client.get("0" * 32)
    assert len(fault.value.code) == 64


def _ask(client: Client, ids: list[str], wrong: "multiprocessing.Queue[int]") -> None:
    found = [client.get(image_id).image_id for image_id in ids]
    wrong.put(sum(a != b for a, b in zip(ids, found, strict=True)))


def test_after_a_fork_each_process_hears_its_own_answers(client: Client, photo: bytes) -> None:
    ids = [client.upload(photo, metadata={"n": str(n)}).image.image_id for n in range(4)]
    assert len(list(client.images(limit=4))) == 4
    forks = multiprocessing.get_context("fork")
    wrong: multiprocessing.Queue[int] = forks.Queue()
    children = [
        forks.Process(target=_ask, args=(client, [ids[n]] * 30, wrong)) for n in range(len(ids))
    ]
    for child in children:
        child.start()
    assert [client.get(ids[0]).image_id for _ in range(30)] == [ids[0]] * 30
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * len(children)
    assert sum(wrong.get(timeout=10) for _ in children) == 0


def test_the_path_of_each_file_is_said_on_request(
    run: Run, client: Client, photo: bytes, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        (tmp_path / "in" / folder / "x.jpg").write_bytes(photo)
    done = run("upload", tmp_path / "in", "--path-as", "Origin", "-m", "site=n")
    assert done.exit_code == 0, done.output
    said = [image.metadata for image in client.images()]
    assert sorted(one["origin"] for one in said) == ["a/x.jpg", "b/x.jpg"]
    assert {one["site"] for one in said} == {"n"}
    assert run("upload", tmp_path / "in", "--path-as", "site", "-m", "site=n").exit_code == 2
