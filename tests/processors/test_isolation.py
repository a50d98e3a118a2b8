"""Isolation of a child that is taken over, tested from inside a child."""

import ctypes
import errno
import json
import logging
import mmap
import signal
import socket
import struct
import subprocess
import sys

import pytest

from processors.errors import DecoderCrashed, Undecodable
from processors.preset import ARCHIVE, WEB
from processors.sandbox import seccomp
from processors.sandbox.sandbox import Sandbox
from processors.settings import ProcessorSettings
from tests.photos import FormatName, encoded, jpeg, scene
from tests.processors.sandboxes import Start, misbehaving
from tests.processors.servers import probing


@pytest.mark.parametrize(
    ("name", "allow_heic", "thread"),
    [("jpeg", False, "refused"), ("jpeg", True, "refused"), ("heic", True, "done")],
)
async def test_there_is_no_way_out_and_nothing_to_take(
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    *,
    name: FormatName,
    allow_heic: bool,
    thread: str,
) -> None:
    secret = probing.CREDENTIAL[::-1]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    sandbox = await start(
        misbehaving("probing"),
        sandbox_timeout_seconds=100,
        sandbox_require_seccomp=True,
        allow_heic=allow_heic,
    )
    # The planted text comes with the image; the probe finds it, so the search of memory works.
    data = encoded(scene(width=48, height=32), name) + probing.PLANTED[::-1].encode()
    with pytest.raises(Undecodable) as answer:
        await sandbox.process(data, WEB)
    found = json.loads(answer.value.detail)
    assert found.pop("thread") == thread, "libde265 needs one, nothing else does"
    assert found.pop("planted") == "True"
    assert found.pop("credential") == "False"
    assert found == dict.fromkeys(("open", "stat", "unlink", "code"), "EPERM")
    assert "AWS_SECRET_ACCESS_KEY" not in str(sandbox.protections["environment"])


_AS_NOBODY = """
import io, os, resource, sys
import numpy as np
from processors.sandbox import decoder_main as child
from processors.codecs.formats import HEIC
from processors.codecs.heif import decode_heic
from processors.sandbox.protocol import Start
from processors.settings import Limits

data = sys.stdin.buffer.read()
decode_heic(data, deep=False)  # what loads late is loaded
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
most = 16_384
if len(sys.argv) > 1:
    # As in a container with limits of its own.
    resource.setrlimit(resource.RLIMIT_NPROC, (int(sys.argv[1]), int(sys.argv[1])))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    most = int(sys.argv[1]) // 2
child.lock_down(Start(limits=Limits(), memory_bytes=1_200_000_000, shared_bytes=0))
assert child.most_threads() == most
child.confine(threads=True)
os.write(1, repr(decode_heic(data, deep=False).shape).encode())
os._exit(0)
"""


@pytest.mark.parametrize("limits", [[], ["4096"]])
def test_heic_is_decoded_where_nobody_is_root(limits: list[str]) -> None:
    """HEIC decoding as an unprivileged user; libde265 starts a thread.

    The thread counts towards the user's limit of processes. A child may use half of the limit of
    its container, and does not fail if other limits are low already.
    """
    data = encoded(scene(width=48, height=32), "heic")
    command = [sys.executable, "-c", _AS_NOBODY, *limits]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    assert done.stdout == b"(32, 48, 3)", done.stderr.decode()[-500:]


