# SPDX-License-Identifier: Apache-2.0
"""Names through a mount, against the rules of ecpfs(7) written down here once more.

usage: mount_names.py MOUNT: makes every name by ecp and looks by the mount, then the other way.
"""
import os
import re
import subprocess
import sys

mount = os.fsencode(sys.argv[1])
checks = 0


def check(ok, *what):
    global checks
    checks += 1
    if not ok:
        sys.exit("FAIL: " + " ".join(map(repr, what)))


def canonical(s):
    """M's canonical numbers of a size that these tests use."""
    return re.fullmatch(rb"0|-?([1-9][0-9]*(\.[0-9]*[1-9])?|\.[0-9]*[1-9])", s) is not None


def hexdigit(b):
    return b"0123456789ABCDEFabcdef".find(b) >= 0 and len(b) == 1


def components(s):
    """The path components of a subscript's name."""
    if canonical(s) and re.match(rb"-?\.", s):
        return [s.replace(b".", b"0.", 1)]
    first = s[:1]
    zeroed = re.match(rb"(-?)0(\..*)$", s, re.S)
    escape_first = zeroed is not None and canonical(zeroed.group(1) + zeroed.group(2))

    def unit(i, start, continued):
        b = s[i:i + 1]
        c = b[0]
        if c < 32 or c == 127 or b == b"/" or (i == start and b == b".") or (i == 0 and escape_first):
            return b"%%%02X" % c
        if b == b"%" and (continued or i + 1 == len(s) or
                          (hexdigit(s[i + 1:i + 2]) and hexdigit(s[i + 2:i + 3]))):
            return b"%25"
        return b

    out, at = [], 0
    while True:
        last = b"".join(unit(i, at, False) for i in range(at, len(s)))
        if len(last) <= 255:
            return out + [last]
        part, start = b"", at
        while len(part) + len(unit(at, start, True)) <= 254:
            part += unit(at, start, True)
            at += 1
        out.append(part + b"%")


def zwr(s):
    """A subscript as a reference spells it."""
    if canonical(s):
        return s
    if not s.isascii() or any(c < 32 or c == 127 for c in s):
        parts = re.findall(rb"[ -~]+|[^ -~]+", s)
        return b"_".join(b'"' + p.replace(b'"', b'""') + b'"' if 32 <= p[0] < 127 else
                         b"$C(" + b",".join(b"%d" % c for c in p) + b")" for p in parts)
    return b'"' + s.replace(b'"', b'""') + b'"'


def ecp(*args, stdin=None):
    return subprocess.run((b"ecp",) + args, input=stdin, check=True, capture_output=True).stdout


def export(name):
    return sorted(ecp(b"export", b"^" + name).split(b"\n")[2:])


def walk(top):
    """Relative paths of the files below top."""
    found = []
    for entry in os.listdir(top):
        path = os.path.join(top, entry)
        if os.path.isdir(path):
            found += [os.path.join(entry, p) for p in walk(path)]
        else:
            found.append(entry)
    return found


subscripts = {bytes([c]) for c in range(1, 256)}
subscripts |= {b"a" + bytes([c]) + b"z" for c in range(1, 256)}
subscripts |= {b"12" + bytes([c]) for c in range(1, 256)}
subscripts |= {
    b".01", b"0.01", b"-.5", b"-0.5", b".5", b"0.5", b"00.5", b"0.50", b".50", b"-0", b"0", b"01",
    b"1.", b"1.0", b"1E3", b"-", b"--1", b"..", b"...", b".x", b".value", b".lock", b".ecp", b"-.",
    b"0.", b"-0.", b"%", b"%%", b"%4", b"%41", b"%4g", b"%ag", b"a%", b"%25", b"%2525", b"%zz", b"%%41",
    b"%2f", b"a/b", b"/", b"//", b"a\nb", b" ", b"  ", b"\xff\xfe", "größe".encode(), b"x\0y"}
for length in (253, 254, 255, 256, 257, 300):
    subscripts |= {b"L" * length, b"%" * length, b"\1" * (length // 3), b"\1" * (length // 3 + 1)}
    for end in (b"%", b"/", b"\1", b".", b".x"):
        for where in (250, 252, 253, 254):
            if where < length:
                subscripts.add((b"p" * where + end + b"q" * length)[:length])
subscripts |= {b"k" * 254 + b"." + b"k" * 60, b"k" * 254 + b"./" + b"." * 60}
subscripts = sorted(subscripts)
paths = {b"/".join(components(s)): s for s in subscripts}
check(len(paths) == len(subscripts), "two subscripts have one name")

# ecp makes, the mount shows.
lines = [b"x", b"15-DEC-2026 03:05:00 ZWR"]
lines += [b'^N(%s)="v%d"' % (zwr(s), i) for i, s in enumerate(subscripts)]
ecp(b"import", b"-", stdin=b"\n".join(lines) + b"\n")
top = mount + b"/N"
seen = walk(top)
check(len(seen) == len(set(seen)), "listed twice", [p for p in seen if seen.count(p) > 1][:3])
check(set(seen) == set(paths), "listed and not expected:", sorted(set(seen) - set(paths))[:5],
      "expected and not listed:", sorted(set(paths) - set(seen))[:5])
for i, s in enumerate(subscripts):
    path = os.path.join(top, b"/".join(components(s)))
    with open(path, "rb") as f:
        check(f.read() == b"v%d" % i, path, "holds another node's value")

# The mount makes, ecp shows.
os.mkdir(mount + b"/M")
for i, s in enumerate(subscripts):
    parts = components(s)
    for n in range(1, len(parts)):
        step = os.path.join(mount, b"M", *parts[:n])
        if not os.path.isdir(step):
            os.mkdir(step)
    with open(os.path.join(mount, b"M", *parts), "wb") as f:
        f.write(b"v%d" % i)
made = [line.replace(b"^M(", b"^N(", 1) for line in export(b"M")]
check(made == export(b"N"), "what the mount made differs:", sorted(set(made) ^ set(export(b"N")))[:4])
check(sorted(walk(mount + b"/M")) == sorted(paths), "what it made is not what it lists:",
      sorted(set(walk(mount + b"/M")) ^ set(paths))[:4])

# Names that the encoder does not write do not exist and cannot be made.
wrong = [b"-.5", b"%30.1x", b"%41", b"a%2fb", b"%2fx", b"%01x%", b"x%", b"%", b"a%25b", b"%25zz", b"%250", b"%7f",
         b"%0a", b"\1", b"a\nb", b"\x7f", b"%00%", b"%C3%B6", b"L" * 100 + b"%"]
ecp(b"set", b"^W(1)", b"x")
for name in wrong:
    path = os.path.join(mount, b"W", name)
    for what in (os.lstat, os.unlink, os.rmdir):
        try:
            what(path)
            check(False, name, "is there")
        except OSError as e:
            check(e.errno == 2, name, what.__name__, e)
    for what in (lambda p: os.close(os.open(p, os.O_CREAT | os.O_WRONLY)),
                 lambda p: os.close(os.open(p, os.O_CREAT | os.O_EXCL | os.O_WRONLY)), os.mkdir,
                 lambda p: os.rename(os.path.join(mount, b"W", b"1"), p)):
        try:
            what(path)
            check(False, name, "was made")
        except OSError as e:
            check(e.errno in (22, 18), name, e)
check(export(b"W") == sorted([b'^W(1)="x"', b""]), "something changed", export(b"W"))
print(checks, "checks")
