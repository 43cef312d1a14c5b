#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two mounts that cache: what one has done is what the other shows, at once and not a moment later.
LIMIT=240
. "$(dirname "$0")/lib.sh"
need_fuse
command -v python3 >/dev/null || skip "no python3"

# So long that nothing here can be seen because time went by.
start_ecpd --lease 300
mount_ecpfs a
a=$mnt a_pid=$mount_pid
mount_ecpfs b
b=$mnt b_pid=$mount_pid

# warm PATH...: everything about them is in the caches of b.
warm() {
    local i
    for i in 1 2; do
        stat "$@" && ls -l "$@" && cat "$@"
    done >/dev/null 2>&1
}
mtime() { stat -c %y "$1"; }

mkdir "$a/D" && printf one >"$a/D/f" && printf other >"$a/D/g" || fail "files"
warm "$b/D/f" "$b/D/g" "$b/D"

# A value.
printf 'twotwo' >"$a/D/f"
assert_eq 6 "$(stat -c %s "$b/D/f")" "stat of a changed value"
assert_eq twotwo "$(cat "$b/D/f")" "cat of a changed value"
printf x >"$a/D/f"
assert_eq x "$(cat "$b/D/f")" "cat of a shorter value"
assert_eq 1 "$(stat -c %s "$b/D/f")" "stat of a shorter value"
ecp set '^D("f")' 'by ecp' || fail "ecp set"
assert_eq 'by ecp' "$(cat "$a/D/f")" "a change by ecp"
assert_eq 'by ecp' "$(cat "$b/D/f")" "a change by ecp"

# Making a file asks for no attributes of what is above it.
requests() { sed -n 's/^requests //p' "$a/.ecp/stats"; }
mkdir "$a/COUNT" && cd "$a/COUNT" || fail "files"
before=$(requests)
for i in $(seq 100); do printf x >"f$i"; done
cd "$dir" || fail cd
requests=$(($(requests) - before))
[ $requests -le 620 ] || fail "100 files made with $requests requests"
assert_eq 100 "$(ls "$b/COUNT" | wc -l)" "made"

# A value of the same length, again and again; through a handle that stays open, too.
exec 5<"$b/D/f"
python3 - "$a/D/f" "$b/D/f" <<'END' || fail "an old value was read"
import os, sys
held = os.open(sys.argv[2], os.O_RDONLY)
for i in range(300):
    value = b"%06d" % i
    with open(sys.argv[1], "wb") as f:
        f.write(value)
    for seen in (os.pread(held, 100, 0), open(sys.argv[2], "rb").read()):
        if seen != value:
            sys.exit("%s instead of %s" % (seen, value))
    if os.fstat(held).st_size != 6:
        sys.exit("size")
END
tests=$((tests + 1))
assert_eq 000299 "$(cat <&5)" "a handle opened before"
exec 5<&-

# Listings, names that come, names that go, and a directory's time with them.
before=$(mtime "$b/D")
ls "$b/D" >/dev/null
stat "$b/D/new" 2>/dev/null && fail "there already"
printf n >"$a/D/new"
assert_eq n "$(cat "$b/D/new")" "a name that was missing"
assert_eq 'f g new' "$(ls "$b/D" | paste -sd ' ')" "a listing after a name came"
[ "$(mtime "$b/D")" != "$before" ] || fail "the directory's time stays although a name came"
[[ "$(mtime "$b/D")" > "$before" ]] || fail "the directory's time went back"
before=$(mtime "$b/D")
rm "$a/D/g"
assert_eq 'f new' "$(ls "$b/D" | paste -sd ' ')" "a listing after a name went"
[[ "$(mtime "$b/D")" > "$before" ]] || fail "the directory's time stays although a name went"
assert_fails "a removed name" stat "$b/D/g"
assert_fails "a removed name" cat "$b/D/g"
printf again >"$a/D/g"
assert_eq again "$(cat "$b/D/g")" "a name that came back"

