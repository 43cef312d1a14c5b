# SPDX-License-Identifier: Apache-2.0
"""One update of what many sessions cache, until all have answered; memory that they cost the server."""
from lib import plot
from lib.servers import Ecpd
from lib.table import Table

TITLE = "an update of what N sessions cache; all sessions in one process"
PAGES = 200


def measure(run):
    table = Table("holders")
    for holders in run.size([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], [1, 10, 100]):
        for _ in range(min(run.repeats, 2)):
            ecpd = Ecpd(run, run.path("data" + run.number()), durability="none", acknowledge="applied")
            got = ecpd.load("fanout_load", ecpd.pid, "--holders", holders, "--pages", PAGES, "--rounds",
                            run.size(100, 20), core=run.load_core)
            ecpd.stop()
            for what, name in (("last holder reached", "reached"), ("update applied", "applied")):
                for p in ("p50", "p99"):
                    table.add(f"{what}, {p}", "us", "ecpfs", got[f"{name}-{p}"] / 1e3, holders)
            if holders >= 100:
                table.add("server's memory for a session", "bytes", "ecpfs", got["session-memory"], holders)
                table.add("server's memory for a leased page", "bytes", "ecpfs", got["page-memory"], holders)
    return table


def draw(path, table, subtitle):
    return plot.lines(path, table, "One update of what N sessions cache. " + subtitle, [
        ("microseconds", True, [
            ("update applied, p50", "ecpfs", "applied: all have answered, p50"),
            ("update applied, p99", "ecpfs", "the same, p99"),
            ("last holder reached, p50", "ecpfs", "the last one was told, p50")])])
