# SPDX-License-Identifier: Apache-2.0
"""GT.M (package fis-gtm): a database of its own, used in place or through a GT.CM server."""
import glob
import os
import re

from lib.process import Failed, Missing, end_by_pid, free_port, numbers, pinned, run_command, wait_until


def distribution():
    found = sorted(glob.glob("/usr/lib/*/fis-gtm/*/mumps") + glob.glob("/usr/lib/fis-gtm/*/mumps"))
    if not found:
        raise Missing("no GT.M: install fis-gtm")
    return os.path.dirname(found[-1])


class Gtm:
    """As it is installed: no journal, 1024 global buffers (BUFFERS=N for other numbers)."""

    def __init__(self, run, where, core=None):
        self.run, self.core, self.dist = run, core, distribution()
        self.where = os.path.join(where, "gtm" + run.number())
        os.makedirs(self.where)
        self.data = os.path.join(self.where, "g.dat")
        self.local = self.environment("local", self.data)
        self.create()
        run.at_end(lambda: self.mupip("rundown", "-file", self.data, ok=range(256)))

    def environment(self, name, file):
        env = {k: v for k, v in os.environ.items() if not k.startswith("gtm")}
        env.update(gtm_dist=self.dist, gtmroutines=f"{self.where} {self.dist}/libgtmutil.so {self.dist}",
                   gtmgbldir=os.path.join(self.where, f"{name}.gld"), gtm_tmp=self.where, gtm_log=self.where, LC_ALL="C")
        script = os.path.join(self.where, f"{name}.gde")
        with open(script, "w") as gde:
            buffers = "" if ":" in file else f" -allocation=100000 -global_buffer={os.environ.get('BUFFERS', '1024')}"
            gde.write(f"change -segment DEFAULT -file=\"{file}\"{buffers}\n"
                      "change -region DEFAULT -key_size=1019 -record_size=2048 -null_subscripts=always -stdnull\n"
                      "exit\n")
        with open(script) as gde:
            run_command([f"{self.dist}/mumps", "-run", "GDE"], env=env, stdin=gde)
        return env

    def create(self):
        """An empty database, in the place of the one before."""
        if os.path.exists(self.data):
            self.mupip("rundown", "-file", self.data)
            os.unlink(self.data)
        self.mupip("create")

    def mupip(self, *words, ok=(0,), core=None):
        return run_command([f"{self.dist}/mupip", *words], env=self.local, ok=ok, cwd=self.where, core=core)

    def server(self):
        """Starts GT.CM's server for the database; its port."""
        port = free_port()
        log = os.path.join(self.where, "gnp.log")
        run_command(pinned([f"{self.dist}/gtcm_gnp_server", f"-log={log}", f"-service={port}"], self.core),
                    env=self.local, cwd=self.where)

        def pid():
            with open(log, errors="replace") as text:
                found = re.findall(r"gtcm_gnp_server.*\[pid : (\d+)\]", text.read())
            return int(found[-1]) if found else None
        wait_until("GT.CM's server has started", lambda: os.path.exists(log) and pid())
        self.run.at_end(lambda: end_by_pid(pid()))
        return port

    def client(self, port):
        """The environment in which globals are those of the server at the port."""
        env = self.environment(f"client{port}", f"gtcmhost:{self.data}")
        env["GTCM_gtcmhost"] = f"127.0.0.1:{port}"  # of "localhost" it makes no network
        return env

    def routine(self, name, lines, env=None, core=None):
        """Runs M code; "NAME NUMBER" lines that it writes."""
        with open(os.path.join(self.where, f"{name}.m"), "w") as file:
            file.write(f"{name}\n" + "".join(f" {line}\n" for line in lines) + " quit\n")
        return numbers(run_command([f"{self.dist}/mumps", "-run", name], core, env=env or self.local, cwd=self.where))

    def loop(self, name, count, body, before="", env=None, core=None):
        """Rate of an M command done `count` times, with i from 1."""
        got = self.routine(name, ["new i,t,x,k", *([before] if before else []), "set t=$zut",
                                  f"for i=1:1:{count} {body}", f'write "rate ",{count}*1000000\\($zut-t),!'], env, core)
        if "rate" not in got:
            raise Failed(f"GT.M's {name} came to no end")
        return got["rate"]