# File, directory, file.
for i in 1 2 3; do
    printf leaf >"$a/SHIFT"
    warm "$b/SHIFT"
    assert_eq leaf "$(cat "$b/SHIFT")" "round $i: file"
    rm "$a/SHIFT" && mkdir "$a/SHIFT" && printf "below $i" >"$a/SHIFT/x" || fail "round $i"
    assert_eq "below $i" "$(cat "$b/SHIFT/x")" "round $i: through what was a file"
    assert_eq x "$(ls "$b/SHIFT")" "round $i: listing what was a file"
    assert_eq directory "$(stat -c %F "$b/SHIFT")" "round $i: what was a file"
    warm "$b/SHIFT" "$b/SHIFT/x"
    rm -r "$a/SHIFT" && printf leaf >"$a/SHIFT" || fail "round $i"
    assert_fails "round $i: through what was a directory" cat "$b/SHIFT/x"
    assert_eq leaf "$(cat "$b/SHIFT")" "round $i: what was a directory"
    rm "$a/SHIFT"
    assert_fails "round $i: removed" stat "$b/SHIFT"
done
# A leaf that gets a child.
printf own >"$a/LEAF"
warm "$b/LEAF"
ecp set '^LEAF(1)' child || fail "ecp set"
assert_eq child "$(cat "$b/LEAF/1")" "a child of what was a leaf"
assert_eq own "$(cat "$b/LEAF/.value")" "the value of what was a leaf"
assert_eq '.value 1' "$(ls -A "$b/LEAF" | paste -sd ' ')" "listing what was a leaf"

# Subtrees that move and go.
mkdir -p "$a/M/one/two" && printf deep >"$a/M/one/two/f" || fail "files"
warm "$b/M/one/two/f" "$b/M/one/two" "$b/M/one" "$b/M"
mv "$a/M/one" "$a/M/ONE" || fail mv
assert_fails "the old path" cat "$b/M/one/two/f"
assert_eq deep "$(cat "$b/M/ONE/two/f")" "the new path"
assert_eq ONE "$(ls "$b/M")" "listing after a move"
warm "$b/M/ONE/two/f" "$b/M/ONE/two" "$b/M/ONE"
ecp kill '^M("ONE")' || fail kill
assert_fails "a killed subtree" cat "$b/M/ONE/two/f"
assert_fails "a killed subtree" ls "$b/M/ONE/two"
assert_eq '' "$(ls "$b/M" 2>/dev/null)" "listing after a kill"

# A replacement by rename, as editors do it.
for i in $(seq 50); do
    printf '%s' "$i" >"$a/D/.tmp" && mv "$a/D/.tmp" "$a/D/f" || fail "rename over"
    assert_eq "$i" "$(cat "$b/D/f")" "replaced by rename"
done

# Many first look-ups on b while a rewrites the same files: an answer on its way into b's kernel
# must not outlive the change. After a's last write, b shows it.
mkdir "$a/FIRST" || fail mkdir
for round in $(seq 12); do
    python3 - "$a/FIRST" "$b/FIRST" "$round" <<'END' || fail "round $round of first look-ups"
import os, sys, threading
a, b, round = sys.argv[1], sys.argv[2], int(sys.argv[3])
names = ["r%d.%d" % (round, i) for i in range(40)]
def write(name, value):
    with open(os.path.join(a, name), "w") as f:
        f.write(value)
for name in names:
    write(name, "first")
start = threading.Barrier(9)
def look(k):
    start.wait()
    for name in names[k::2] + names:
        try:
            os.stat(os.path.join(b, name))
            if k % 3 == 0:
                os.listdir(b)
        except FileNotFoundError:
            pass
threads = [threading.Thread(target=look, args=(k,)) for k in range(8)]
for t in threads:
    t.start()
start.wait()
for n in range(3):
    for name in names:
        write(name, "the last of all"[:5 + 5 * n])
wrong = [name for name in names if os.stat(os.path.join(b, name)).st_size != 15]
for t in threads:
    t.join()
wrong += [name for name in names if open(os.path.join(b, name)).read() != "the last of all"]
if wrong:
    sys.exit("old: " + " ".join(wrong))
