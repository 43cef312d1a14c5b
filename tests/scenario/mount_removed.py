# SPDX-License-Identifier: Apache-2.0
"""A file that a mount, which hears late of all, removes: who opens it there when another mount has shown it gone must
not find it, also if a process has it open that came before.

usage: mount_removed.py MOUNT OTHER-MOUNT OTHER-PROCESS ROUNDS
"""
import os
import signal
import sys
import threading
import time

here, there, process, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
DEADLINE = 60  # s


def wait_until(what, condition):
    until = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > until:
            sys.exit(f"waited too long until {what}")


def update_is_sent():
    with open(here + "/.ecp/status") as status:
        return "updates_pending 1\n" in status.read()


def is_gone(path):
    try:
        os.stat(path)
        return False
    except FileNotFoundError:
        return True


def a_round(n):
    """Whether the mount had not heard of its end when the other showed it."""
    path = f"REMOVED/{n}"
    with open(f"{here}/{path}", "w") as file:
        file.write("content")
    is_gone(f"{there}/{path}")  # has a lease from now on
    os.kill(process, signal.SIGSTOP)
    worker = threading.Thread(target=os.unlink, args=(f"{here}/{path}",))
    worker.start()
    wait_until("the update is sent", update_is_sent)
    before = open(f"{here}/{path}")
    os.kill(process, signal.SIGCONT)
    wait_until("the other mount shows it gone", lambda: is_gone(f"{there}/{path}"))
    under_way = worker.is_alive()
    try:
        after = open(f"{here}/{path}")
    except FileNotFoundError:
        after = None
    worker.join()
    if after:
        sys.exit(f"round {n}: {after.read()!r} is found where another mount has shown that nothing is")
    if before.read() != "content":
        sys.exit("who had it open does not find what it was")
    return under_way


os.mkdir(here + "/REMOVED")
if not sum([a_round(n) for n in range(rounds)]):
    sys.exit("no update was still under way when the other mount showed it")
