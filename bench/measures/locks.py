# SPDX-License-Identifier: Apache-2.0
"""Locks: pairs of lock and unlock that nobody contends for, and how a contended lock changes hands."""
import os

from lib import plot
from lib.gtm import Gtm
from lib.peers import passthrough
from lib.process import numbers, run_command
from lib.servers import Ecpd, ecpfs
from lib.table import Table

TITLE = "locks, all processes on one core, nothing waits for a disk"
CORE = 0


def gtm_pair(run, table, tmpfs):
    """A client's LOCK on a node that a GT.CM server has: the environment to run it in."""
    gtm = Gtm(run, tmpfs, core=CORE)
    return gtm, gtm.client(gtm.server())


def measure(run):
    table = Table()
    tmpfs = run.tmpfs()
    program, pairs = run.program("bench/locks"), str(run.size(2000, 500))
    os.mkdir(os.path.join(tmpfs, "passthrough"))
    ecpd = Ecpd(run, os.path.join(tmpfs, "ecpd"), core=CORE)
    mounts = [ecpfs(run, ecpd.url(), core=CORE) for _ in range(2)]
    theirs = run.peer(table, lambda: passthrough(run, os.path.join(tmpfs, "passthrough"), "flock,cache=always", CORE))
    gtm = run.peer(table, lambda: gtm_pair(run, table, tmpfs))
    places = {"ecpfs": mounts[0].point + "/BENCH"}
    if theirs:
        places["passthrough_ll"] = theirs.point + "/BENCH"
    for place in places.values():
        os.mkdir(place)
        with open(place + "/f", "w") as file:
            file.write("0\n")
    other = mounts[1].point + "/BENCH/f"
    for _ in range(run.repeats):
        for side, place in places.items():
            got = numbers(run_command([program, "pairs", place + "/f", pairs], CORE))
            table.add("lock+unlock", "ns", side, got["pair"])
            got = numbers(run_command([program, "handover", place + "/f", place + "/f", str(run.size(1000, 200))], CORE))
            table.add("hand-over on one mount, p50", "ns", side, got["handover-p50"])
            table.add("hand-over on one mount, p99", "ns", side, got["handover-p99"])
        got = numbers(run_command([program, "handover", places["ecpfs"] + "/f", other, str(run.size(1000, 200))], CORE))
        table.add("hand-over between mounts, p50", "ns", "ecpfs", got["handover-p50"])
        table.add("hand-over between mounts, p99", "ns", "ecpfs", got["handover-p99"])
        if gtm:
            rate = gtm[0].loop("pairs", run.size(5000, 1000), "lock +^A(1) lock -^A(1)", env=gtm[1], core=CORE)
            table.add("lock+unlock", "ns", "GT.CM", 1e9 / rate)
    table.aim("lock+unlock", "passthrough_ll", 0.8)
    return table


def draw(path, table, subtitle):
    return plot.bars(path, table, "Locks", subtitle)