async def test_calls_of_intruders_end_them(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    sandbox = await start(misbehaving("probing"))
    with pytest.raises(DecoderCrashed) as refused:
        await sandbox.process(jpeg(), ARCHIVE)
    assert refused.value.value == "SIGSYS"
    dead = [vars(each) for each in caplog.records if each.message == "decoder died"]
    assert [(each["levelname"], each["how"]) for each in dead] == [("ERROR", "SIGSYS")]


async def test_without_a_filter_it_says_so_or_does_not_start(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RuntimeError, match="PIXLAKE_SANDBOX_REQUIRE_SECCOMP"):
        await start(misbehaving("unfiltered"), sandbox_require_seccomp=True)
    sandbox = await start(misbehaving("unfiltered"))
    assert sandbox.protections["system_call_filter"] is False
    assert "without a system call filter" in caplog.text
    assert (await sandbox.process(jpeg(), WEB)).facts.width == 640


async def test_a_line_at_the_start_names_what_is_active(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "processors.sandbox.sandbox"):
        sandbox = await Sandbox.start(ProcessorSettings(sandbox_children=1))
        await sandbox.close()
    (started,) = [vars(each) for each in caplog.records if each.message == "sandbox started"]
    assert sandbox.protections.items() <= started.items()


ALLOW, DENY, KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
OWN = 4321
# Opcodes of classic BPF, linux/bpf_common.h: ld [k], and, ret, jeq, jge, jset.
LOAD, AND, RETURN, EQUAL, AT_LEAST, ANY_BIT = 0x20, 0x54, 0x06, 0x15, 0x35, 0x45
ARCHITECTURES = [(0, 0xC000003E), (1, 0xC00000B7)]


def verdict(program: bytes, number: int | None, architecture: int, *arguments: int) -> int:
    """Verdict of a filter on a call, by a minimal interpreter of the kernel's filter machine."""
    call = struct.pack("=IIQ6Q", number, architecture, 0, *arguments, *(6 - len(arguments)) * (0,))
    steps = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    word, at = 0, 0
    while True:
        code, if_true, if_false, value = steps[at]
        at += 1
        if code == LOAD:
            (word,) = struct.unpack_from("=I", call, value)
        elif code == AND:
            word &= value
        elif code == RETURN:
            return int(value)
        else:
            tests = {
                EQUAL: word == value,
                AT_LEAST: word >= value,
                ANY_BIT: bool(word & value),
            }
            at += if_true if tests[code] else if_false


@pytest.mark.parametrize(("column", "architecture"), ARCHITECTURES)
def test_every_call_has_the_verdict_of_its_list(column: int, architecture: int) -> None:
    program = seccomp.program_of(column, architecture, threads=False, own=OWN)
    allowed = {numbers[column] for numbers in seccomp.ALLOWED.values()}
    deadly = {numbers[column] for numbers in seccomp.DEADLY.values()}
    narrowed = {call.numbers[column] for call in seccomp.NARROWED.values()}
    special = {seccomp.MMAP[column], seccomp.CLONE[column], seccomp.TGKILL[column]}
    for number in set(range(600)) - narrowed - special:
        expected = ALLOW if number in allowed else KILL if number in deadly else DENY
        assert verdict(program, number, architecture, 0, 0, 1) == expected
        other = next(each for _, each in ARCHITECTURES if each != architecture)
        assert verdict(program, number, other) == KILL
        assert verdict(program, number | 0x40000000, architecture) == KILL


PRIVATE, ANONYMOUS, SHARED, GROWS_DOWN, LOCKED = 0x02, 0x20, 0x01, 0x100, 0x2000


@pytest.mark.parametrize(("column", "architecture"), ARCHITECTURES)
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("recvfrom", (3, 0, 9, 0), ALLOW),
        ("recvfrom", (3, 0, 9, socket.MSG_OOB), DENY),
        ("recvfrom", (3, 0, 9, socket.MSG_PEEK), DENY),
        ("sendto", (3, 0, 9, 0), ALLOW),
        ("sendto", (3, 0, 9, socket.MSG_NOSIGNAL), ALLOW),
        ("sendto", (3, 0, 9, socket.MSG_OOB), DENY),
        ("sendto", (3, 0, 9, socket.MSG_OOB | socket.MSG_NOSIGNAL), DENY),
        ("futex", (0, 0), ALLOW),
        ("futex", (0, 128 | 256 | 9), ALLOW),
        ("futex", (0, 129), ALLOW),
        ("futex", (0, 6), DENY),
        ("futex", (0, 128 | 6), DENY),
        ("futex", (0, 12), DENY),
        ("madvise", (0, 0, 4), ALLOW),
        ("madvise", (0, 0, 12), DENY),
        ("mremap", (0, 0, 0, 1), ALLOW),
        ("mremap", (0, 0, 0, 2), DENY),
        ("mprotect", (0, 0, mmap.PROT_READ), ALLOW),
        ("mprotect", (0, 0, mmap.PROT_EXEC), DENY),
        ("mprotect", (0, 0, 0x01000000 | mmap.PROT_READ), DENY),
        ("mmap", (0, 0, mmap.PROT_READ | mmap.PROT_WRITE, PRIVATE | ANONYMOUS), ALLOW),
        ("mmap", (0, 0, mmap.PROT_READ | mmap.PROT_EXEC, PRIVATE | ANONYMOUS), DENY),
        ("mmap", (0, 0, mmap.PROT_READ, SHARED | ANONYMOUS), DENY),
        ("mmap", (0, 0, mmap.PROT_READ, PRIVATE | ANONYMOUS | GROWS_DOWN), DENY),
        ("mmap", (0, 0, mmap.PROT_READ, PRIVATE | ANONYMOUS | LOCKED), DENY),
        ("tgkill", (4321, 4321, signal.SIGABRT), ALLOW),
        ("tgkill", (4321, 4321, signal.SIGSEGV), KILL),
        ("tgkill", (1234, 1234, signal.SIGABRT), KILL),
    ],
)
def test_arguments_have_their_verdict(
    column: int, architecture: int, name: str, arguments: tuple[int, ...], expected: int
) -> None:
    numbers = {name: call.numbers for name, call in seccomp.NARROWED.items()}
    numbers |= {"mmap": seccomp.MMAP, "tgkill": seccomp.TGKILL}
    program = seccomp.program_of(column, architecture, threads=False, own=OWN)
    assert verdict(program, numbers[name][column], architecture, *arguments) == expected


