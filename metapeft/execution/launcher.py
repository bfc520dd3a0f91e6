"""Confines one program and runs it. A script, not a module: `sandbox.py` starts it as ``python -I -S launcher.py``.

It is a process of its own because limits are set between fork and exec, which is unsafe in a process with threads. It
reads one job as JSON from standard input, and writes what happened as one line of JSON to the pipe ``job["status"]``.

The mechanism that the job names holds as a whole or not at all; `sandbox.py` then asks for the next.

- ``namespaces`` (Linux): the program sees a root of its own, read-only but for a small ``/tmp`` in memory, with the
  interpreter and the system's libraries and nothing else; no network; its own process numbers, so that ending the
  first process ends all. As an ordinary user this is done in a user namespace.
- ``landlock`` (Linux, kernel >= 5.13, documented in landlock(7)): the program may read the interpreter and the system's
  libraries and write its temporary directory.
- ``none``: limits.

Whatever the mechanism, root becomes a user that owns nothing, and on Linux a filter of system calls lets the program
open no socket.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import platform
import resource
import signal
import struct
import sys
from contextlib import suppress
from typing import Any, NoReturn

LINUX = sys.platform == "linux"
LIBC = ctypes.CDLL(None, use_errno=True)

# <linux/sched.h>, <sys/mount.h>, <linux/mount.h>, <sys/prctl.h>
NEW_MOUNTS, NEW_IPC, NEW_USER, NEW_PIDS, NEW_NETWORK = 0x20000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
NOSUID, NODEV, NOEXEC, BIND, RECURSIVE, PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
ATTRIBUTE_READ_ONLY, ATTRIBUTE_NOSUID, AT_RECURSIVE, DETACH = 1, 2, 0x8000, 2
PARENT_DEATH_SIGNAL, SET_DUMPABLE, SET_SECCOMP, CHILD_SUBREAPER, NO_NEW_PRIVILEGES = 1, 4, 22, 36, 38
# The same numbers on every architecture.
MOUNT_SETATTR, LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 442, 444, 445, 446
IO_URING_SETUP = 425
# <linux/audit.h> and the system calls socket and socketpair.
SOCKET_CALLS = {"x86_64": (0xC000003E, 41, 53), "aarch64": (0xC00000B7, 198, 199)}

READ_FILE, WRITE_FILE, TRUNCATE = 1 << 2, 1 << 1, 1 << 14  # of Landlock
EXECUTE_AND_READ = 1 << 0 | READ_FILE | 1 << 3
OF_A_FILE = EXECUTE_AND_READ & ~(1 << 3) | WRITE_FILE | TRUNCATE
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
VERDICT = 3  # the descriptor at which a program finds its verdict's socket
NOBODY = 65534
WAITED_FOR = (signal.SIGCHLD, signal.SIGTERM)  # a child has ended; the program is to be ended
POLL = 0.05  # seconds between two looks at the memory of all processes


def main() -> None:
    job = json.loads(sys.stdin.buffer.read())
    given, job["status"] = job["status"], fcntl.fcntl(job["status"], fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(given)
    job["uid"] = 1 << 30 | os.getpid()  # runs at the same time are different users when root starts them
    os.umask(0o022)
    signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR)
    if LINUX:
        with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")  # when the machine is short of memory, this run goes first
        prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)  # nothing outlives the process that asked for it
    try:
        if job["mechanism"] == "namespaces":
            in_namespaces(job)
        else:
            in_folder(job)
    except Exception as error:  # whatever it is: the program must not start, nor another process go on from here
        end(job, {"setup": str(error)})


def in_namespaces(job: dict[str, Any]) -> NoReturn:
    if not LINUX:
        raise OSError("there are no namespaces on this system")
    unshare(NEW_MOUNTS | NEW_IPC | NEW_PIDS | NEW_NETWORK)
    root = build_root(job)
    first = os.fork()
    if first:
        os.waitpid(first, 0)  # with the first process of a namespace all the others end
        os._exit(0)
    try:
        prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
        mount("proc", f"{root}/proc", "proc", NOSUID | NODEV | NOEXEC)
        read_only(root, 0)
        os.chdir(root)
        checked(LIBC.pivot_root(b".", b"."), "pivot_root")  # stacks the old root upon the new: pivot_root(2), NOTES
        checked(LIBC.umount2(b".", DETACH), "umount2")
        os.chdir("/tmp")
        write_files(job, "/tmp")
        prctl(SET_DUMPABLE, 0)  # its own /proc entries, and ptrace, are not for the program
        confinement = {"network": "isolated", "files": "confined", "processes": "isolated"}
        run(job, confinement | {"user": "other" if os.geteuid() == 0 else "same"})
    except Exception as error:
        end(job, {"setup": str(error)})


def in_folder(job: dict[str, Any]) -> NoReturn:
    """Run in the job's folder, under Landlock or with limits alone."""
    dropped = os.geteuid() == 0
    if job["mechanism"] == "landlock":
        version = landlock_version()
        confinement = {
            "files": "confined" if version >= 3 else "open",  # older ones let a program cut files to nothing
            "processes": "isolated" if version >= 6 or dropped else "open",
        }
    else:
        confinement = {"files": "open", "processes": "isolated" if dropped else "open"}
    confinement["network"] = "isolated" if LINUX and platform.machine() in SOCKET_CALLS else "open"
    if LINUX:
        prctl(CHILD_SUBREAPER, 1)  # children whose parent ends become ours, so that they can be found
        prctl(SET_DUMPABLE, 0)  # not to be traced by the program
    os.chdir(job["folder"])
    write_files(job, job["folder"])
    run(job, confinement | {"user": "other" if dropped else "same"})


