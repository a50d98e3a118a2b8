"""A system call filter for a child: what decoding needs, and nothing else.

The kernel checks every call against a list of numbers, written here by hand. There is no library
in between, so it works wherever the kernel can do it, and a reader can see all that is allowed.
Calls that are not listed fail with EPERM, as decoders expect of a call that is not to be had.
Calls that only an intruder makes end the process, so that somebody hears of it.
"""

import ctypes
import errno
import mmap
import platform
import struct

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000

# Of the classic packet filter: load a word, jump if equal, greater or equal, any bit set, return.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
# Where the kernel puts the number, the architecture, the first and the third argument (low halves).
_NUMBER_AT, _ARCH_AT, _FIRST_AT, _THIRD_AT = 0, 4, 16, 32

_COLUMNS = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
# x86_64 answers to a second set of numbers from here on; nobody uses it but to slip past filters.
_X32 = 0x40000000

# Numbers on x86_64 and aarch64; the busiest first, for the kernel reads from the top.
_ALLOWED = {
    "recvfrom": (45, 207),
    "sendto": (44, 206),
    "brk": (12, 214),
    "munmap": (11, 215),
    "madvise": (28, 233),
    "mremap": (25, 216),
    "pread64": (17, 67),  # the warnings
    "read": (0, 63),
    "write": (1, 64),  # libjpeg, to standard error
    "writev": (20, 66),
    "futex": (202, 98),
    "clock_gettime": (228, 113),  # where the kernel does not answer it without a call
    "getrandom": (318, 278),
    "sched_yield": (24, 124),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
# Memory, but never to be executed: the third argument says what for.
_ALLOWED_UNLESS_EXECUTABLE = {"mmap": (9, 222), "mprotect": (10, 226)}
# A thread of this process, never another process: the first argument says which. It has to be what
# glibc asks for, to the bit, so that none comes with a namespace of its own. What `clone3` asks for
# lies in memory that a filter can't read; told that there is no such call, glibc takes `clone`.
_CLONE, _CLONE3 = (56, 220), (435, 435)
# VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS, PARENT_SETTID, CHILD_CLEARTID
_THREAD = 0x3D0F00
_RSEQ = (334, 293)  # glibc ends the process where a new thread's fails
# No decoder has a use for these, not even as an attempt.
_DEADLY = {
    "execveat": (322, 281),
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

CALLS = tuple(sorted((*_ALLOWED, *_ALLOWED_UNLESS_EXECUTABLE)))
"""The names of the calls that are let through."""


def install(*, threads: bool = False) -> bool:
    """Filter the calls of this thread from now on, for good; False where it cannot be done.

    `threads`: it may start some, under the same filter; libde265 can't decode HEIC without.
    Needs `no_new_privs`, and a process of one thread: others that exist already stay free.
    """
    if platform.machine() not in _COLUMNS:
        return False
    program = _program(*_COLUMNS[platform.machine()], threads=threads)
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: how many instructions of 8 bytes, and where.
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0)
    return bool(done == 0)


def _program(column: int, architecture: int, *, threads: bool) -> bytes:
    """The filter as instructions. Every jump is to the next but one or so: nothing to miscount."""
    deny = _step(_RETURN, _ERRNO | errno.EPERM)
    lines = [_step(_LOAD, _ARCH_AT), _step(_EQUAL, architecture, 1, 0), _step(_RETURN, _KILL)]
    lines += [_step(_LOAD, _NUMBER_AT), _step(_AT_LEAST, _X32, 0, 1), _step(_RETURN, _KILL)]
    for numbers in _ALLOWED.values():
        lines += [_step(_EQUAL, numbers[column], 0, 1), _step(_RETURN, _ALLOW)]
    for numbers in _ALLOWED_UNLESS_EXECUTABLE.values():
        lines += [_step(_EQUAL, numbers[column], 0, 4), _step(_LOAD, _THIRD_AT)]
        lines += [_step(_ANY_BIT, mmap.PROT_EXEC, 0, 1), deny, _step(_RETURN, _ALLOW)]
    if threads:
        lines += [_step(_EQUAL, _RSEQ[column], 0, 1), _step(_RETURN, _ALLOW)]
        lines += [_step(_EQUAL, _CLONE3[column], 0, 1), _step(_RETURN, _ERRNO | errno.ENOSYS)]
        lines += [_step(_EQUAL, _CLONE[column], 0, 4), _step(_LOAD, _FIRST_AT)]
        lines += [_step(_EQUAL, _THREAD, 0, 1), _step(_RETURN, _ALLOW), deny]
    for numbers in _DEADLY.values():
        lines += [_step(_EQUAL, numbers[column], 0, 1), _step(_RETURN, _KILL)]
    return b"".join((*lines, deny))


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("@HBBI", code, if_true, if_false, value)
