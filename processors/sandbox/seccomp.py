"""System call filter (seccomp) for a child; allows only what decoding needs.

The BPF program is built here from lists of call numbers, without a library. So it works with every
kernel that has seccomp, and all allowed calls are visible in one place. A call that is not listed
fails with EPERM, which decoders handle. A call that only an intruder makes kills the process, so
that the intrusion is reported. The filter checks the low 32 bits of arguments; the kernel ignores
the high bits of the arguments that are checked here.
"""

import ctypes
import errno
import mmap
import os
import platform
import signal
import struct
from dataclasses import dataclass

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000

# Classic BPF opcodes: load a word, jump if equal, jump if greater or equal, jump if any bit is set,
# bitwise and, return.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
# Offsets in `seccomp_data`: call number, architecture, low half of each argument.
_NUMBER_AT, _ARCH_AT = 0, 4
_ARGUMENTS_AT = (16, 24, 32, 40, 48, 56)

COLUMNS = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
# x32 calls have numbers from here on. No decoder uses x32; an attacker could bypass the filter.
_X32 = 0x40000000

Numbers = tuple[int, int | None]
"""Call number on x86_64 and on aarch64; None where the call does not exist."""


@dataclass(frozen=True, slots=True)
class Narrowed:
    """Call that is allowed for some values of an argument and otherwise fails with EPERM.

    Allowed if the argument, masked with `mask`, is one of `values`.
    """

    numbers: Numbers
    argument: int
    mask: int
    values: tuple[int, ...] = (0,)


_ALL_BITS = 0xFFFFFFFF
# Most frequent calls first, because the kernel checks them in order.
ALLOWED: dict[str, Numbers] = {
    "brk": (12, 214),
    "munmap": (11, 215),
    "pread64": (17, 67),  # reads back the warnings on standard error
    "read": (0, 63),
    "write": (1, 64),  # libjpeg writes warnings to standard error
    "writev": (20, 66),
    "clock_gettime": (228, 113),  # if the kernel has no vDSO for it
    "getrandom": (318, 278),
    "sched_yield": (24, 124),
    "getpid": (39, 172),  # `abort` calls getpid and gettid to send itself SIGABRT
    "gettid": (186, 178),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
_NO_SIGNAL = 0x4000  # MSG_NOSIGNAL
# FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME, which every operation allows.
_FUTEX_FLAGS = 128 | 256
_WAIT, _WAKE, _WAIT_BITSET, _WAKE_BITSET = 0, 1, 9, 10
_DONTNEED, _FREE, _HUGEPAGE, _NOHUGEPAGE = 4, 8, 14, 15
# Flags of private anonymous memory: MAP_PRIVATE, ANONYMOUS, FIXED, NORESERVE, STACK.
_PLAIN_MAP = 0x02 | 0x20 | 0x10 | 0x4000 | 0x20000
_READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
NARROWED = {
    # No MSG_OOB: kernel bugs in it were used to escape sandboxes.
    "recvfrom": Narrowed((45, 207), 3, _ALL_BITS),
    "sendto": Narrowed((44, 206), 3, _ALL_BITS & ~_NO_SIGNAL),
    "futex": Narrowed(
        (202, 98), 1, _ALL_BITS & ~_FUTEX_FLAGS, (_WAIT, _WAKE, _WAIT_BITSET, _WAKE_BITSET)
    ),
    "madvise": Narrowed((28, 233), 2, _ALL_BITS, (_DONTNEED, _FREE, _HUGEPAGE, _NOHUGEPAGE)),
    "mremap": Narrowed((25, 216), 3, _ALL_BITS & ~1),
    "mprotect": Narrowed((10, 226), 2, _ALL_BITS & ~_READ_WRITE),
}
# Two arguments are checked: not executable, and only the flags of _PLAIN_MAP.
MMAP: Numbers = (9, 222)
# `clone` may start a thread, never a process. Its flags must equal those that glibc uses for a
# thread, so that no thread gets its own namespace. The flags of `clone3` are in memory, which a
# filter cannot read; it fails with ENOSYS, and then glibc uses `clone`.
CLONE: Numbers = (56, 220)
CLONE3: Numbers = (435, 435)
# VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS, PARENT_SETTID, CHILD_CLEARTID
_THREAD = 0x3D0F00
RSEQ: Numbers = (334, 293)  # glibc ends the process if this call fails in a new thread
# `abort` sends SIGABRT with this call.
TGKILL: Numbers = (234, 131)
# Allowed by the first of two filters, before any image is read: they set the last limit and
# install the second filter.
SETTING_UP: dict[str, Numbers] = {"prctl": (157, 167), "prlimit64": (302, 261)}
# Calls that no decoder makes, so they show an intrusion and kill the process.
DEADLY: dict[str, Numbers] = {
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "bpf": (321, 280),
    "io_uring_setup": (425, 425),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "add_key": (248, 217),
    "keyctl": (250, 219),
    "open_by_handle_at": (304, 265),
}

CALLS = tuple(sorted((*ALLOWED, *NARROWED, "mmap")))
"""Names of the allowed calls, for reports."""


def install(*, threads: bool = False, again: bool = False) -> bool:
    """Install the filter for this thread; it cannot be removed. False if that fails.

    `threads`: the child may start threads under the same filter; libde265 needs them for HEIC.
    `again`: a second, stricter filter may be installed later.
    Needs `no_new_privs` and a process of one thread, because other threads are not filtered.
    """
    if platform.machine() not in COLUMNS:
        return False
    column, architecture = COLUMNS[platform.machine()]
    program = program_of(column, architecture, threads=threads, again=again, own=os.getpid())
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: number of instructions (8 bytes each), and their address.
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0)
    return bool(done == 0)


