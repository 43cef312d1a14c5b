# SPDX-License-Identifier: Apache-2.0
"""From the start of a server that was killed to its first answer."""
import signal
import time

from lib import plot
from lib.peers import Redis
from lib.servers import Ecpd
from lib.table import Table


TITLE = "restart after kill -9, with so many updates of random keys to do again"


def measure(run):
    table = Table("updates")
    for updates in run.size([10**4, 10**5, 3 * 10**5, 10**6, 2 * 10**6], [10**4, 10**5]):
        for _ in range(min(run.repeats, 2)):
            # So much memory that nothing but the journal has the updates.
            ecpd = Ecpd(run, run.path("data" + run.number()), "none", "applied", memory="2G")
            ecpd.calls("set", count=updates, batch=64, depth=8, keys=updates)
            ecpd.ecp("sync")
            ecpd.crash()
            table.add("journal", "bytes", "ecpfs", ecpd.disk_bytes("journal"), updates)
            begun = time.monotonic()
            ecpd.start()
            ecpd.ecp("get", "^K(1)", ok=(0, 1))
            table.add("first answer after", "s", "ecpfs", time.monotonic() - begun, updates)
            ecpd.crash()
            redis = run.peer(table, lambda: Redis(run, run.path("redis" + run.number()), "no"))
            if redis:
                redis.benchmark("set", updates, pipeline=64, keys=updates)
                redis.daemon.stop(signal.SIGKILL)
                begun = time.monotonic()
                redis.start()
                table.add("first answer after", "s", "Redis", time.monotonic() - begun, updates)
                redis.daemon.stop(signal.SIGKILL)
            run.clear()
    table.remark("a checkpoint begins by itself after 256 MiB of journal: more is never done again")
    return table


def draw(path, table, subtitle):
    return plot.lines(path, table, "Restart after kill -9. " + subtitle, [
        ("seconds until the first answer", False, [
            ("first answer after", "ecpfs", "ecpd"), ("first answer after", "Redis", "Redis, append-only file")])])
