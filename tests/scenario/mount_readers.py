# SPDX-License-Identifier: Apache-2.0
"""Processes that read the same quiet files of a mount at the same time, and one that opens them to write: whoever
comes second to what the kernel has pages of looks its name up once more, and nobody is told of it.

usage: mount_readers.py DIRECTORY READERS SECONDS
"""
import os
import sys
import time

directory, readers, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
paths = [os.path.join(directory, name) for name in sorted(os.listdir(directory))]
until = time.monotonic() + seconds


def read(path):
    with open(path, "rb") as file:
        file.read()


def open_to_write(path):
    os.close(os.open(path, os.O_RDWR))


def child(work):
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        while time.monotonic() < until:
            for path in paths:
                work(path)
        status = 0
    except OSError as error:
        print(error)
    finally:
        sys.stdout.flush()
        os._exit(status)


children = [child(read) for _ in range(readers)] + [child(open_to_write)]
if any([os.waitpid(pid, 0)[1] for pid in children]):
    sys.exit("who reads or writes is told of what is between ecpfs and the kernel")
