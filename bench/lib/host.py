# SPDX-License-Identifier: Apache-2.0
"""What a result depends on: machine, kernel, versions, load."""
import os
import re
import shutil
import subprocess


def first_line(path, pattern):
    with open(path) as file:
        for line in file:
            found = re.match(pattern, line)
            if found:
                return found[1].strip()
    return "?"


def load_average():
    return "%.2f" % os.getloadavg()[0]


def version(package):
    """Of a Debian package, "" when it is not installed."""
    if not shutil.which("dpkg-query"):
        return ""
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Status} ${Version}", package], capture_output=True, text=True)
    words = done.stdout.split()
    return words[-1] if words[:3] == ["install", "ok", "installed"] else ""


PACKAGES = ["libfuse3-3", "liblmdb0", "sshfs", "openssh-server", "fis-gtm", "redis-server"]


def describe(top, build):
    """Lines for the head of a table and of its CSV."""
    memory = int(first_line("/proc/meminfo", r"MemTotal: *(\d+)")) / 1048576
    commit = subprocess.run(["git", "-C", top, "describe", "--always", "--dirty"], capture_output=True, text=True)
    flags = first_line(os.path.join(build, "Makefile"), r"CFLAGS = (.*)")
    versions = [f"{name} {version(name) or 'missing'}" for name in PACKAGES]
    place = subprocess.run(["df", "--output=fstype,source", os.environ.get("TMPDIR", "/tmp")], capture_output=True,
                           text=True).stdout.split()[-2:]
    return [
        f"{os.cpu_count()} x {first_line('/proc/cpuinfo', r'model name[^:]*: *(.*)')}, {memory:.0f} GiB, "
        f"Linux {os.uname().release}, disk: {' on '.join(place)}",
        f"ecpfs {commit.stdout.strip() or '?'} ({flags})",
        ", ".join(versions),
    ]
