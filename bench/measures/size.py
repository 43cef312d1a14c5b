# SPDX-License-Identifier: Apache-2.0
"""What the size of the database costs."""
import time

from lib import plot
from lib.peers import Redis
from lib.servers import Ecpd
from lib.table import Table

TITLE = "cost as the database grows; values of 50 bytes, random keys, ecpd's memory setting 64M"


def ours(run, table, nodes, reads):
    core = run.load_core
    ecpd = Ecpd(run, run.path("data" + run.number()), durability="interval=1000", acknowledge="applied")
    add = lambda what, unit, value: table.add(what, unit, "ecpfs", value, nodes)  # noqa: E731
    add("filled in order", "/s", ecpd.calls("fill", core=core, count=nodes, batch=1000, depth=4)["rate"])
    ecpd.stop()
    begun = time.monotonic()
    ecpd.start()
    add("start", "ms", (time.monotonic() - begun) * 1e3)
    add("memory after start", "bytes", ecpd.daemon.memory())
    add("disk for a node", "bytes", ecpd.disk_bytes("data.mdb") / nodes)
    got = ecpd.calls("get", core=core, count=reads, keys=nodes)
    add("get, one at a time", "/s", got["rate"])
    add("get p99.9", "us", got["latency-p999"] / 1e3)
    add("get, 64 deep", "/s", ecpd.calls("get", core=core, count=reads * 5, keys=nodes, depth=64)["rate"])
    add("walk with values", "/s", ecpd.calls("scan", core=core, count=nodes)["rate"])
    sets = {"count": reads * 10, "keys": nodes, "clients": 10}
    add("set, 64 in a batch", "/s", ecpd.calls("set", core=core, batch=64, depth=4, **sets)["rate"])
    add("memory", "bytes", ecpd.daemon.memory())
    add("mapped database in memory", "bytes", ecpd.daemon.memory("File"))
    if nodes <= 1000000:
        got = ecpd.load("clients", "cached", ecpd.pid, "--keys", nodes, "--milliseconds", 500, core=core)
        add("get, from a client's cache", "/s", got["reads"])
        add("client's memory for a node", "bytes", got["client-memory"] / nodes)
    add("KILL of all", "ms", ecpd.calls("kill", count=1)["latency-p50"] / 1e6)
    ecpd.stop()


def theirs(run, table, nodes, reads):
    redis = run.peer(table, lambda: Redis(run, run.path("redis" + run.number())))
    if not redis:
        return
    redis.command_line("DEBUG", "POPULATE", str(nodes), "key", "50")
    add = lambda what, unit, value: table.add(what, unit, "Redis", value, nodes)  # noqa: E731
    add("get, one at a time", "/s", redis.benchmark("get", reads, 1, keys=nodes, core=run.load_core)["rate"])
    add("get, 64 deep", "/s", redis.benchmark("get", reads * 5, 1, 64, keys=nodes, core=run.load_core)["rate"])
    add("set, 64 in a batch", "/s", redis.benchmark("set", reads * 10, 10, 64, keys=nodes, core=run.load_core)["rate"])
    add("memory", "bytes", redis.daemon.memory())
    redis.daemon.stop()


def measure(run):
    table = Table("nodes")
    for nodes in run.size([10**4, 10**5, 10**6, 10**7], [10**4, 10**5]):
        for _ in range(1 if nodes > 10**6 else min(run.repeats, 3)):
            ours(run, table, nodes, run.size(50000, 5000))
            theirs(run, table, nodes, run.size(50000, 5000))
            run.clear()
    table.aim("KILL of all", "ecpfs", 10)
    return table


def draw(path, table, subtitle):
    return plot.lines(path, table, "Cost as the database grows. " + subtitle, [
        ("per second", True, [
            ("get, from a client's cache", "ecpfs", "get, client's cache"),
            ("walk with values", "ecpfs", "walk"), ("set, 64 in a batch", "ecpfs", "set, pipelined"),
            ("set, 64 in a batch", "Redis", "set, pipelined, Redis"), ("get, 64 deep", "ecpfs", "get, pipelined"),
            ("get, 64 deep", "Redis", "get, pipelined, Redis"), ("get, one at a time", "ecpfs", "get, one at a time"),
            ("get, one at a time", "Redis", "get, one at a time, Redis")]),
        ("bytes of the server's memory", True, [
            ("memory", "ecpfs", "ecpd, after updates"), ("memory", "Redis", "Redis"),
            ("memory after start", "ecpfs", "ecpd, after start"),
            ("mapped database in memory", "ecpfs", "file that ecpd has mapped")])])