def program_of(
    column: int, architecture: int, *, threads: bool, again: bool = False, own: int = 0
) -> bytes:
    """Build the BPF program; `own` is the id of the process that it filters."""
    deny, allow, kill = (
        _step(_RETURN, verdict) for verdict in (_ERRNO | errno.EPERM, _ALLOW, _KILL)
    )
    lines = [_step(_LOAD, _ARCH_AT), _step(_EQUAL, architecture, 1, 0), kill]
    lines += [_step(_LOAD, _NUMBER_AT), _step(_AT_LEAST, _X32, 0, 1), kill]
    for call in NARROWED.values():
        lines += _if_called(call.numbers[column], [*_argument(call), allow, deny])
    lines += _if_called(MMAP[column], _mmap(allow, deny))
    for numbers in (*ALLOWED.values(), *(SETTING_UP.values() if again else ())):
        lines += _if_called(numbers[column], [allow])
    missing = _step(_RETURN, _ERRNO | errno.ENOSYS)
    lines += _if_called(CLONE3[column], [missing if threads else deny])
    lines += _if_called(RSEQ[column], [allow if threads else deny])
    # `clone` for a process kills; for a thread it is allowed or denied.
    thread = [_step(_LOAD, _ARGUMENTS_AT[0]), _step(_EQUAL, _THREAD, 1, 0)]
    lines += _if_called(CLONE[column], [*thread, kill, allow if threads else deny])
    lines += _if_called(TGKILL[column], _abort(own, allow, kill))
    for numbers in DEADLY.values():
        lines += _if_called(numbers[column], [kill])
    return b"".join((*lines, deny))


def _if_called(number: int | None, then: list[bytes]) -> list[bytes]:
    """Instructions `then` for one call number; other calls jump over them."""
    return [] if number is None else [_step(_EQUAL, number, 0, len(then)), *then]


def _argument(call: Narrowed) -> list[bytes]:
    """Instructions that check an argument: continue if it is allowed, else skip one instruction."""
    lines = [_step(_LOAD, _ARGUMENTS_AT[call.argument]), _step(_AND, call.mask)]
    left = len(call.values)
    for value in call.values:
        left -= 1
        lines.append(_step(_EQUAL, value, left, 0 if left else 1))
    return lines


def _mmap(allow: bytes, deny: bytes) -> list[bytes]:
    return [
        _step(_LOAD, _ARGUMENTS_AT[2]),
        _step(_ANY_BIT, _ALL_BITS & ~_READ_WRITE, 2, 0),
        _step(_LOAD, _ARGUMENTS_AT[3]),
        _step(_ANY_BIT, _ALL_BITS & ~_PLAIN_MAP, 0, 1),
        deny,
        allow,
    ]


def _abort(own: int, allow: bytes, kill: bytes) -> list[bytes]:
    return [
        _step(_LOAD, _ARGUMENTS_AT[0]),
        _step(_EQUAL, own, 0, 2),
        _step(_LOAD, _ARGUMENTS_AT[2]),
        _step(_EQUAL, signal.SIGABRT, 1, 0),
        kill,
        allow,
    ]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("@HBBI", code, if_true, if_false, value)
