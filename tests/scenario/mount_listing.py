# SPDX-License-Identifier: Apache-2.0
"""Listings of one mount whose names are late on their way into the kernel, for who lists hardly gets a processor,
and another mount that renames what is listed: a name that has gone must not come back.

usage: mount_listing.py MOUNT OTHER-MOUNT RENAMES
"""
import os
import signal
import sys

here, there, renames = sys.argv[1], sys.argv[2], int(sys.argv[3])
processors = os.sched_getaffinity(0)
processor = max(processors)
children = []


def child(work):
    pid = os.fork()
    if pid:
        children.append(pid)
        return
    try:
        os.sched_setaffinity(0, {processor})
        while True:
            work()
    finally:
        os._exit(1)


def spin():
    pass


def list_slowly():
    os.setpriority(os.PRIO_PROCESS, 0, 19)
    os.listdir(here + "/LIST")


os.makedirs(there + "/LIST/0/below")
child(spin)
for _ in range(4):
    child(list_slowly)
os.sched_setaffinity(0, processors - {processor} or processors)
stale = 0
try:
    for n in range(renames):
        os.rename(f"{there}/LIST/{n % 2}", f"{there}/LIST/{(n + 1) % 2}")
        try:
            os.unlink(f"{here}/LIST/{n % 2}")
        except FileNotFoundError:
            pass
        except IsADirectoryError:  # the kernel did not ask
            stale += 1
finally:
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
sys.exit(f"{stale} of {renames} names that were gone were still directories" if stale else 0)
