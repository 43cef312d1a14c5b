#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Locks through files of mounts: flock, fcntl, .lock, .locks; exclusion, order, loss.
LIMIT=300
. "$(dirname "$0")/lib.sh"
need_fuse
command -v flock >/dev/null || skip "no flock(1)"
command -v python3 >/dev/null || skip "no python3"

start_ecpd --listen "unix:$dir/socket" --recovery 2
tcp=$URL
socket="ecp+unix://$dir/socket?namespace=USER"
for name in a b c d; do
    [ $name = b ] && URL=$socket || URL=$tcp
    mount_ecpfs $name
    pid_of[$(printf %d "'$name")]=$mount_pid
done
a=$dir/mnt/a b=$dir/mnt/b
b_pid=${pid_of[98]}
run() { python3 "$scenario_dir/locks_mount.py" "$@"; }
waiting() { [ "$(ecp stats | sed -n 's/^locks_waiting //p')" = "$1" ]; }
stat_of() { sed -n "s/^$2 //p" "$1/.ecp/stats"; }
mkdir "$a/G" "$a/F"

# ---- flock(1) behaves as on a local file system: the same script, also across two mounts.
mkdir "$dir/local"
flock_script() { # FILE SAME-FILE: what each command answers
    local f=$1 g=$2
    flock -n "$f" true; echo "free $?"
    flock -n -x "$f" flock -n -x "$g" true; echo "exclusive beside exclusive $?"
    flock -n -x "$f" flock -n -s "$g" true; echo "shared beside exclusive $?"
    flock -n -s "$f" flock -n -s "$g" true; echo "shared beside shared $?"
    flock -n -s "$f" flock -n -x "$g" true; echo "exclusive beside shared $?"
    flock -x "$f" flock -w 0.1 "$g" true; echo "time limit $?"
    flock -x "$f" flock -E 42 -n "$g" true; echo "its own status $?"
    flock -x "$f" sh -c 'exit 5'; echo "of the command $?"
    flock -o "$f" sh -c "flock -n '$g' true"; echo "not inherited, still held $?"
    (
        flock -n 9; echo "descriptor $?"
        flock -n "$g" true; echo "held by descriptor $?"
        flock -s 9; flock -n -s "$g" true; echo "downgraded $?"
        flock -n -x "$g" true; echo "exclusive beside downgraded $?"
        flock -x 9; flock -n -s "$g" true; echo "upgraded $?"
        flock -u 9; flock -n "$g" true; echo "unlocked $?"
        flock -n 9
    ) 9>"$f"
    flock -w 10 "$g" true; echo "closed $?"
    exec 8>"$f" 7>&8
    flock -n 8; exec 8>&-
    flock -n "$g" true; echo "a copy is open $?"
    exec 7>&-
    flock -w 10 "$g" true; echo "no copy is open $?"
    (
        flock -s 9 && exec 8<"$g" && flock -n -s 8; echo "read-only descriptors $?"
        flock -n -x 8; echo "conversion $?"
    ) 9<"$f"
    flock -w 10 "$g" true; echo "at the end $?"
}
touch "$dir/local/f" "$a/F/f"
flock_script "$dir/local/f" "$dir/local/f" >"$dir/expected"
for pair in a:a:F/f a:b:F/f a:b:F/.lock b:c:F/.lock 'a:b:.locks/^X("1 2")' b:b:F/.dotfile; do
    file=${pair#*:*:}
    flock_script "$dir/mnt/${pair%%:*}/$file" "$dir/mnt/${pair:2:1}/$file" >"$dir/out" 2>"$dir/err"
    same "$dir/expected" "$dir/out" || fail "flock on $pair: $(diff "$dir/expected" "$dir/out") $(cat "$dir/err")"
    tests=$((tests + 1))
done

# Byte ranges, whole-file locks and their ends.
printf 'some text, longer than the ranges' | tee "$dir/local/f" >"$a/F/f"
run ranges "$dir/local/f" "$dir/local/f" >"$dir/expected"
for pair in "$a $a" "$a $b" "$b $a"; do
    run ranges "${pair% *}/F/f" "${pair#* }/F/f" >"$dir/out" 2>"$dir/err"
    same "$dir/expected" "$dir/out" || fail "ranges: $(diff "$dir/expected" "$dir/out") $(cat "$dir/err")"
    tests=$((tests + 1))
done
assert_eq "False False True" "$(run inherited "$a/F/f" "$b/F/f" | xargs)" "inherited locks"

# Who has had ranges is forgotten with the file's last owner: the mount keeps its locks again.
local=$(stat_of "$b" locks_local)
assert_eq "0 0 0 0 0" "$(run after_ranges "$b/F/f" | xargs)" "locks after ranges"
assert_eq $((local + 1)) "$(stat_of "$b" locks_local)" "locks had without the server after ranges"

# A directory's .lock is for the whole subtree; fcntl and flock meet.
flock -x "$a/F/.lock" flock -n "$b/F/f" true
assert_eq 1 $? "a file below a locked directory"
flock -x "$a/F/f" flock -n "$b/F/.lock" true
assert_eq 1 $? "a directory above a locked file"
flock -x "$a/F/f" flock -n "$b/G/.lock" true
assert_eq 0 $? "another directory"

# ---- The virtual files.
assert_eq "" "$(ls -A "$a" | grep lock)" "lock files in listings"
assert_eq "f" "$(ls -A "$a/F")" "a directory's listing"
echo 12345 >"$a/F/.lock"
assert_eq 0 "$(stat -c %s "$a/F/.lock")" "size of .lock"
assert_eq "" "$(cat "$a/F/.lock")" "content of .lock"
assert_fails "removing .lock" rm "$a/F/.lock"
assert_fails "a directory in .locks" mkdir "$a/.locks/^X"
for name in 'X' '^X(' '^X(01)' '^X("1")' '^X(1)(2)'; do
    [ -e "$a/.locks/$name" ] && fail "$name is no reference in one spelling"
done
mkfifo "$dir/go"
flock "$a/.locks/^JOB(\"a%2Fb\")" sh -c "read line <'$dir/go'" &
holder=$!
listed() { [ -n "$(ls "$1/.locks")" ]; }
wait_until 20 listed "$b" || fail "no lock is listed"
assert_eq '^JOB("a%2Fb")' "$(ls "$b/.locks")" "the listing of locks"
flock "$b/.locks/^JOB(\"a%2Fb\")" true &
waiter=$!
wait_until 20 waiting 1 || fail "no waiter"
cat "$b"/.locks/^JOB* >"$dir/out"
grep -Eq "^held +exclusive 20..-..-..T..:..:..Z +1  \^JOB\(\"a/b\"\)  $(uname -n) [0-9]+ flock$" "$dir/out" ||
    fail "no holder: $(cat "$dir/out")"
grep -Eq "^waits +exclusive .* $(uname -n) $waiter flock$" "$dir/out" || fail "no waiter: $(cat "$dir/out")"
assert_eq 1 "$(stat_of "$b" locks_waiting)" "waiting on the mount"
echo >"$dir/go"
wait $holder $waiter
assert_eq 0 $? "the waiter got it"

# ---- Waiters that are killed or interrupted leave no trace.
flock "$a/F/f" sh -c "read line <'$dir/go'" &
holder=$!
held() { ! flock -n "$b/F/f" true; }
wait_until 20 held || fail "not locked"
assert_eq "interrupted interrupted" "$(run interrupted "$b/F/f" | xargs)" "an interrupted wait"
for mount in "$a" "$b"; do
    flock "$mount/F/f" true &
    waiter=$!
    wait_until 20 waiting 1 || fail "no waiter"
    kill -9 $waiter
    wait_until 20 waiting 0 || fail "the waiter that was killed is still there"
    wait_until 20 gone $waiter || fail "the waiter does not end"
done
echo >"$dir/go"
wait $holder
assert_ok "free" flock -n "$b/F/f" true

# ---- Opposite order.
touch "$a/F/g"
run opposite "$a/F/f" "$a/F/g" "$dir/one" "$dir/two" >"$dir/out.1" &
first=$!
run opposite "$b/F/g" "$b/F/f" "$dir/two" "$dir/one" >"$dir/out.2"
wait $first
assert_eq "EDEADLK locked" "$(cat "$dir/out.1" "$dir/out.2" | sort | xargs)" "opposite order by fcntl"
rm "$dir/one" "$dir/two"
# By flock: it waits, and the listing tells, also where each lock has a process of its own.
nested() { # FIRST SECOND MINE OTHER
    flock "$1" sh -c "touch '$3'; until [ -e '$4' ]; do sleep 0.05; done; exec flock '$2' true"
}
descriptors() {
    (
        flock 9 && touch "$3"
        sh -c "until [ -e '$4' ]; do sleep 0.05; done; exec flock 8"
    ) 9>"$1" 8>"$2"
}
program() { run nested "$@"; }
marked() { # COUNT WHERE...
    local count=$1
    shift
    [ "$("$@" | grep -c '^deadlock ') $("$@" | grep -c '^held ')" = "$count 2" ]
}
for kind in nested descriptors program; do
    $kind "$a/F/f" "$a/F/g" "$dir/one" "$dir/two" &
    first=$!
    $kind "$b/F/g" "$b/F/f" "$dir/two" "$dir/one" &
    second=$!
    wait_until 20 marked 2 cat "$a/.locks/^F" || fail "$kind: no deadlock: $(cat "$a/.locks/^F")"
    wait_until 20 marked 2 ecp locks || fail "$kind: no deadlock: $(ecp locks)"
    kill "$(sed -n 's/^deadlock .*\^F("g")  [^ ]* \([0-9]*\) .*/\1/p' "$a/.locks/^F")"
    wait $second
    assert_eq 0 $? "$kind: the other one goes on"
    wait $first
    rm "$dir/one" "$dir/two"
done
# Threads of a process that wait for one of them are in no circle.
run threads "$a/F/f" "$dir/one" "$dir/two" &
first=$!
two_wait() { [ "$(cut -d' ' -f1 "$a/.locks/^F" | sort | xargs)" = "held waits waits" ]; }
wait_until 20 two_wait || fail "threads: $(cat "$a/.locks/^F")"
touch "$dir/two"
wait $first
assert_eq 0 $? "threads take turns"

# ---- A handle that has lost its lock.
printf old >"$a/F/f"
run losing "$a/F/f" "$dir/ready" "$dir/lost" >"$dir/out" &
loser=$!
wait_until 20 test -e "$dir/ready" || fail "not locked"
ecp unlock --force '^F("f")' >/dev/null
printf new >"$b/F/f"
flock_lost() { [ "$(stat_of "$a" locks_lost)" = 1 ]; }
wait_until 20 flock_lost || fail "the loss is not told"
touch "$dir/lost"
wait $loser
assert_eq "EIO EIO EIO EIO EIO EIO new" "$(xargs <"$dir/out")" "a lost lock"

# A mount that is killed: its locks are free at once over a unix socket, after the window over TCP.
flock -F "$b/F/f" sleep 100 &
holder=$!
held() { ! flock -n "$a/F/f" true; }
wait_until 20 held || fail "not locked"
kill -9 "$b_pid"
assert_ok "free at once" flock -w 20 "$a/F/f" true
flock -F "$dir/mnt/c/F/f" sleep 100 &
holder="$holder $!"
wait_until 20 held || fail "not locked"
kill -9 "${pid_of[99]}"
assert_fails "within the window" flock -n "$a/F/f" true
assert_ok "after the window" flock -w 20 "$a/F/f" true
kill $holder

# A server that is away for longer than the window: who held locks has lost them, who waits still does.
rm -f "$dir/ready" "$dir/lost"
run losing "$a/F/f" "$dir/ready" "$dir/lost" >"$dir/out" &
loser=$!
wait_until 20 test -e "$dir/ready" || fail "not locked"
head -c 5000 /dev/zero | tr '\0' o >"$dir/mnt/d/F/large" # no value that comes along with its name
run late "$a/F/large" "$dir/ready.late" "$dir/gone" "$dir/writing" >"$dir/out.late" &
late=$!
wait_until 20 test -e "$dir/ready.late" || fail "not locked"
flock "$dir/mnt/d/F/f" true &
waiter=$!
wait_until 20 waiting 1 || fail "no waiter"
ecpd_port=$port
stop_ecpd
touch "$dir/gone"
wait_until 20 test -e "$dir/writing" || fail "nobody writes"
lost_again() { [ "$(stat_of "$a" locks_lost)" = 3 ]; }
wait_until 20 lost_again || fail "the loss is not told"
start_ecpd --recovery 2
touch "$dir/lost"
wait $waiter
assert_eq 0 $? "who waited got the lock"
wait $loser
assert_eq "EIO EIO EIO EIO EIO EIO new" "$(xargs <"$dir/out")" "locks of an ended session"
wait $late
assert_eq "EIO oooo" "$(xargs <"$dir/out.late")" "what was to be written under a lock that was lost meanwhile"
