#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TCP between a client and a server, with faults on command.

usage: proxy.py SERVER-PORT [FRAMES]
FRAMES is a file that gets a line for each frame: client's port, "up" or "down", type.
Prints the port it listens on, then obeys lines on standard input and answers each with "ok":
  pass        bytes go through (as in the beginning)
  drop        bytes are held back, connections stay open, new ones are accepted; later in order
  delay MS    bytes go through this much later
  reset       every connection is reset
  half        what the server says is held back, what clients say goes through
  refuse      every connection is reset, and new ones as soon as they come
"""
import heapq
import itertools
import selectors
import socket
import struct
import sys
import time


class Side:
    """One direction of a connection: what was read from `source` goes to `target`."""

    def __init__(self, source, target, to_server):
        self.source, self.target, self.to_server = source, target, to_server
        self.held = bytearray()
        self.other = None
        self.partial = bytearray()
        client = source if to_server else target
        self.label = f"{client.getpeername()[1]} {'up' if to_server else 'down'}"

    def frames(self, data):
        """The lines of those that are whole now."""
        self.partial += data
        lines = ""
        while len(self.partial) >= 24:
            length, kind = struct.unpack_from("<IH", self.partial)
            if len(self.partial) < 24 + length:
                break
            del self.partial[: 24 + length]
            lines += f"{self.label} {kind}\n"
        return lines


class Proxy:
    def __init__(self, server_port, frames):
        self.log = frames and open(frames, "a", buffering=1)
        self.server = ("127.0.0.1", server_port)
        self.mode, self.delay = "pass", 0.0
        self.events = selectors.DefaultSelector()
        self.sides = {}
        self.later = []
        self.order = itertools.count()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.events.register(self.listener, selectors.EVENT_READ, self.accept)
        self.events.register(sys.stdin, selectors.EVENT_READ, self.command)
        print(self.listener.getsockname()[1], flush=True)

    def accept(self, _):
        client, _ = self.listener.accept()
        if self.mode == "refuse":
            self.reset(client)
            return
        try:
            server = socket.create_connection(self.server)
        except OSError:
            self.reset(client)
            return
        there, back = Side(client, server, True), Side(server, client, False)
        there.other, back.other = back, there
        for side in (there, back):
            side.source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sides[side.source] = side
            self.events.register(side.source, selectors.EVENT_READ, self.readable)

    @staticmethod
    def reset(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def close(self, side):
        for sock in (side.source, side.target):
            if self.sides.pop(sock, None):
                self.events.unregister(sock)
                self.reset(sock)

    def readable(self, sock):
        side = self.sides.get(sock)
        if not side:
            return
        try:
            data = sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.close(side)
        elif self.mode == "drop" or (self.mode == "half" and not side.to_server):
            side.held += data
        elif self.delay:
            heapq.heappush(self.later, (time.monotonic() + self.delay, next(self.order), side, data))
        else:
            self.send(side, data)

    def send(self, side, data):
        if side.source not in self.sides:
            return
        try:
            if self.log:
                self.log.write(side.frames(data))
            side.target.sendall(data)
        except OSError:
            self.close(side)

    def command(self, _):
        line = sys.stdin.readline()
        if not line:
            sys.exit(0)
        words = line.split()
        self.mode = words[0]
        self.delay = float(words[1]) / 1000 if self.mode == "delay" else 0.0
        if self.mode in ("reset", "refuse"):
            for side in list(self.sides.values()):
                self.close(side)
        if self.mode in ("pass", "delay"):
            for side in list(self.sides.values()):
                held, side.held = bytes(side.held), bytearray()
                if held:
                    self.send(side, held)
        print("ok", flush=True)

    def run(self):
        while True:
            wait = max(0.0, self.later[0][0] - time.monotonic()) if self.later else None
            for key, _ in self.events.select(wait):
                key.data(key.fileobj)
            while self.later and self.later[0][0] <= time.monotonic():
                _, _, side, data = heapq.heappop(self.later)
                self.send(side, data)


Proxy(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None).run()
