# SPDX-License-Identifier: Apache-2.0
"""The same work over a longer way: a proxy adds to each round trip. What the cache is worth."""
import os
import subprocess
import time

from lib import plot
from lib.gtm import Gtm
from lib.peers import Sshd
from lib.process import Daemon, Failed, numbers, run_command
from lib.servers import Ecpd, ecpfs
from lib.table import Table
from lib.tree import write_zwr

TITLE = "over a proxy that makes each round trip longer"
ROUND_TRIPS = [0, 1, 10]  # ms


def proxy(run, port, ms):
    """Half of it each way; the port to use instead."""
    daemon = Daemon(run, "delay" + run.number(), [run.program("bench/delay"), str(port), str(ms * 500)])
    daemon.wait_until("the proxy listens", lambda: daemon.said().strip().isdigit())
    return int(daemon.said())


def timed(command, directory):
    begun = time.monotonic()
    done = subprocess.run(["bash", "-c", command], cwd=directory, capture_output=True)
    if done.returncode:
        raise Failed(f"{command}: {done.stderr.decode()[:300]}")
    return time.monotonic() - begun


def files(table, side, make, ms, nodes, create):
    """A first look at all, a second one, and new files."""
    mount = make()
    tree = os.path.join(mount.point, "T")
    for what in ("cold", "warm"):
        seconds = timed("grep -r 7 . | wc -l", tree)
        table.add(f"grep -r, {what}", "files/s", side, nodes / seconds, ms)
    begun = time.monotonic()
    for i in range(create):
        with open(f"{tree}/new{i}", "w") as file:
            file.write("some text")
    table.add("create+write+close", "files/s", side, create / (time.monotonic() - begun), ms)
    for i in range(create):
        os.unlink(f"{tree}/new{i}")
    mount.unmount()


def ours(run, table, ecpd, ms, nodes, create):
    port = proxy(run, ecpd.port, ms)
    address, url = f"127.0.0.1:{port}", f"ecp://127.0.0.1:{port}/USER"
    got = numbers(run_command([run.program("bench/calls"), address, "get", "--count", str(create), "--keys", "1000"]))
    table.add("round trip of a get", "us", "ecpfs", got["latency-p50"] / 1e3, ms)
    table.add("get, asked", "/s", "ecpfs", got["rate"], ms)
    got = numbers(run_command([run.program("bench/clients"), address, "cached", str(ecpd.pid), "--milliseconds", "500"],
                              run.load_core))
    table.add("get, cached", "/s", "ecpfs", got["reads"], ms)
    files(table, "ecpfs", lambda: ecpfs(run, url), ms, nodes, create)
    mount = ecpfs(run, url)
    with open(mount.point + "/T/lock", "w") as file:
        file.write("x")
    got = numbers(run_command([run.program("bench/locks"), "pairs", mount.point + "/T/lock", str(create)]))
    table.add("lock+unlock", "/s", "ecpfs", 1e9 / got["pair"], ms)
    os.unlink(mount.point + "/T/lock")
    mount.unmount()


def theirs(run, table, gtm, server, ms, count):
    env = gtm.client(proxy(run, server, ms))
    table.add("get, asked", "/s", "GT.CM", gtm.loop("get", count, "set x=^K(1)", "set ^K(1)=1", env), ms)
    table.add("lock+unlock", "/s", "GT.CM", gtm.loop("pairs", count, "lock +^A(1) lock -^A(1)", env=env), ms)


def measure(run):
    table = Table("ms added to a round trip")
    nodes, create = run.size((1000, 200), (200, 50))
    write_zwr(run.path("tree.zwr"), nodes)
    ecpd = Ecpd(run, run.path("data"), durability="interval=1000", acknowledge="applied")
    ecpd.ecp("import", "--quiet", run.path("tree.zwr"))
    ecpd.calls("fill", count=1000, batch=1000)
    os.mkdir(run.path("local"))
    mount = ecpfs(run, ecpd.url())
    subprocess.run(["cp", "-r", mount.point + "/T", run.path("local/T")], check=True)
    mount.unmount()
    sshd = run.peer(table, lambda: Sshd(run))
    gtm = run.peer(table, lambda: Gtm(run, run.dir))
    server = gtm and gtm.server()
    for ms in ROUND_TRIPS:
        for _ in range(min(run.repeats, 2)):
            ours(run, table, ecpd, ms, nodes, create)
            if sshd:
                port = proxy(run, sshd.port, ms)
                files(table, "sshfs", lambda: sshd.mount(run.path("local"), port), ms, nodes, create)
            if gtm:
                theirs(run, table, gtm, server, ms, create)
    return table


def draw(path, table, subtitle):
    return plot.lines(path, table, "The same work over a longer way. " + subtitle, [
        ("files per second", True, [
            ("grep -r, warm", "ecpfs", "grep -r, warm"), ("grep -r, cold", "ecpfs", "grep -r, cold"),
            ("create+write+close", "ecpfs", "create"), ("grep -r, warm", "sshfs", "grep -r, warm, sshfs"),
            ("grep -r, cold", "sshfs", "grep -r, cold, sshfs"), ("create+write+close", "sshfs", "create, sshfs")]),
        ("per second", True, [
            ("get, cached", "ecpfs", "get, cached"), ("get, asked", "ecpfs", "get, asked"),
            ("lock+unlock", "ecpfs", "lock+unlock"), ("get, asked", "GT.CM", "get, GT.CM"),
            ("lock+unlock", "GT.CM", "lock+unlock, GT.CM")])], zero=0.1)
