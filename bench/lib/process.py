# SPDX-License-Identifier: Apache-2.0
"""Processes of a measure: started pinned, waited for with a deadline, gone at its end."""
import os
import signal
import socket
import subprocess
import time


class Missing(Exception):
    """What a measure or a peer needs is not here; the text says what, and what provides it."""


class Failed(Exception):
    """Something did not do what it should; the text has its words."""


def wait_until(what, condition, seconds=30, pause=0.02):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds} s in vain: {what}")
        time.sleep(pause)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] != "Z"


def end_by_pid(pid):
    """Of a daemon that is no child of ours."""
    if alive(pid):
        os.kill(pid, signal.SIGTERM)
        wait_until(f"process {pid} ends", lambda: not alive(pid))


def pinned(command, core):
    """core: a number, or None for all of them."""
    return command if core is None else ["taskset", "-c", str(core), *command]


class Daemon:
    """A process in the background; its output is in `log`."""

    def __init__(self, run, name, command, core=None, env=None):
        self.name = name
        self.log = run.path(f"{name}.log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(pinned(command, core), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=env)
        self.pid = self.process.pid
        run.at_end(self.stop)

    def said(self):
        with open(self.log, errors="replace") as log:
            return log.read()

    def wait_until(self, what, condition, seconds=60):
        def happened():
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended: {self.said()[-500:]}")
            return condition()
        wait_until(what, happened, seconds)

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is not None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def memory(self, kind="Anon"):
        """Bytes in memory: Anon is the process's own, File is mapped and the kernel's to take back."""
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith(f"Rss{kind}:"):
                    return int(line.split()[1]) * 1024
        return 0


def run_command(command, core=None, env=None, ok=(0,), cwd=None, stdin=None):
    """Its standard output as text."""
    done = subprocess.run(pinned(command, core), stdin=stdin or subprocess.DEVNULL, capture_output=True, env=env,
                          cwd=cwd)
    if done.returncode not in ok:
        words = (done.stderr or done.stdout).decode(errors="replace")
        raise Failed(f"{' '.join(command)[:200]}: status {done.returncode}: {words[-500:]}")
    return done.stdout.decode(errors="replace")


def numbers(text):
    """Lines "NAME NUMBER" as a dictionary."""
    return {line.split()[0]: float(line.split()[1]) for line in text.splitlines() if len(line.split()) == 2}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def connects(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def mounted(point):
    with open("/proc/self/mounts") as mounts:
        return any(line.split()[1] == point for line in mounts)


def unmount(point):
    if mounted(point):
        subprocess.run(["umount", point], stderr=subprocess.DEVNULL)
    if mounted(point):
        subprocess.run(["umount", "-l", point], check=False)


def drop_caches():
    """The machine's file systems forget what they have read."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3\n")
