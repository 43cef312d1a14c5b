#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Processes that lock files of mounts, for locks_mount.sh. usage: locks_mount.py WHAT ARGUMENT..."""
import errno
import fcntl
import os
import signal
import struct
import sys
import threading
import time


def say(text):
    print(text, flush=True)


def is_there(path, seconds=30):
    end = time.monotonic() + seconds
    while not os.path.exists(path):
        if time.monotonic() > end:
            sys.exit(f"{path} does not come")
        time.sleep(0.01)


def lock_range(fd, kind, start, length, wait=False):
    """0, or an errno."""
    how = fcntl.F_SETLKW if wait else fcntl.F_SETLK
    data = struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)
    try:
        fcntl.fcntl(fd, how, data)
    except OSError as e:
        return e.errno
    return 0


def who_locks(fd, kind, start, length):
    data = struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)
    kind, _, start, length, _ = struct.unpack("hhqqi4x", fcntl.fcntl(fd, fcntl.F_GETLK, data))
    return kind, start, length


def in_child(function, *args):
    """What a function says in another process: POSIX locks of one process do not conflict."""
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, repr(function(*args)).encode())
        os._exit(0)
    os.close(write)
    result = os.read(read, 4096).decode()
    os.close(read)
    os.wait()
    return result


def who_else_locks(fd, other):
    """Asked by one whose own lock is the older, and no obstacle to itself."""
    lock_range(fd, fcntl.F_RDLCK, 50, 5)
    read, write = os.pipe()
    asked, told = os.pipe()
    if os.fork() == 0:
        os.close(told)
        lock_range(other, fcntl.F_RDLCK, 50, 10)
        os.write(write, b"x")
        os.read(asked, 1)  # its end
        os._exit(0)
    os.read(read, 1)
    result = who_locks(fd, fcntl.F_WRLCK, 50, 10)
    os.close(told)
    os.wait()
    return result


def ranges(one, two):
    """Byte ranges of one file, through two paths of it. The same lines on any file system."""
    a, b = os.open(one, os.O_RDWR), os.open(two, os.O_RDWR)
    exclusive, shared, unlock = fcntl.F_WRLCK, fcntl.F_RDLCK, fcntl.F_UNLCK
    say(lock_range(a, exclusive, 10, 10))
    say(in_child(lock_range, b, exclusive, 0, 10))
    say(in_child(lock_range, b, exclusive, 20, 0))
    for start, length in (0, 0), (0, 11), (19, 1), (15, 0):
        say(errno.errorcode[int(in_child(lock_range, b, shared, start, length))])
    say(in_child(who_locks, b, shared, 0, 0))
    say(in_child(who_locks, b, shared, 20, 0)[1:2])
    say(lock_range(a, shared, 12, 4))  # the middle is shared now
    say(in_child(lock_range, b, shared, 12, 4))
    say(in_child(lock_range, b, shared, 11, 2))
    say(in_child(who_locks, b, exclusive, 13, 1))
    say(lock_range(a, unlock, 10, 2))
    say(in_child(lock_range, b, exclusive, 0, 12))
    say(in_child(lock_range, b, exclusive, 0, 13))
    say(in_child(who_locks, b, shared, 0, 0))
    os.close(os.open(one, os.O_WRONLY))  # as POSIX says, any close ends all
    say(in_child(lock_range, b, exclusive, 0, 0))
    say(in_child(who_else_locks, b, a))
    ofd = 37  # F_OFD_SETLK: of the open file
    data = struct.pack("hhqqi4x", exclusive, os.SEEK_SET, 0, 5, 0)
    fcntl.fcntl(a, ofd, data)
    say(in_child(lock_range, b, shared, 0, 1))
    say(in_child(lock_range, b, shared, 5, 1))
    os.close(os.open(one, os.O_WRONLY))  # does not end it
    say(in_child(lock_range, b, shared, 0, 1))
    os.close(a)
    end = time.monotonic() + 10  # the last close is told of later
    while in_child(lock_range, b, shared, 0, 1) != "0" and time.monotonic() < end:
        time.sleep(0.01)
    say(in_child(lock_range, b, shared, 0, 1))


def after_ranges(path):
    """An owner that has had ranges of a file, and then locks it as a whole, twice."""
    fd = os.open(path, os.O_RDWR)
    say(lock_range(fd, fcntl.F_WRLCK, 3, 5))
    os.close(fd)
    fd = os.open(path, os.O_RDWR)
    for _ in range(2):
        say(lock_range(fd, fcntl.F_WRLCK, 0, 0))
        say(lock_range(fd, fcntl.F_UNLCK, 0, 0))


def opposite(first, second, mine, other):
    """Locks two files in this order, by fcntl; the second when the other process has its first."""
    fds = [os.open(first, os.O_RDWR), os.open(second, os.O_RDWR)]
    assert lock_range(fds[0], fcntl.F_WRLCK, 0, 0) == 0
    open(mine, "w").close()
    is_there(other)
    error = lock_range(fds[1], fcntl.F_WRLCK, 0, 0, wait=True)
    say("EDEADLK" if error == errno.EDEADLK else error or "locked")