def run(job: dict[str, Any], confinement: dict[str, str]) -> NoReturn:
    """Start the program in a child, wait for it, end what it left behind, and report."""
    threads = 2 if job["mechanism"] == "namespaces" else threads_of_user()  # this process and the one before it
    if os.geteuid() == 0:
        threads = 0  # the program will be another user
    child = os.fork()
    if child == 0:
        try:
            become(job, threads)
        except Exception as error:
            end(job, {"setup": f"{job['argv'][0]} cannot be started: {error}"})
    # Outside a namespace the group can then be ended by others, should this process be.
    tell(job, {"confinement": confinement} | ({} if job["mechanism"] == "namespaces" else {"group": child}))
    report: dict[str, Any] = {"memory": False}
    while True:
        ended, state, usage = os.wait4(-1, os.WNOHANG)
        if ended == child:
            report |= {"exit": os.waitstatus_to_exitcode(state), "cpu": usage.ru_utime + usage.ru_stime}
            break
        if ended:
            continue
        if job["mechanism"] == "namespaces" and memory_of_all() > job["memory"]:
            report["memory"] = True
            os.kill(child, signal.SIGKILL)
        if next_signal() == signal.SIGTERM:
            os.kill(child, signal.SIGKILL)
    if job["mechanism"] != "namespaces":
        end_descendants(child)
    end(job, report)


