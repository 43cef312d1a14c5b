# SPDX-License-Identifier: Apache-2.0
"""Our own side: a data server, and mounts."""
import os
import re
import signal

from lib.process import Daemon, mounted, numbers, run_command, unmount, wait_until


class Ecpd:
    """A server with one database; a unix socket and a TCP port. `where` is a directory's path."""

    def __init__(self, run, where, durability="commit", acknowledge="durable", memory="64M", core=None):
        self.run, self.core = run, core
        self.where, self.name = where, "ecpd" + run.number()
        self.socket = run.path(f"{self.name}.socket")
        self.config = run.path(f"{self.name}.conf")
        os.makedirs(where, exist_ok=True)
        with open(self.config, "w") as file:
            file.write(f'''listen = {{"unix:{self.socket}", "127.0.0.1:0"}}
max-sessions = 4096
database MAIN {{
    directory = "main"
    durability = "{durability}"
    acknowledge = "{acknowledge}"
    memory = "{memory}"
}}
namespace USER {{ database = "MAIN" }}
''')
        self.start()

    def start(self):
        self.daemon = Daemon(self.run, self.name, [self.run.program("ecpd"), "--data", self.where, "--config",
                                                   self.config, "--foreground"], self.core)
        self.pid = self.daemon.pid
        # The address that is logged last.
        self.daemon.wait_until("ecpd listens", lambda: self.port_logged() and os.path.exists(self.socket), 600)
        self.port = self.port_logged()
        self.address = f"unix:{self.socket}"
        self.tcp = f"127.0.0.1:{self.port}"

    def port_logged(self):
        found = re.search(r"listening on 127\.0\.0\.1:(\d+)", self.daemon.said())
        return int(found[1]) if found else None

    def url(self, tcp=False):
        return f"ecp://{self.tcp}/USER" if tcp else f"ecp+unix://{self.socket}"

    def stop(self):
        self.daemon.stop()

    def crash(self):
        self.daemon.stop(signal.SIGKILL)

    def ecp(self, *arguments, **options):
        return run_command([self.run.program("ecp"), "-s", self.url(), *arguments], **options)

    def disk_bytes(self, beginning=""):
        """Of the database's files whose names begin so."""
        main = os.path.join(self.where, "main")
        return sum(os.stat(os.path.join(main, f)).st_blocks * 512 for f in os.listdir(main) if f.startswith(beginning))

    def load(self, program, *arguments, core=None, tcp=True):
        """Runs one of the load programs; its "NAME NUMBER" lines."""
        return numbers(run_command([self.run.program("bench/" + program), self.tcp if tcp else self.address,
                                    *map(str, arguments)], core))

    def calls(self, operation, core=None, tcp=True, **options):
        words = [w for name, value in options.items() for w in (f"--{name}", value)]
        return self.load("calls", operation, *words, core=core, tcp=tcp)


class Mount:
    """A mount point and the process in the foreground behind it."""

    def __init__(self, run, side, command, core=None, env=None):
        """command: what comes before the mount point, a list with None in its place."""
        self.point = run.path(f"{side}{run.number()}")
        os.mkdir(self.point)
        run.at_end(lambda: os.path.isdir(self.point) and os.rmdir(self.point))
        command = [self.point if word is None else word for word in command]
        self.daemon = Daemon(run, os.path.basename(self.point), command, core, env)
        run.at_end(self.unmount)
        self.daemon.wait_until(f"{side} is mounted", lambda: mounted(self.point))

    def unmount(self):
        unmount(self.point)
        wait_until(f"{self.point} is unmounted", lambda: not mounted(self.point))
        self.daemon.stop()


def ecpfs(run, url, *options, core=None):
    return Mount(run, "ecpfs", [run.program("ecpfs"), url, None, "-f", *options], core)
