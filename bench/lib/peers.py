# SPDX-License-Identifier: Apache-2.0
"""Peers from Debian packages: libfuse's passthrough_ll, sshfs, Redis. Missing is raised when one is not here."""
import getpass
import os
import shutil
import subprocess

from lib.process import Daemon, Missing, connects, free_port, run_command
from lib.servers import Mount


def need(program, package):
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if not path:
        raise Missing(f"no {program}: install {package}")
    return path


# ---- passthrough_ll


def passthrough_program(run):
    """Compiles the example once in a run; PASSTHROUGH names another source."""
    source = os.environ.get("PASSTHROUGH", "/usr/share/doc/libfuse3-dev/examples/passthrough_ll.c")
    if not os.path.exists(source):
        raise Missing(f"no {source}: install libfuse3-dev, or set PASSTHROUGH")
    program = run.path("passthrough_ll.program")
    if not os.path.exists(program):
        flags = run_command([need("pkg-config", "pkg-config"), "--cflags", "--libs", "fuse3"]).split()
        run_command([need("cc", "gcc"), "-O2", "-I", os.path.dirname(source), "-o", program, source, *flags])
    return program


def passthrough(run, source, options="cache=always", core=None):
    return Mount(run, "passthrough_ll", [passthrough_program(run), "-f", "-o", f"source={source},{options}", None],
                 core)


# ---- sshfs


class Sshd:
    """A server of our own on a high port of 127.0.0.1, with keys made for it."""

    def __init__(self, run, core=None):
        self.run, self.port = run, free_port()
        program = need("sshd", "openssh-server")
        need("sshfs", "sshfs")
        name = "sshd" + run.number()
        self.key = {key: run.path(f"{name}.{key}") for key in ("host", "user")}
        for path in self.key.values():
            run_command([need("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-f", path])
        if os.geteuid() == 0 and not os.path.isdir("/run/sshd"):
            os.mkdir("/run/sshd", 0o755)  # where sshd wants to separate privileges
            run.at_end(lambda: os.rmdir("/run/sshd"))
        config = run.path(name + ".conf")
        with open(config, "w") as file:
            file.write(f"""Port {self.port}
ListenAddress 127.0.0.1
HostKey {self.key['host']}
AuthorizedKeysFile {self.key['user']}.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
""")
        self.daemon = Daemon(run, name, [program, "-D", "-e", "-f", config], core)
        self.daemon.wait_until("sshd listens", lambda: connects(self.port))

    def mount(self, directory, port=None, core=None):
        """With sshfs's own defaults: names and attributes are cached for 20 s, and never recalled."""
        options = (f"IdentityFile={self.key['user']},IdentitiesOnly=yes,StrictHostKeyChecking=no,"
                   "UserKnownHostsFile=/dev/null,LogLevel=ERROR,BatchMode=yes")
        return Mount(self.run, "sshfs", ["sshfs", "-f", "-F", "/dev/null", "-p", str(port or self.port), "-o", options,
                                         f"{getpass.getuser()}@127.0.0.1:{directory}", None], core)


# ---- Redis


class Redis:
    def __init__(self, run, where, fsync="everysec", core=None):
        """fsync: "always", "everysec" or "no" of its append-only file."""
        self.run, self.port, self.core = run, free_port(), core
        self.name = "redis" + run.number()
        need("redis-benchmark", "redis-tools")
        os.makedirs(where, exist_ok=True)
        self.command = [need("redis-server", "redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--dir",
                        where, "--save", "", "--appendonly", "yes", "--appendfsync", fsync,
                        "--enable-debug-command", "yes", "--maxclients", "4096"]
        self.start()

    def start(self):
        self.daemon = Daemon(self.run, self.name, self.command, self.core)
        self.daemon.wait_until("redis answers", lambda: self.answers("PING", "PONG"), 600)

    def answers(self, command, words):
        done = subprocess.run(["redis-cli", "-p", str(self.port), *command.split()], capture_output=True, text=True)
        return done.stdout.strip() == words

    def command_line(self, *words):
        return run_command(["redis-cli", "-p", str(self.port), *words])

    def benchmark(self, test, count, clients=50, pipeline=1, keys=None, core=None):
        """Requests per second, and p50 in ns."""
        command = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(self.port), "-t", test, "-n", str(count), "-c",
                   str(clients), "-P", str(pipeline), "-d", "50", "--csv", *(["-r", str(keys)] if keys else [])]
        columns = run_command(command, core).strip().splitlines()[-1].replace('"', "").split(",")
        return {"rate": float(columns[1]), "p50": float(columns[4]) * 1e6, "p99": float(columns[6]) * 1e6}