def become(job: dict[str, Any], threads: int) -> NoReturn:
    """Limit this process, give up every right and become the program."""
    os.setsid()
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    if job["verdict"] != VERDICT:
        os.dup2(job["verdict"], VERDICT)
        os.close(job["verdict"])
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    limits = job["limits"] | {"NPROC": job["limits"]["NPROC"] + threads}
    for name, value in limits.items():
        # The processor's hard limit is a second later: the soft one sends SIGXCPU, which says why.
        if LINUX or name not in ("AS", "DATA"):  # which macOS does not limit
            limit(getattr(resource, f"RLIMIT_{name}"), value, value + (name == "CPU"))
    ruleset = landlock_ruleset(job) if job["mechanism"] == "landlock" else None
    if os.geteuid() == 0:
        drop_root(job)
    if LINUX:
        prctl(NO_NEW_PRIVILEGES, 1)
        prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if ruleset is not None:
        checked(syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    if LINUX and platform.machine() in SOCKET_CALLS:
        refuse_sockets()
    os.execve(job["argv"][0], job["argv"], job["env"])


def limit(kind: int, soft: int, hard: int) -> None:
    """Set a limit, within the one that holds already."""
    ceiling = resource.getrlimit(kind)[1]
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(kind, (soft, hard))


def drop_root(job: dict[str, Any]) -> None:
    """Become a user that owns nothing but the folder: one of this run's own where so many users exist, else nobody."""
    os.setgroups([])
    for user in (job["uid"], NOBODY):
        try:
            for path in (".", *job["files"]):
                os.chown(path, user, user)
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            return
        except OSError:
            if user == NOBODY:
                raise


# --- namespaces ---


def unshare(flags: int) -> None:
    """Enter new namespaces; without root's rights, in a new user namespace in which we are who we were."""
    user, group = os.geteuid(), os.getegid()
    checked(LIBC.unshare(flags if user == 0 else flags | NEW_USER), "unshare")
    if user:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def build_root(job: dict[str, Any]) -> str:
    """Mount a root in the job's folder, which only this mount namespace sees: nothing of it stays on the disk."""
    root = job["folder"]
    mount("none", "/", None, RECURSIVE | PRIVATE)
    mount("tmpfs", root, "tmpfs", NOSUID, "size=1m,mode=755")
    os.mkdir(f"{root}/proc")
    os.mkdir(f"{root}/tmp")
    mount("tmpfs", f"{root}/tmp", "tmpfs", NOSUID | NODEV, f"size={job['limits']['FSIZE']},nr_inodes=10000,mode=700")
    for path in sorted({*job["readable"], *DEVICES}):  # a folder before what is in it
        target = root + path
        if os.path.lexists(target) or not os.path.exists(path):
            continue  # within a folder that is there already, or not on this system
        if os.path.isdir(path):
            os.makedirs(target)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
        mount(path, target, None, BIND | RECURSIVE)
        if path not in DEVICES:
            read_only(target, AT_RECURSIVE)
    return root


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    arguments = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    data = None if options is None else options.encode()
    checked(LIBC.mount(*arguments, ctypes.c_ulong(flags), data), f"mount {target}")


def read_only(path: str, flags: int) -> None:
    attributes = (ctypes.c_uint64 * 4)(ATTRIBUTE_READ_ONLY | ATTRIBUTE_NOSUID, 0, 0, 0)
    here = -100  # AT_FDCWD
    size = ctypes.sizeof(attributes)
    checked(syscall(MOUNT_SETATTR, here, os.fsencode(path), flags, attributes, size), f"mount_setattr {path}")


def memory_of_all() -> int:
    """Bytes of private memory of all processes of this namespace but the first; pages they share count each time."""
    pages = 0
    for name in os.listdir("/proc"):
        if name.isdecimal() and name != "1":
            with suppress(OSError), open(f"/proc/{name}/statm") as file:
                _, resident, shared, *_ = file.read().split()
                pages += int(resident) - int(shared)
    return pages * resource.getpagesize()


# --- Landlock ---


def landlock_version() -> int:
    if not LINUX:
        raise OSError("there is no Landlock on this system")
    return checked(syscall(LANDLOCK_CREATE_RULESET, None, 0, 1), "landlock_create_ruleset")


def landlock_ruleset(job: dict[str, Any]) -> int:
    """A ruleset that lets the program read ``job["readable"]`` and do as it likes in the folder it is in."""
    version = landlock_version()
    files = (1 << 13) - 1  # all rights of version 1; REFER, TRUNCATE and IOCTL_DEV came later
    files |= (version >= 2) << 13 | (version >= 3) << 14 | (version >= 5) << 15
    scoped = 0b11 if version >= 6 else 0  # abstract sockets and signals of processes outside
    attributes = (ctypes.c_uint64 * 3)(files, 0, scoped)
    size = 24 if version >= 6 else 8
    ruleset = checked(syscall(LANDLOCK_CREATE_RULESET, attributes, size, 0), "landlock_create_ruleset")
    rules = [(path, EXECUTE_AND_READ) for path in job["readable"]]
    rules += [(path, READ_FILE | WRITE_FILE) for path in DEVICES] + [(".", files)]
    for path, rights in rules:
        if not os.path.exists(path):
            continue
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        allowed = rights & files if os.path.isdir(path) else rights & files & OF_A_FILE
        rule = allowed.to_bytes(8, sys.byteorder) + parent.to_bytes(4, sys.byteorder)  # landlock_path_beneath_attr
        checked(syscall(LANDLOCK_ADD_RULE, ruleset, 1, rule, 0), f"landlock_add_rule {path}")
        os.close(parent)
    return ruleset


# --- a filter of system calls: seccomp(2) ---


def refuse_sockets() -> None:
    """Let no socket be opened, by whatever call; pairs of connected streams are allowed, which asyncio needs.

    Some families (vsock, which reaches a virtual machine's host) are in no network namespace.
    """
    machine, socket, socketpair = SOCKET_CALLS[platform.machine()]
    load, equal, at_least, mask, end = 0x20, 0x15, 0x35, 0x54, 0x06  # <linux/bpf_common.h>
    allow, refuse, kill = 0x7FFF0000, 0x00050000 | 13, 0x80000000  # 13: EACCES
    stream, number_at, machine_at, second_argument_at = 1, 0, 4, 24
    filter_ = [  # operation, how many to skip if it holds, and if not, operand
        (load, 0, 0, machine_at),
        (equal, 1, 0, machine),
        (end, 0, 0, kill),  # another architecture's numbers
        (load, 0, 0, number_at),
        (at_least, 7, 0, 0x40000000),  # x32's numbers
        (equal, 6, 0, socket),
        (equal, 5, 0, IO_URING_SETUP),  # which could open sockets
        (equal, 0, 3, socketpair),
        (load, 0, 0, second_argument_at),
        (mask, 0, 0, 0xF),
        (equal, 0, 1, stream),
        (end, 0, 0, allow),
        (end, 0, 0, refuse),
    ]
    instructions = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in filter_))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(filter_), ctypes.addressof(instructions)))
    checked(LIBC.prctl(SET_SECCOMP, 2, program, 0, 0), "seccomp")