END
    tests=$((tests + 1))
done

# The same, forced: who opens first gets no processor to take the answer in, until the file was
# rewritten. The write waits for b's kernel, or the handle would be left with the old attributes.
python3 - "$a/FIRST" "$b" "$dir/written" <<'END' || fail "an answer outlived the change that it met"
import os, signal, sys, time
a, b, written = sys.argv[1:]
def figure(name):
    with open(b + "/.ecp/stats") as f:
        return dict(line.split() for line in f)[name]
def child(work):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = work()
        finally:
            os._exit(status)
    return pid
def burn():
    os.sched_setaffinity(0, {cpu})
    end = time.monotonic() + 100
    while time.monotonic() < end:
        pass
def look():
    os.sched_setaffinity(0, {cpu})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    held = os.open("slow%d" % i, os.O_RDONLY, dir_fd=first)
    deadline = time.monotonic() + 30
    while not os.path.exists(written + str(i)) and time.monotonic() < deadline:
        pass
    return os.fstat(held).st_size != 15
cpu = min(os.sched_getaffinity(0))
burner = child(burn)
first = os.open(b + "/FIRST", os.O_RDONLY) # nothing else is to be looked up then
old = 0
for i in range(8):
    path = "%s/FIRST/slow%d" % (b, i)
    with open("%s/slow%d" % (a, i), "w") as f:
        f.write("first")
    before = figure("inodes")
    looker = child(look)
    deadline = time.monotonic() + 20
    while figure("inodes") == before and time.monotonic() < deadline:
        pass
    with open("%s/slow%d" % (a, i), "w") as f:
        f.write("the last of all")
    open(written + str(i), "w").close()
    old += os.waitpid(looker, 0)[1] != 0
    old += os.stat(path).st_size != 15
os.kill(burner, signal.SIGKILL)
os.waitpid(burner, 0)
sys.exit("%d old answers" % old if old else 0)
END
tests=$((tests + 1))

# Handles that were opened while all was quiet, writers of both mounts, and looks through handles
# opened apart: each read is one value, never a mixture, never filled up with NULs, and a log never
# grows shorter.
mkdir "$a/HELD" || fail mkdir
timeout 120 python3 - "$a" "$b" <<'END' || fail "reads beside writes"
import os, random, sys, time
mounts, names = sys.argv[1:], ("log", "value")
def path(mount, name):
    return os.path.join(mount, "HELD", name)
def figure(mount):
    with open(mount + "/.ecp/stats") as f:
        return int(dict(line.split() for line in f)["requests"])
def cached(mount, name):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        handle = os.open(path(mount, name), os.O_RDONLY)
        before = figure(mount)
        for i in range(50):
            os.pread(handle, 100, 0)
        if figure(mount) - before < 25:
            return handle
        os.close(handle)
        time.sleep(0.1)
    sys.exit("not cached")
def wrong(name, value):
    if b"\0" in value:
        return "NULs"
    if name == "log":
        return value[-1:] != b"\n" and "half a line"
    length, _, rest = value.partition(b":")
    return value and int(length or -1) != len(rest) and "half a value"
def read(mount, name, handle, end):
    last, count = 0, 0
    while time.monotonic() < end:
        value = os.pread(handle, 1 << 20, 0)
        what = wrong(name, value) or (name == "log" and len(value) < last and "shorter")
        if what:
            print("%s: %s, %d bytes: %r" % (name, what, len(value), value[:20]), flush=True)
            return 1
        last, count = len(value), count + 1
    return count == 0
def look(mount, name, handle, end):
    while time.monotonic() < end:
        os.fstat(handle)
        os.lseek(handle, 0, os.SEEK_END)
        os.stat(path(mount, name))
def write(mount, name, end):
    while time.monotonic() < end:
        n = random.randrange(9000)
        flags = os.O_APPEND if name == "log" else os.O_TRUNC
        handle = os.open(path(mount, name), os.O_WRONLY | flags)
        os.write(handle, b"%d:" % n + b"x" * n if name == "value" else b"x" * (n % 40) + b"\n")
        os.close(handle)
