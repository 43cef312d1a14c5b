# SPDX-License-Identifier: Apache-2.0
"""Everyday tools over one tree: a mount over loopback, beside sshfs over loopback, and ext4 itself."""
import os
import subprocess
import time

from lib import plot
from lib.peers import Sshd
from lib.process import Failed, drop_caches
from lib.servers import Ecpd, ecpfs
from lib.table import Table
from lib.tree import write_zwr

TITLE = "tools over a tree; cold: a new mount (ext4: caches dropped), warm: once more, again: a third time"
# (name, command in the tree, what its output must be the same as: lines in any order, or not looked at)
READERS = [("find", "find . -type f", True), ("ls -lR", "ls -lR . | wc -l", True), ("grep -r", "grep -r 7 .", True),
           ("tar c", "tar -cf - . | wc -c", False)]


class Side:
    """name; `tree` is the directory that holds T; remount() forgets what was read."""

    def __init__(self, name, mount, served):
        self.name, self.make, self.served, self.mount = name, mount, served, None
        self.remount()

    def remount(self):
        if not self.make:
            drop_caches()
            self.tree = self.served
            return
        if self.mount:
            self.mount.unmount()
        self.mount = self.make()
        self.tree = self.mount.point


def timed(command, directory, out):
    begun = time.monotonic()
    with open(out, "wb") as file:
        done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], cwd=directory, stdout=file,
                              stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    seconds = time.monotonic() - begun
    if done.returncode:
        raise Failed(f"{command} in {directory}: status {done.returncode}: {done.stderr.decode()[:300]}")
    return seconds


def same_lines(run, out, expected):
    command = f"LC_ALL=C sort '{out}' | cmp - '{expected}'"
    if subprocess.run(command, shell=True, capture_output=True).returncode:
        raise Failed(f"a tool found other things than on ext4: {out}")


def read(run, table, side):
    for name, command, compared in READERS:
        out, expected = run.path("out"), run.path("expected." + name.split()[0])
        side.remount()
        table.add(f"{name}, cold", "s", side.name, timed(command, side.tree + "/T", out))
        if side.name != "sshfs" or name == "find":  # its data are not kept: warm is as cold, and takes as long
            table.add(f"{name}, warm", "s", side.name, timed(command, side.tree + "/T", out))
            table.add(f"{name}, again", "s", side.name, timed(command, side.tree + "/T", out))
        if compared and not os.path.exists(expected):
            subprocess.run(f"LC_ALL=C sort '{out}' >'{expected}'", shell=True, check=True)
        if compared:
            same_lines(run, out, expected)


def write(run, table, side, tmpfs):
    source, out = os.path.join(tmpfs, "source"), os.path.join(tmpfs, "out")
    side.remount()
    table.add("cp -r out, cold", "s", side.name, timed(f"cp -r T {out}", side.tree, "/dev/null"))
    if subprocess.run(["diff", "-r", out, source], stdout=subprocess.DEVNULL).returncode:
        raise Failed(f"cp -r from {side.name} makes another tree")
    subprocess.run(["rm", "-rf", out], check=True)
    table.add("cp -r in", "s", side.name, timed(f"cp -r {source} CP", side.tree, "/dev/null"))
    copy = (side.served or side.tree) + "/CP"
    if subprocess.run(["diff", "-r", copy, source], stdout=subprocess.DEVNULL).returncode:
        raise Failed(f"cp -r to {side.name} makes another tree")
    one = f"CP/{sorted(os.listdir(copy))[0]}"
    table.add("1,000 saves of a file", "s", side.name, timed(
        f'one=$(find {one} -type f | head -n 1); for i in $(seq 1000); do echo "edit $i" >CP/.save && mv CP/.save '
        '"$one"; done', side.tree, "/dev/null"))
    table.add("sed -i, 1,000 files", "s", side.name, timed(
        'find CP -type f | sort >/tmp/$$.list; sed -n 1,1000p /tmp/$$.list | xargs -d "\\n" sed -i s/e/E/; rm /tmp/$$.list',
        side.tree, "/dev/null"))
    table.add("rm -r", "s", side.name, timed("rm -r CP", side.tree, "/dev/null"))


def measure(run):
    table = Table()
    nodes = run.size(100000, 5000)
    tmpfs = run.tmpfs()
    write_zwr(run.path("tree.zwr"), nodes)
    # As ext4 does: in memory at once, on the disk a little later.
    ecpd = Ecpd(run, run.path("data"), durability="interval=1000", acknowledge="applied")
    ecpd.ecp("import", "--quiet", run.path("tree.zwr"))
    local = run.path("local")
    os.mkdir(local)
    ours = Side("ecpfs", lambda: ecpfs(run, ecpd.url(tcp=True)), None)
    for copy in (local + "/T", tmpfs + "/source"):
        subprocess.run(["cp", "-r", ours.tree + "/T", copy], check=True)
    sides = [ours, Side("ext4", None, local)]
    sshd = run.peer(table, lambda: Sshd(run))
    if sshd:
        sides.insert(1, Side("sshfs", lambda: sshd.mount(local), local))
    for repeat in range(min(run.repeats, 2)):
        for side in sides:
            if side.name == "sshfs" and repeat:
                continue  # takes minutes, and so long that chance has no part in it
            read(run, table, side)
            write(run, table, side, tmpfs)
    for name, command, _ in READERS:
        if name != "ls -lR":
            table.aim(f"{name}, cold", "sshfs", 5)
    table.aim("find, warm", "ext4", 0.5)
    table.aim("grep -r, warm", "ext4", 0.25)
    table.remark(f"{nodes} nodes; the tools' outputs and the copies were the same on all sides")
    return table


def draw(path, table, subtitle):
    return plot.bars(path, table, "Tools over a tree", subtitle)
