# SPDX-License-Identifier: Apache-2.0
"""Operations on small files: a mount beside other ways to a directory."""
import os
import time

from lib import plot
from lib.peers import Sshd, passthrough
from lib.process import numbers, run_command
from lib.servers import Ecpd, ecpfs
from lib.table import Table

TITLE = "file operations, nothing waits for a disk; all processes on one core, or where the system puts them"
PLACES = [(0, ""), (None, ", placed freely")]
FREELY = {"create+write+close", "the-same-with-O_EXCL", "overwrite", "open+read+close", "failed-lookup"}
# What issues before this one asked for, beside passthrough_ll; and what this one asks for beside sshfs.
AIMS = {"open+read+close": 2.0, "stat": 0.95, "pread": 0.95, "create+write+close": 1.0,
        "the-same-with-O_EXCL": 1.0, "overwrite": 1.0, "ls-l-entry": 3.0, "failed-lookup": 0.8}


class Side:
    """mount() makes a new mount of the same tree."""

    def __init__(self, name, mount):
        self.name, self.make, self.mount = name, mount, None

    def remount(self):
        if self.mount:
            self.mount.unmount()
        self.mount = self.make()
        return self.mount.point


class Directory:
    """The file system itself, without a mount in between."""

    def __init__(self, point):
        self.point = point

    def unmount(self):
        pass


def sides(run, table, core):
    tmpfs = os.path.join(run.tmpfs(), f"core-{core}")
    os.mkdir(tmpfs)
    for name in ("passthrough", "sshfs", "direct"):
        os.mkdir(os.path.join(tmpfs, name))
    ecpd = Ecpd(run, os.path.join(tmpfs, "ecpd"), durability="none", acknowledge="applied", core=core)
    yield Side("ecpfs", lambda: ecpfs(run, ecpd.url(), core=core))
    theirs = Side("passthrough_ll", lambda: passthrough(run, os.path.join(tmpfs, "passthrough"), core=core))
    if run.peer(table, theirs.remount):
        yield theirs
    sshd = run.peer(table, lambda: Sshd(run, core=core))
    if sshd:
        yield Side("sshfs", lambda: sshd.mount(os.path.join(tmpfs, "sshfs"), core=core))
    yield Side("tmpfs", lambda: Directory(os.path.join(tmpfs, "direct")))


def sample(run, table, core, suffix):
    program = run.program("bench/fs_ops")
    every = list(sides(run, table, core))
    for side in every:
        os.mkdir(side.remount() + "/BENCH")
        run_command([program, "prepare", side.mount.point + "/BENCH"], core)
    time.sleep(3)  # what has just been written is not kept in the kernel's pages yet
    for _ in range(run.repeats):
        for side in every:
            place = side.remount() + "/BENCH"
            got = numbers(run_command([program, "cold", place], core))
            got.update(numbers(run_command([program, "warm", place, str(run.size(11, 3))], core)))
            for what, ns in got.items():
                if core is not None or what in FREELY:
                    table.add(what + suffix, "ns", side.name, ns)


def measure(run):
    table = Table()
    for core, suffix in PLACES:
        sample(run, table, core, suffix)
        for what in ("create+write+close", "the-same-with-O_EXCL"):
            table.aim(what + suffix, "sshfs", 10)
    for what, ratio in AIMS.items():
        table.aim(what, "passthrough_ll", ratio)
    return table


def draw(path, table, subtitle):
    return plot.bars(path, table, "Operations on small files", subtitle)
