# SPDX-License-Identifier: Apache-2.0
"""Misbehaving clients against an ecpd on 127.0.0.1: bad_clients.py PORT COUNT

Frame header: u32 payload length, u16 type, u16 flags, u64 request id, u64 checksum; little-endian
(see PROTOCOL, "Frames").
"""
import random
import socket
import struct
import sys
import threading
import time

PORT, COUNT = int(sys.argv[1]), int(sys.argv[2])
HELLO, READ = 1, 16


def connect():
    s = socket.create_connection(("127.0.0.1", PORT), timeout=10)
    s.settimeout(10)
    return s


def header(length, kind, request, checksum=0):
    return struct.pack("<IHHQQ", length, kind, 0, request, checksum)


def until_closed(s):
    """Reads until the server hangs up or nothing comes for a while."""
    try:
        while s.recv(65536):
            pass
    except OSError:
        pass
    s.close()


def garbage(rng):
    s = connect()
    s.sendall(rng.randbytes(rng.randrange(1, 20000)))
    until_closed(s)


def other_protocol(rng):
    s = connect()
    s.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    until_closed(s)


def oversized(rng):
    s = connect()
    s.sendall(header(0xFFFFFFFF, HELLO, 1))
    s.sendall(b"x" * 100000)
    until_closed(s)


def large_greeting(rng):
    s = connect()
    s.sendall(header(5000, HELLO, 1) + b"x" * 5000)
    until_closed(s)


def wrong_checksum(rng):
    s = connect()
    s.sendall(header(32, HELLO, 1, rng.getrandbits(64)) + rng.randbytes(32))
    until_closed(s)


def no_greeting(rng):
    s = connect()
    s.sendall(header(0, READ, 7))
    until_closed(s)


def silence(rng):
    s = connect()
    time.sleep(30)
    s.close()


def half_header(rng):
    s = connect()
    s.sendall(header(100, HELLO, 1)[: rng.randrange(1, 24)])
    time.sleep(30)
    s.close()


def trickle(rng):
    s = connect()
    for byte in header(4000, HELLO, 1) + b"y" * 200:
        s.sendall(bytes([byte]))
        time.sleep(0.1)
    s.close()


def never_reading(rng):
    """Sends for as long as the server takes it, and reads nothing of what it answers."""
    s = connect()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    s.settimeout(20)
    while True:
        s.sendall(header(0, 4, 1) * 1000)


def reset(rng):
    s = connect()
    s.sendall(header(64, HELLO, 1))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


KINDS = [garbage, other_protocol, oversized, large_greeting, wrong_checksum, no_greeting, silence,
         half_header, trickle, never_reading, reset]


def run(number):
    rng = random.Random(number)
    deadline = time.monotonic() + 60
    kind = KINDS[number % len(KINDS)]
    while time.monotonic() < deadline:
        try:
            kind(rng)
        except OSError:
            pass
        time.sleep(0.02)


threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(COUNT)]
for thread in threads:
    thread.start()
print("ready", flush=True)
for thread in threads:
    thread.join()