@pytest.mark.parametrize(("column", "architecture"), ARCHITECTURES)
def test_threads_are_let_through_and_processes_are_deadly(column: int, architecture: int) -> None:
    clone, clone3 = seccomp.CLONE[column], seccomp.CLONE3[column]
    execve, rseq = seccomp.DEADLY["execve"][column], seccomp.RSEQ[column]
    without = seccomp.program_of(column, architecture, threads=False)
    program = seccomp.program_of(column, architecture, threads=True)
    assert verdict(program, clone, architecture, 0x3D0F00) == ALLOW
    assert verdict(without, clone, architecture, 0x3D0F00) == DENY
    for flags in (0x1200011, 0x4111, 0x3D0F00 | 0x40000000):
        for each in (program, without):
            assert verdict(each, clone, architecture, flags) == KILL
    # The flags of clone3 lie in memory, where no filter sees them: ENOSYS makes glibc use clone.
    assert verdict(program, clone3, architecture) == DENY - errno.EPERM + errno.ENOSYS
    assert verdict(without, clone3, architecture) == DENY
    assert verdict(program, rseq, architecture) == ALLOW
    assert verdict(program, execve, architecture) == KILL


@pytest.mark.parametrize(("column", "architecture"), ARCHITECTURES)
def test_a_second_filter_can_be_put_on_the_first_and_none_on_that(
    column: int, architecture: int
) -> None:
    first = seccomp.program_of(column, architecture, threads=True, again=True)
    second = seccomp.program_of(column, architecture, threads=True)
    for numbers in seccomp.SETTING_UP.values():
        assert verdict(first, numbers[column], architecture) == ALLOW
        assert verdict(second, numbers[column], architecture) == DENY


def test_the_filter_is_no_longer_than_the_kernel_takes() -> None:
    program = seccomp.program_of(*ARCHITECTURES[0], threads=True, again=True)
    assert len(program) // ctypes.sizeof(ctypes.c_uint64) < 4096