# --- processes ---


def threads_of_user() -> int:
    """How many threads this user has, which the limit of processes counts. Other systems than Linux do not say."""
    user, threads = os.geteuid(), 0
    for name in os.listdir("/proc") if LINUX else []:
        with suppress(OSError):
            if name.isdecimal() and os.stat(f"/proc/{name}").st_uid == user:
                threads += len(os.listdir(f"/proc/{name}/task"))
    return threads


def next_signal() -> int | None:
    if not LINUX:
        return signal.sigwait(WAITED_FOR)
    received = signal.sigtimedwait(WAITED_FOR, POLL)
    return received.si_signo if received else None


def end_descendants(group: int) -> None:
    """End the program's group, and on Linux also those of its children that left it."""
    with suppress(OSError):
        os.killpg(group, signal.SIGKILL)
    while LINUX:
        for pid in children():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def children() -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(OSError), open(f"/proc/{name}/stat") as file:
                parent = file.read().rpartition(")")[2].split()[1]  # after the name, which may hold anything
                if int(parent) == os.getpid():
                    found.append(int(name))
    return found


# --- small things ---


def write_files(job: dict[str, Any], folder: str) -> None:
    for name, text in job["files"].items():
        with open(os.path.join(folder, name), "w", encoding="utf-8", errors="surrogatepass", newline="") as file:
            file.write(text)


def prctl(option: int, value: int) -> None:
    checked(LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0), "prctl")


def syscall(number: int, *arguments: Any) -> int:
    return LIBC.syscall(ctypes.c_long(number), *arguments)


def checked(value: int, what: str) -> int:
    if value < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return value


def tell(job: dict[str, Any], message: dict[str, Any]) -> None:
    os.write(job["status"], json.dumps(message).encode() + b"\n")


def end(job: dict[str, Any], message: dict[str, Any]) -> NoReturn:
    tell(job, message)
    os._exit(0)


if __name__ == "__main__":
    main()