def nested(first, second, mine, other):
    """The same by flock, which waits."""
    fds = [os.open(first, os.O_RDWR), os.open(second, os.O_RDWR)]
    fcntl.flock(fds[0], fcntl.LOCK_EX)
    open(mine, "w").close()
    is_there(other)
    fcntl.flock(fds[1], fcntl.LOCK_EX)


def threads(path, locked, go):
    """Three threads, each with a file of its own; the first one holds the lock until told."""

    def lock():
        fd = os.open(path, os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        open(locked, "w").close()
        is_there(go)
        os.close(fd)

    all_of_them = [threading.Thread(target=lock) for _ in range(3)]
    for thread in all_of_them:
        thread.start()
    for thread in all_of_them:
        thread.join()


def interrupted(path):
    """An alarm without SA_RESTART ends the wait."""
    fd = os.open(path, os.O_RDWR)

    def on_alarm(*_):
        raise InterruptedError

    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    for wait in (lambda: fcntl.flock(fd, fcntl.LOCK_EX), lambda: fcntl.lockf(fd, fcntl.LOCK_EX)):
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            wait()
            say("locked")
        except InterruptedError:
            say("interrupted")


def inherited(path, other):
    """A lock is the child's, too, and ends with the last of them."""
    fd = os.open(path, os.O_RDWR)
    there = os.open(other, os.O_RDWR)

    def free():
        try:
            fcntl.flock(there, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(there, fcntl.LOCK_UN)
            return True
        except BlockingIOError:
            return False

    fcntl.flock(fd, fcntl.LOCK_EX)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(os.dup(fd))
    say(free())
    os.close(fd)
    say(free())
    os.close(write)
    os.waitpid(child, 0)
    end = time.monotonic() + 10
    while not free() and time.monotonic() < end:
        time.sleep(0.01)
    say(free())


def losing(path, ready, go):
    """Holds a lock until it is lost, and says what the file answers then."""
    fd = os.open(path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.pread(fd, 10, 0)
    open(ready, "w").close()
    is_there(go)
    for action in (
        lambda: os.pread(fd, 10, 0),
        lambda: os.pwrite(fd, b"late", 0),
        lambda: os.ftruncate(fd, 0),
        lambda: os.fsync(fd),
        lambda: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB),
        lambda: fcntl.flock(fd, fcntl.LOCK_UN),
    ):
        try:
            action()
            say("done")
        except OSError as e:
            say(errno.errorcode[e.errno])
    os.close(fd)
    fd = os.open(path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    say(os.pread(fd, 10, 0).decode())


def late(path, ready, go, writing):
    """Begins to write under a lock when the server has gone, and says how that ends."""
    fds = [os.open(path, os.O_RDWR) for _ in range(2)]
    fcntl.flock(fds[0], fcntl.LOCK_EX)
    open(ready, "w").close()
    is_there(go)
    open(writing, "w").close()
    try:
        os.pwrite(fds[0], b"late", 0)
        say("done")
    except OSError as e:
        say(errno.errorcode[e.errno])
    os.close(fds[0])
    say(os.pread(fds[1], 4, 0).decode())


def hold_ranges(path, ready, go):
    """Holds two ranges of a file until told."""
    fd = os.open(path, os.O_RDWR)
    lock_range(fd, fcntl.F_WRLCK, 0, 10)
    lock_range(fd, fcntl.F_RDLCK, 20, 10)
    open(ready, "w").close()
    is_there(go, 120)


def free_ranges(path, one, two):
    """At two places the weakest lock that is refused."""
    fd = os.open(path, os.O_RDWR)
    for at in (int(one), int(two)):
        for kind, name in ((fcntl.F_RDLCK, "read"), (fcntl.F_WRLCK, "write")):
            if lock_range(fd, kind, at, 1):
                say(name)
                break
            lock_range(fd, fcntl.F_UNLCK, at, 1)


def hold_two(one, two, ready, go):
    """Holds two locks, and says at the end what each file answers."""
    files = [os.open(path, os.O_RDONLY) for path in (one, two)]
    for fd in files:
        fcntl.flock(fd, fcntl.LOCK_EX)
    open(ready, "w").close()
    is_there(go)
    for fd in files:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            say("done")
        except OSError as e:
            say(errno.errorcode[e.errno])


def fill(mount, count, go):
    """Locks names of its own, until there is no room; and keeps them until told, or ("one") none."""
    files, said = [], "locked"
    for i in range(int(count)):
        files.append(os.open(f"{mount}/.locks/^FULL({os.getpid()},{i})", os.O_RDONLY))
        try:
            fcntl.flock(files[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            os.close(files.pop())
            said = errno.errorcode[e.errno]
            break
        if go == "one":
            fcntl.flock(files[-1], fcntl.LOCK_UN)
    say(f"{len(files)} {said}")
    if go != "one":
        open(go).read()


globals()[sys.argv[1]](*sys.argv[2:])
