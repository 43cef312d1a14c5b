#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Listings that the kernel keeps: they save requests, are never older than what has happened, and a
# reader in the middle of one goes on where it was.
LIMIT=180
. "$(dirname "$0")/lib.sh"
need_fuse
command -v python3 >/dev/null || skip "no python3"

# A lease so long that nothing runs out meanwhile.
start_ecpd --lease 300
awk 'BEGIN { print "x"; print "15-DEC-2026 03:05:00 ZWR"
    for (i = 1; i <= 400; i++) for (j = 1; j <= 10; j++) printf "^TREE(%d,%d)=\"%d\"\n", i, j, i * j
    for (i = 1; i <= 20; i++) printf "^SHORT(\"name %02d\")=\"x\"\n", i }' >"$dir/all.zwr"
assert_ok import ecp import "$dir/all.zwr"
mount_ecpfs b
b=$mnt
mount_ecpfs a
a=$mnt

figure() { sed -n "s/^$1 //p" "$a/.ecp/stats"; }

# Each directory is opened and released, and not read; unless the machine was short of memory.
spared() {
    local before grown
    find "$a/TREE" -type f >/dev/null
    before=$(figure requests)
    assert_eq 4000 "$(find "$a/TREE" -type f | wc -l)" find
    grown=$(($(figure requests) - before))
    [ $grown -lt 1100 ]
}
# Older kernels keep no names (DESIGN), and so listings are read for them.
if [ "$(printf '%s\n' 6.16 "$(uname -r)" | sort -V | head -n 1)" = 6.16 ]; then
    wait_until 60 spared || fail "listings are read anew"

    # What was read is told again with its listing: the kernel, which has no time of access of it any
    # more, need not ask for each. (A handle that may write reads without the page cache.)
    python3 -c 'import os, sys
for top, _, names in os.walk(sys.argv[1]):
    for name in names:
        file = os.open(os.path.join(top, name), os.O_RDWR)
        os.read(file, 100)
        os.close(file)' "$a/TREE" || fail "read"
    before=$(figure requests)
    assert_eq 4000 "$(find "$a/TREE" -type f -newermt 2000-01-01 | wc -l)" "find -newermt"
    grown=$(($(figure requests) - before))
    [ $grown -lt 2500 ] || fail "a look at 4000 files that were read took $grown requests"
fi

# What others and this mount change is seen by the next listing, also while others list.
cat >"$dir/seen.py" <<'END_PYTHON'
import os, subprocess, sys, threading
a, b = sys.argv[1:]
stop, wrong = threading.Event(), []
def lister():
    while not stop.is_set():
        seen = os.listdir(a + "/TREE/1")
        if len(set(seen)) != len(seen) or not {str(i) for i in range(1, 11)} <= set(seen):
            wrong.append(seen)
listers = [threading.Thread(target=lister) for i in range(3)]
for thread in listers:
    thread.start()
def done(status=None):
    stop.set()
    for thread in listers:
        thread.join()
    sys.exit(status or wrong and f"seen by others: {wrong[0]}" or 0)
def expect(what, *names):
    for mount in a, b, a:
        seen = sorted(os.listdir(mount + "/TREE/1"))
        if seen != sorted([str(i) for i in range(1, 11)] + list(names)):
            done(f"{what}: {mount} lists {seen}")
for i in range(100):
    for one, other in (a, b), (b, a):
        name, moved = f"{one}/TREE/1/new", f"{other}/TREE/1/moved"
        expect("before")
        with open(name, "w") as file:
            file.write("x")
        expect("written", "new")
        os.rename(f"{other}/TREE/1/new", moved)
        expect("renamed", "moved")
        os.mkdir(name)
        expect("made", "moved", "new")
        os.rmdir(f"{other}/TREE/1/new")
        expect("removed", "moved")
        os.unlink(moved)
    if i % 10 == 0:
        subprocess.run(["ecp", "set", '^TREE(1,"cli")', "x"], check=True)
        expect("set", "cli")
        subprocess.run(["ecp", "kill", '^TREE(1,"cli")'], check=True)
