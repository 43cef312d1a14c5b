# SPDX-License-Identifier: Apache-2.0
"""Files and directories that go, or are on their way, as those see it who have them open.

usage: mount_open.py MOUNT OTHER-MOUNT SERVER-PID: the pid of the server, which is stopped at times.
"""
import errno
import os
import signal
import sys
import threading
import time

here, there, server = sys.argv[1], sys.argv[2], int(sys.argv[3])
LONG = "L" * 256  # one byte too long for a component: "L...%/LL"


def check(ok, *what):
    if not ok:
        sys.exit("FAIL: " + " ".join(map(str, what)))


def error_of(what, *args, **more):
    try:
        what(*args, **more)
    except OSError as e:
        return e.errno
    return 0


def put(path, value):
    with open(path, "wb") as f:
        f.write(value)


def get(path):
    with open(path, "rb") as f:
        return f.read()


def new(name):
    """A directory of this name, in which the file "f" is known by its name."""
    top = f"{here}/{name}"
    os.mkdir(top)
    put(top + "/f", b"old")
    os.stat(top + "/f")
    return top


def until(what, seconds=20):
    deadline = time.monotonic() + seconds
    while not what() and time.monotonic() < deadline:
        time.sleep(0.01)
    return what()


def pending():
    with open(here + "/.ecp/status") as f:
        return int(dict(line.split(None, 1) for line in f)["updates_pending"])


def beside_stopped_server(first, what, *args):
    """Calls when `first` updates are on their way; the server goes on when another two are, or two seconds later."""
    os.kill(server, signal.SIGSTOP)
    check(until(lambda: pending() == first), "not sent")
    results = []
    thread = threading.Thread(target=lambda: results.append(error_of(what, *args)))
    thread.start()
    until(lambda: pending() == first + 2, 2)
    os.kill(server, signal.SIGCONT)
    thread.join(60)
    check(results == [0], what, args, results)


def removed_before_what_was_written_was_sent():
    path = new("UNLINK") + "/f"
    handle = os.open(path, os.O_RDWR)
    os.write(handle, b"new")
    beside_stopped_server(0, os.unlink, path)
    check(os.pread(handle, 10, 0) == b"new", "the handle lost what it wrote")
    os.write(handle, b"er")
    check(os.pread(handle, 10, 0) == b"newer", "the handle cannot write any more")
    check(error_of(os.close, handle) == 0, "close of what was removed")
    check(not os.path.exists(path), "removed")


def removed_while_what_was_written_was_sent():
    path = new("SENDING") + "/f"
    handle = os.open(path, os.O_RDWR)
    os.write(handle, b"new")
    beside_stopped_server(1, os.unlink, path)
    check(os.pread(handle, 10, 0) == b"new", "the handle lost what was sent")
    os.close(handle)
    check(not os.path.exists(path), "removed")


def moved_before_what_was_written_was_sent():
    os.mkdir(here + "/MOVES")  # not in the root, which is waited for then, as is what lies in it
    top = new("MOVES/from")
    handle = os.open(top + "/f", os.O_WRONLY)
    os.write(handle, b"new")
    beside_stopped_server(0, os.rename, top, here + "/MOVES/to")
    check(error_of(os.close, handle) == 0, "a file in a directory that moved cannot be stored")
    check(get(here + "/MOVES/to/f") == get(there + "/MOVES/to/f") == b"new", "the value was lost by the move")


def replaced_after_it_was_removed_elsewhere():
    top = new("GONE")
    handle = os.open(top + "/f", os.O_RDWR)
    os.unlink(there + "/GONE/f")
    put(top + "/g", b"with")
    check(error_of(os.rename, top + "/g", top + "/f") == 0, "a file that has gone cannot be replaced")
    check(get(there + "/GONE/f") == b"with", "replaced")
    os.close(handle)


def made_in_a_directory_that_was_removed_elsewhere():
    for name in "f", ".scratch", ".value":
        os.mkdir(here + "/CWD")
        handle = os.open(here + "/CWD", os.O_RDONLY | os.O_DIRECTORY)
        os.rmdir(there + "/CWD")
        seen = error_of(os.open, name, os.O_CREAT | os.O_WRONLY, dir_fd=handle)
        check(seen in (errno.ENOENT, errno.ESTALE), name, "made:", os.strerror(seen))
        os.close(handle)
        check(not os.path.exists(there + "/CWD"), name, "brought its directory back")


def directories_that_hold_what_was_not_sent():
    for name in "f", ".scratch", ".value":
        os.mkdir(here + "/FULL")
        put(here + "/OTHER", b"")
        os.unlink(here + "/OTHER")
        os.mkdir(here + "/OTHER")
        path = f"{here}/FULL/{name}"
        handle = os.open(path, os.O_CREAT | os.O_WRONLY)
        check(os.listdir(here + "/FULL") == [name], name, "is not listed:", os.listdir(here + "/FULL"))
        check(error_of(os.rmdir, here + "/FULL") == errno.ENOTEMPTY, name, "rmdir")
        check(error_of(os.rename, here + "/OTHER", here + "/FULL") == errno.ENOTEMPTY, name, "rename")
        os.write(handle, b"x")
        os.close(handle)
        check(get(path) == b"x", name, "was lost")
        check(os.listdir(here + "/FULL") == [name], name, "is listed:", os.listdir(here + "/FULL"))
        os.unlink(path)
        os.rmdir(here + "/FULL")
        os.rmdir(here + "/OTHER")


def rest_of_long_names():
    more = f"{here}/LONG/{LONG[:254]}%"
    os.mkdir(here + "/LONG")
    os.mkdir(more)
    check(error_of(os.rmdir, more) == 0, "rmdir of what holds nothing")
    os.mkdir(more)
    handle = os.open(more + "/LL", os.O_CREAT | os.O_WRONLY)
    check(error_of(os.rmdir, more) == errno.ENOTEMPTY, "rmdir of what holds a file that was not sent")
    os.close(handle)
    check(error_of(os.rmdir, more) == errno.ENOTEMPTY, "rmdir of what holds a file")
    check(os.listdir(more) == ["LL"], "listed")
    os.unlink(more + "/LL")
    os.rmdir(more)
    check(os.listdir(here + "/LONG") == [], "left")


def time_of_a_directory_whose_local_names_change():
    os.mkdir(here + "/TIME")
    times = [os.stat(here + "/TIME").st_mtime_ns]
    for change in (lambda: put(here + "/TIME/.a", b""), lambda: os.rename(here + "/TIME/.a", here + "/TIME/.b"),
                   lambda: os.unlink(here + "/TIME/.b")):
        change()
        times.append(os.stat(here + "/TIME").st_mtime_ns)
    check(times == sorted(set(times)), "the directory's time did not move each time:", times)


for test in (removed_before_what_was_written_was_sent, removed_while_what_was_written_was_sent,
             moved_before_what_was_written_was_sent, replaced_after_it_was_removed_elsewhere,
             made_in_a_directory_that_was_removed_elsewhere, directories_that_hold_what_was_not_sent,
             rest_of_long_names, time_of_a_directory_whose_local_names_change):
    if len(sys.argv) < 5 or test.__name__ in sys.argv[4:]:
        test()
        print(test.__name__)
