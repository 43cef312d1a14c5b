#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What was read once is not asked for again while nobody writes; a walk asks seldom.
LIMIT=180
. "$(dirname "$0")/lib.sh"
need_fuse
command -v python3 >/dev/null || skip "no python3"

# A lease so long that no keepalive comes between.
start_ecpd --lease 300
awk 'BEGIN { print "x"; print "15-DEC-2026 03:05:00 ZWR"
    for (i = 1; i <= 400; i++) for (j = 1; j <= 10; j++) printf "^TREE(%d,%d)=\"%d\"\n", i, j, i * j
    for (i = 1; i <= 300; i++) printf "^FLAT(%d)=\"value %d\"\n", i, i
    printf "^BIG=\""; for (i = 0; i < 3000; i++) printf "0123456789"; print "\"" }' >"$dir/all.zwr"
assert_ok import ecp import "$dir/all.zwr"
mount_ecpfs a

figure() { sed -n "s/^$1 //p" "$mnt/.ecp/stats"; }
# free WHAT COMMAND...: done twice, the second time without a message to the server.
free_when_warm() {
    local what=$1 before after
    shift
    "$@" >"$dir/first" 2>&1
    before=$(figure round_trips)
    "$@" >"$dir/second" 2>&1
    after=$(figure round_trips)
    assert_eq 0 $((after - before)) "$what: round trips when warm"
    cmp -s "$dir/first" "$dir/second" || fail "$what: another answer from memory"
}
free_when_warm "stat" stat "$mnt/FLAT/7" "$mnt/TREE/3" "$mnt/BIG"
free_when_warm "ls" ls "$mnt"
free_when_warm "ls -l" ls -l "$mnt/FLAT"
free_when_warm "cat" cat "$mnt/FLAT/7" "$mnt/TREE/3/4"
free_when_warm "cat of a large value" cat "$mnt/BIG"
free_when_warm "all of a directory" cat "$mnt"/FLAT/{1..300}
free_when_warm "missing" stat "$mnt/FLAT/missing" "$mnt/MISSING" "$mnt/TREE/3/4x"
free_when_warm "find" find "$mnt/TREE" -type f -size +0
free_when_warm "grep -r" grep -rc 7 "$mnt/TREE"
free_when_warm "the statistics" ls "$mnt/.ecp"
value=$(cat "$mnt/FLAT/7")
assert_eq 'value 7' "$value" "a value from memory"
assert_eq 30000 "$(cat "$mnt/BIG" | wc -c)" "a large value from memory"

# The kernel's own caches answer what they can.
stat "$mnt/FLAT/9" >/dev/null
before=$(figure requests)
for i in 1 2 3 4 5 6 7 8 9 10; do [ -f "$mnt/FLAT/9" ] || fail "not there"; done
grown=$(($(figure requests) - before))
[ $grown -lt 10 ] || fail "ten looks at a file made $grown requests"

# A file that nobody writes is read from the page cache: by a handle, and when it is opened again. A
# change ends that, and so does a handle that may write.
cat >"$dir/pages.py" <<'END'
import mmap, os, subprocess, sys, time
path, stats, reference = sys.argv[1:]
def figure():
    with open(stats) as f:
        return int(dict(line.split() for line in f)["requests"])
def asked(what):
    before = figure()
    for i in range(50):
        what()
    return figure() - before
def until_cached():
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        handle = os.open(path, os.O_RDONLY)
        os.pread(handle, 9000, 0)
        if asked(lambda: os.pread(handle, 9000, 0)) < 25:
            return handle
        os.close(handle)
        time.sleep(0.1)
    sys.exit("a file that nobody writes is not cached")
def expect(value):
    seen = os.pread(handle, 9000, 0)
    if seen != value:
        sys.exit("%r instead of %r" % (seen, value))
    with open(path, "rb") as f:
        if f.read() != value:
            sys.exit("another value for another handle")
    if os.fstat(handle).st_size != len(value):
        sys.exit("another size")
handle = until_cached()
expect(b"value 7")
with mmap.mmap(handle, 0, prot=mmap.PROT_READ) as shared:
    if shared[:] != b"value 7":
        sys.exit("mapped")
subprocess.run(["ecp", "set", reference, "changed elsewhere"], check=True)
expect(b"changed elsewhere")
os.close(handle)
handle = until_cached()
for value in b"x", b"longer than before, by far", b"":
    with open(path, "wb") as f:
        f.write(value)
    expect(value)
with open(path, "ab") as f:
    for i in range(1, 30):
        f.write(b"line\n")
        f.flush()
        expect(b"line\n" * i)
os.close(handle)
handle = until_cached()
os.truncate(path, 3)
expect(b"lin")
os.close(handle)
handle = until_cached()
os.unlink(path)
if os.pread(handle, 9000, 0) != b"lin" or os.fstat(handle).st_size != 3:
    sys.exit("a removed file keeps its bytes for its handle")
END
assert_ok "the page cache" python3 "$dir/pages.py" "$mnt/FLAT/7" "$mnt/.ecp/stats" '^FLAT(7)'
printf 'value 7' >"$mnt/FLAT/7" || fail "write"

# Others that read the same at the same time, or write, notice nothing of that.
assert_ok "several readers" python3 "$scenario_dir/mount_readers.py" "$mnt/FLAT" 4 4

# fsync(2) asks the server for its disk, also when there is nothing to send.
before=$(figure round_trips)
python3 -c 'import os, sys
for path in sys.argv[1:]:
    f = os.open(path, os.O_RDONLY)
    os.fsync(f)
    os.close(f)' "$mnt/FLAT/7" "$mnt/FLAT" || fail "fsync"
[ $(($(figure round_trips) - before)) -ge 2 ] || fail "fsync does not reach the server"

# A first walk: far fewer questions than directories.
mount_ecpfs fresh
before=$(figure round_trips)
assert_eq 4000 "$(find "$mnt/TREE" -type f | wc -l)" "find"
trips=$(($(figure round_trips) - before))
echo "find over 400 directories: $trips round trips"
[ $trips -lt 40 ] || fail "find over 400 directories took $trips round trips"
before=$(figure round_trips)
assert_eq 4000 "$(find "$mnt/TREE" -type f -exec cat {} + | wc -c | awk '{ print ($1 > 4000) * 4000 }')" \
    "find and cat"
trips=$(($(figure round_trips) - before))
echo "and reading 4000 files: $trips round trips"
[ $trips -lt 40 ] || fail "reading 4000 files of a tree that was walked took $trips round trips"

# What is written here is seen here, and what else is known stays known.
printf new >"$mnt/FLAT/7" || fail "write"
assert_eq new "$(cat "$mnt/FLAT/7")" "after an own write"
free_when_warm "after an own write" cat "$mnt/FLAT/7" "$mnt/FLAT/8"

# A bound on memory that is kept, and nothing but slower.
mount_ecpfs small -o cache_size=64K
assert_eq 4000 "$(find "$mnt/TREE" -type f | wc -l)" "find with a small cache"
[ "$(figure cache_bytes)" -le 65536 ] || fail "the cache is over its bound"
assert_fails "a size that is none" timeout 20 ecpfs "$URL" "$mnt" -o cache_size=many
assert_said 'not a size'

# The statistics can be read while the server is away.
kill -STOP "$ecpd_pid"
assert_ok "statistics of a stopped server" timeout 20 cat "$mnt/.ecp/stats"
kill -CONT "$ecpd_pid"
kill -9 "$ecpd_pid"
wait "$ecpd_pid" 2>/dev/null
assert_ok "statistics without a server" timeout 20 cat "$mnt/.ecp/stats"