for name in names:
    with open(path(mounts[0], name), "wb") as f:
        f.write(b"0:\n" if name == "log" else b"0:")
handles = [(m, n, cached(m, n)) for m in mounts for n in names]
others = [(m, n, os.open(path(m, n), os.O_RDONLY)) for m, n, _ in handles]
end, pids = time.monotonic() + 5, []
for work in ([(read, h) for h in handles] + [(look, h) for h in others] +
             [(write, h[:2]) for h in handles]):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = work[0](*work[1], end)
        finally:
            os._exit(status or 0)
    pids.append(pid)
sys.exit(any([os.waitpid(pid, 0)[1] for pid in pids]))
END
tests=$((tests + 1))

# What was written and not closed is not shown to others before it is applied, and then to all.
exec 3>"$a/D/open" || fail open
echo hi >&3
assert_eq hi "$(cat "$a/D/open")" "by another process of the same mount"
assert_eq hi "$(cat "$b/D/open")" "then also by the other mount"
echo there >&3
assert_eq 9 "$(stat -c %s "$a/D/open")" "its size"
assert_eq 9 "$(stat -c %s "$b/D/open")" "then also by the other mount"
exec 3>&-
# What is sent early so is no reason to mix what follows into the value of others.
exec 3>"$a/D/open" || fail open
assert_eq '' "$(cat "$a/D/open")" "truncated, not written yet"
echo 'the value of the other mount' >"$b/D/open" || fail "write by b"
echo hi >&3
exec 3>&-
assert_eq hi "$(cat "$b/D/open")" "written after another's value"
# What leads to a handle that reads through the page cache, without a name.
at_rest() { [ $(($(date +%s) - $(stat -c %Y "$1"))) -gt 3 ]; }
wait_until 10 at_rest "$b/D/open" || fail "it does not come to rest"
assert_eq hi "$(cat /dev/stdin <"$b/D/open")" "a descriptor opened again"
python3 - "$a/D/both" <<'END' || fail "own writes through one handle"
import os, sys
f = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
for i in range(20):
    value = b"%d" % 10**i
    os.pwrite(f, value, 0)
    if os.pread(f, 100, 0) != value or os.fstat(f).st_size != len(value):
        sys.exit("not what was written")
END
tests=$((tests + 1))
assert_eq 10000000000000000000 "$(cat "$b/D/both")" "what was written through one handle"

# Both write and read one file, in turns.
for i in $(seq 100); do
    printf 'a%s' "$i" >"$a/D/turns" || fail "write by a"
    assert_eq "a$i" "$(cat "$b/D/turns")" "a's turn"
    printf 'b%s' "$i" >"$b/D/turns" || fail "write by b"
    assert_eq "b$i" "$(cat "$a/D/turns")" "b's turn"
done

# An exclusive open makes its file once, also when another mount removes that before open returns.
# The kernel looks at what it made where it compares modes.
mount_ecpfs c $([ "$(id -u)" -ne 0 ] || echo -o allow_other)
c=$mnt c_pid=$mount_pid
timeout 100 python3 - "$c/D/once" "$b/D/once" <<'END' || fail "O_EXCL made a file that nobody was told of"
import multiprocessing, os, sys, time

def remover(path, stop, removed):
    while not stop.is_set():
        try:
            os.unlink(path)
            removed.value += 1
        except OSError:
            pass

path, there = sys.argv[1:]
stop, removed = multiprocessing.Event(), multiprocessing.Value("q", 0)
process = multiprocessing.Process(target=remover, args=(there, stop, removed))
process.start()
made, end = 0, time.monotonic() + 90
while made < 3000 and time.monotonic() < end:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        made += 1
    except OSError:
        pass
stop.set()
process.join()
left = os.path.exists(path)
print("made", made, "removed", removed.value, "left", left)
sys.exit(made != removed.value + left or made < 100)
END

unmount_ecpfs a "$a_pid"
unmount_ecpfs b "$b_pid"
unmount_ecpfs c "$c_pid"
stop_ecpd
