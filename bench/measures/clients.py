# SPDX-License-Identifier: Apache-2.0
"""Reads of the same 1,000 nodes as clients grow in number: from their caches, or by asking."""
from lib import plot
from lib.peers import Redis
from lib.servers import Ecpd
from lib.table import Table

TITLE = "reads as clients grow in number; all clients in one process on one core"
KEYS = 1000


def measure(run):
    table = Table("clients")
    ecpd = Ecpd(run, run.path("data"))
    redis = run.peer(table, lambda: Redis(run, run.path("redis")))
    ecpd.calls("fill", count=KEYS, batch=1000)
    if redis:
        redis.command_line("DEBUG", "POPULATE", str(KEYS), "key", "50")
    kinds = (("cached", "cached", 0), ("asked", "asked", 0), ("cached, 10 updates/s", "cached", 10))
    for clients in run.size([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000], [1, 10, 100]):
        for _ in range(min(run.repeats, 2)):
            for name, mode, rate in kinds:
                got = ecpd.load("clients", mode, ecpd.pid, "--clients", clients, "--keys", KEYS, "--rate", rate,
                                "--milliseconds", run.size(1000, 500), core=run.load_core)
                table.add(f"reads, {name}", "/s", "ecpfs", got["reads"], clients)
                table.add(f"server CPU, {name}", "%", "ecpfs", 100 * got["server-cpu"], clients)
                table.add(f"messages with the server, {name}", "1/s", "ecpfs", got["messages"], clients)
                if name == "cached":
                    table.add("memory of a client", "bytes", "ecpfs", got["client-memory"], clients)
                    table.add("memory of the server", "bytes", "ecpfs", got["server-memory"], clients)
            if redis:
                rate = redis.benchmark("get", run.size(50000, 10000), clients, keys=KEYS, core=run.load_core)["rate"]
                table.add("reads, asked", "/s", "Redis", rate, clients)
    return table


def draw(path, table, subtitle):
    return plot.lines(path, table, "1,000 nodes read by ever more clients. " + subtitle, [
        ("reads per second, all clients", True, [
            ("reads, cached", "ecpfs", "from the clients' caches"),
            ("reads, cached, 10 updates/s", "ecpfs", "the same, 10 updates/s among them"),
            ("reads, asked", "ecpfs", "each read asks the server"), ("reads, asked", "Redis", "Redis GET")]),
        ("server's CPU, percent of a core", False, [
            ("server CPU, cached", "ecpfs", "clients' caches"),
            ("server CPU, cached, 10 updates/s", "ecpfs", "10 updates/s among them"),
            ("server CPU, asked", "ecpfs", "each read asks")]),
        ("messages per second, both ways", True, [
            ("messages with the server, cached, 10 updates/s", "ecpfs", "clients' caches, 10 updates/s among them"),
            ("messages with the server, asked", "ecpfs", "each read asks")])],
        kind=lambda what: what.partition(", ")[2])
