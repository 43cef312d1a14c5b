# SPDX-License-Identifier: Apache-2.0
"""Import and export of ZWR text, beside mupip load and extract."""
import os
import subprocess
import time

from lib import plot
from lib.gtm import Gtm
from lib.process import Failed, run_command
from lib.servers import Ecpd
from lib.table import Table
from lib.tree import write_zwr


TITLE = "import and export of text, each into an empty database on the disk"


def timed(function):
    start = time.monotonic()
    text = function()
    return time.monotonic() - start, text


def nodes_of(path, sorted_path):
    """Its nodes in an order of their own; a number means the same with and without quotes."""
    command = f"tail -n +3 '{path}' | sed -E 's/\"(-?[0-9.]+)\"/\\1/g' | LC_ALL=C sort >'{sorted_path}'"
    subprocess.run(command, shell=True, check=True)


def must_be_same(run, name, path):
    nodes_of(path, run.path("other"))
    if subprocess.run(["cmp", "-s", run.path("other"), run.path("sorted")]).returncode:
        raise Failed(f"{name} gives other nodes than were read")


def ours(run, table, nodes):
    ecpd = Ecpd(run, run.path("data" + run.number()))
    out = run.path("ours.zwr")
    seconds, _ = timed(lambda: ecpd.ecp("import", "--quiet", run.path("all.zwr")))
    table.add("import", "nodes/s", "ecpfs", nodes / seconds)
    seconds, _ = timed(lambda: ecpd.ecp("export", "-o", out))
    table.add("export", "nodes/s", "ecpfs", nodes / seconds)
    must_be_same(run, "ecp export", out)
    ecpd.stop()


def theirs(run, table, gtm, nodes):
    gtm.create()
    out = run.path("theirs.zwr")
    seconds, text = timed(lambda: run_command([f"{gtm.dist}/mupip", "load", "-format=zwr", run.path("all.zwr")],
                                              env=gtm.local, cwd=gtm.where))
    table.add("import", "nodes/s", "mupip", nodes / seconds)
    seconds, _ = timed(lambda: gtm.mupip("extract", "-format=zwr", out))
    table.add("export", "nodes/s", "mupip", nodes / seconds)
    must_be_same(run, "mupip extract", out)
    os.unlink(out)


def measure(run):
    table = Table()
    nodes = run.size(3300000, 200000)
    write_zwr(run.path("all.zwr"), nodes)
    nodes_of(run.path("all.zwr"), run.path("sorted"))
    gtm = run.peer(table, lambda: Gtm(run, run.dir))
    for _ in range(min(run.repeats, 3)):
        ours(run, table, nodes)
        if gtm:
            theirs(run, table, gtm, nodes)
    table.remark(f"{nodes} nodes; both dumps hold the nodes that were read")
    return table


def draw(path, table, subtitle):
    return plot.bars(path, table, "Import and export", subtitle)
