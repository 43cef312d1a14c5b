# SPDX-License-Identifier: Apache-2.0
"""The protocol: gets and sets, beside Redis and GT.M."""
import subprocess

from lib import plot
from lib.gtm import Gtm
from lib.peers import Redis
from lib.process import numbers, pinned, run_command
from lib.servers import Ecpd
from lib.table import Table

TITLE = "calls over TCP on this machine, values of 50 bytes, databases on the disk"
KEYS = 1000000


class Sides:
    """Servers of both kinds, and GT.M; a peer that is missing is None."""

    def __init__(self, run, table):
        self.run, self.table, self.core = run, table, run.load_core
        self.ecpd = Ecpd(run, run.path("interval"), durability="interval=1000", acknowledge="applied")
        self.redis = run.peer(table, lambda: Redis(run, run.path("redis")))
        self.gtm = run.peer(table, lambda: Gtm(run, run.dir))
        self.gtcm = self.gtm and self.gtm.client(self.gtm.server())
        self.keys = run.size(KEYS, 100000)
        self.ecpd.calls("fill", count=self.keys, batch=1000, depth=4)
        if self.redis:
            self.redis.command_line("DEBUG", "POPULATE", str(self.keys), "key", "50")
        if self.gtm:
            self.gtm.loop("fill", self.keys, 'set ^K(i)="a value of fifty bytes, as in other benchmarks ..."',
                          core=self.core)

    def ours(self, what, operation, count, **options):
        self.table.add(what, "/s", "ecpfs", self.ecpd.calls(operation, core=self.core, count=count, **options)["rate"])

    def theirs(self, what, test, count, **options):
        if self.redis:
            self.table.add(what, "/s", "Redis", self.redis.benchmark(test, count, core=self.core, **options)["rate"])

    def m_code(self, what, count, body, before="", remote=True):
        if self.gtm:
            side = "GT.CM" if remote else "GT.M local"
            rate = self.gtm.loop("loop", count, body, before, self.gtcm if remote else self.gtm.local, self.core)
            self.table.add(what, "/s", side, rate)


def reads(s, size):
    got = numbers(run_command([s.run.program("bench/cache_get")], s.core))
    s.table.add("get, in cache", "/s", "ecpfs", got["node-with-value"])
    s.table.add("get, in cache, of 100,000", "/s", "ecpfs", got["node-of-100000"])
    s.m_code("get, in cache", size(5000000, 500000), "set x=^K(i#1000+1)", remote=False)
    s.m_code("get, in cache, of 100,000", size(5000000, 500000), "set x=^K(i*7919#100000+1)", remote=False)
    one = size(40000, 5000)
    s.ours("get, cold, one at a time", "get", one, keys=s.keys)
    s.theirs("get, cold, one at a time", "get", one, clients=1, keys=s.keys)
    s.m_code("get, cold, one at a time", one, f"set x=^K($random({s.keys})+1)")
    many = size(400000, 40000)
    s.ours("get, cold, 50 clients", "get", many, keys=s.keys, clients=50)
    s.theirs("get, cold, 50 clients", "get", many, keys=s.keys)
    s.ours("get, cold, 50 clients, 64 deep", "get", many * 4, keys=s.keys, clients=50, depth=64)
    s.theirs("get, cold, 50 clients, 64 deep", "get", many * 4, keys=s.keys, pipeline=64)
    s.ours("$order, one at a time", "order", one, keys=s.keys)
    s.m_code("$order, one at a time", one, "set k=$order(^K(k))", before='set k=""')
    s.ours("walk with values", "scan", s.keys)
    s.m_code("walk with values", s.keys, "set k=$order(^K(k)),x=^K(k)", before='set k=""', remote=False)


def writes(s, size):
    one, many = size(40000, 5000), size(2000000, 200000)
    s.ours("set, one at a time", "set", one, keys=s.keys)
    s.theirs("set, one at a time", "set", one, clients=1, keys=s.keys)
    s.m_code("set, one at a time", one, f'set ^K($random({s.keys})+1)="some value of fifty bytes"')
    for what, keys in (("one key", None), ("random keys", s.keys)):
        s.theirs(f"set, 50 clients, 64 deep, {what}", "set", many, pipeline=64, keys=keys)
        s.ours(f"set, 50 clients, 64 deep, {what}", "set", many, clients=50, depth=64, keys=keys or 1)
        s.theirs(f"set, 50 clients, 64 in a batch, {what}", "set", many, pipeline=64, keys=keys)
        s.ours(f"set, 50 clients, 64 in a batch, {what}", "set", many, clients=50, batch=64, keys=keys or 1)
    s.ours("increment, one at a time", "increment", one)
    s.theirs("increment, one at a time", "incr", one, clients=1)
    s.m_code("increment, one at a time", one, "set x=$increment(^N)")
    s.ours("increment, 50 clients", "increment", many // 10, clients=50)
    s.theirs("increment, 50 clients", "incr", many // 10)


def durable(run, table, count):
    ecpd = Ecpd(run, run.path("durable"))
    redis = run.peer(table, lambda: Redis(run, run.path("redis.durable"), fsync="always"))
    for _ in range(run.repeats):
        table.add("set, durable, 50 clients", "/s", "ecpfs",
                  ecpd.calls("set", core=run.load_core, count=count, clients=50, keys=100000)["rate"])
        if redis:
            table.add("set, durable, 50 clients", "/s", "Redis",
                      redis.benchmark("set", count, keys=100000, core=run.load_core)["rate"])
    ecpd.stop()
    if redis:
        redis.daemon.stop()


def under_load(s, count):
    """What a get waits for at most, idle and while 20,000 updates a second come."""
    def slowest(what):
        got = s.ecpd.calls("get", count=count, keys=s.keys)
        s.table.add(f"get p50, {what}", "us", "ecpfs", got["latency-p50"] / 1e3)
        s.table.add(f"get p99.9, {what}", "us", "ecpfs", got["latency-p999"] / 1e3)
    slowest("idle")
    command = [s.run.program("bench/calls"), s.ecpd.tcp, "set", "--rate", "20000", "--count", str(10**9), "--keys",
               str(s.keys), "--clients", "10"]
    with subprocess.Popen(pinned(command, None), stdout=subprocess.DEVNULL) as load:
        try:
            slowest("under 20,000 sets/s")
        finally:
            load.terminate()


def measure(run):
    table = Table()
    sides = Sides(run, table)
    for _ in range(min(run.repeats, 3)):
        reads(sides, run.size)
        writes(sides, run.size)
    for _ in range(run.repeats):
        under_load(sides, run.size(40000, 5000))
    sides.ecpd.stop()
    durable(run, table, run.size(50000, 5000))
    table.aim("get, in cache", "ecpfs", 3e6)
    for what in ("set, durable, 50 clients", "set, 50 clients, 64 in a batch, one key",
                 "set, 50 clients, 64 in a batch, random keys"):
        table.aim(what, "Redis", 1)
    table.aim("get p99.9, under 20,000 sets/s", "ecpfs", 5 * table.median("get p99.9, idle", "ecpfs"))
    table.remark("Redis: append-only file, appendfsync everysec, ecpd durability interval=1000; durable: "
                 "appendfsync always, durability commit")
    return table


def draw(path, table, subtitle):
    return plot.bars(path, table, "Calls", subtitle)