with open(f"{a}/TREE/1/.scratch", "w"):
    if ".scratch" not in os.listdir(f"{a}/TREE/1"):
        done("a scratch file is not listed")
os.unlink(f"{a}/TREE/1/.scratch")
expect("at the end")
done()
END_PYTHON
assert_ok "changes are listed" timeout 120 python3 "$dir/seen.py" "$a" "$b"

# What was not sent, and is dropped with a lock that is lost, goes from a kept listing, too: no
# operation tells the kernel so. (What was sent meanwhile, for it lay for a second, stays.)
mkdir "$a/DROP" && : >"$a/DROP/locked" || fail "files"
cat >"$dir/drop.py" <<'END_PYTHON'
import fcntl, os, subprocess, sys, time
top = sys.argv[1] + "/DROP"
def fails(what, handle):
    try:
        what(handle)
    except OSError:
        return True
    return False
for i in range(20):
    # Begun now: a process that begins later would close its copies of the handles, and so send.
    thief = subprocess.Popen(["sh", "-c", "read go && ecp unlock -f '^DROP(\"locked\")'"],
                             stdin=subprocess.PIPE)
    lock = os.open(top + "/locked", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    unsent = os.open(top + "/unsent", os.O_CREAT | os.O_WRONLY)
    for j in range(3):
        seen = sorted(os.listdir(top))
    before = os.stat(top).st_mtime_ns
    thief.communicate(b"go\n")
    deadline = time.monotonic() + 10
    while not fails(lambda handle: fcntl.flock(handle, fcntl.LOCK_EX), lock) and time.monotonic() < deadline:
        pass
    left, after = sorted(os.listdir(top)), os.stat(top).st_mtime_ns
    os.close(lock)
    if fails(os.close, unsent):
        break
    os.unlink(top + "/unsent")
else:
    sys.exit("nothing was dropped")
if seen != ["locked", "unsent"] or left != ["locked"]:
    sys.exit(f"listed {left} after {seen}")
if after <= before:
    sys.exit("the directory's time stays")
END_PYTHON
assert_ok "what was dropped" timeout 60 python3 "$dir/drop.py" "$a"

# Readers with a small buffer are in the middle when the listing changes; then nobody reads it, or
# somebody reads its beginning, or all of it.
cat >"$dir/middle.py" <<'END_PYTHON'
import ctypes, os, struct, sys
directory, elsewhere = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(200)
def some(handle):
    n = libc.syscall(217 if os.uname().machine == "x86_64" else 61, handle, buffer, len(buffer))
    if n < 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    names, at = [], 0
    while at < n:
        length, = struct.unpack_from("H", buffer, at + 16)
        names.append(buffer.raw[at + 19:at + length].split(b"\0")[0].decode())
        at += length
    return names
def rest(handle):
    names = []
    while more := some(handle):
        names += more
    return names
def opened():
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
def beginning():
    handle = opened()
    some(handle)
    os.close(handle)
kept = {".", ".."} | {f"name {i:02d}" for i in range(1, 21)}
for meanwhile in lambda: None, beginning, lambda: os.listdir(directory):
    for i in range(20):
        os.listdir(directory)
        handle = opened()
        names = some(handle)
        if len(names) > 15:
            sys.exit("a large buffer")
        for name in "a first", "name 00", "zz last":
            with open(f"{elsewhere}/{name}", "w") as file:
                file.write("x")
        meanwhile()
        names += rest(handle)
        if len(names) != len(set(names)) or not kept <= set(names):
            sys.exit(f"went on with {names}")
        os.lseek(handle, 0, os.SEEK_SET)
        if len(rest(handle)) != len(kept) + 3:
            sys.exit("not all from the beginning")
        for name in "a first", "name 00", "zz last":
            os.unlink(f"{elsewhere}/{name}")
        if rest(handle):
            sys.exit("more behind the end")
        os.close(handle)
END_PYTHON
case $(uname -m) in
x86_64 | aarch64)
    assert_ok "goes on in the middle" timeout 60 python3 "$dir/middle.py" "$a/SHORT" "$b/SHORT"
    assert_ok "goes on in the middle" timeout 60 python3 "$dir/middle.py" "$a/SHORT" "$a/SHORT"
    ;;
esac
