#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Locks from the shell: exclusion, order, time limits, nesting, deadlock, loss of a holder.
LIMIT=180
. "$(dirname "$0")/lib.sh"

start_ecpd --listen "unix:$dir/socket"
socket="ecp+unix://$dir/socket?namespace=USER"
waiting() { [ "$(ecp stats | sed -n 's/^locks_waiting //p')" = "$1" ]; }
held() { [ "$(ecp locks "$2" | grep -c '^held')" = "$1" ]; }

# Increments that read, add and write lose nothing, over TCP and the unix socket.
node_set '^N' 0
for p in 1 2 3 4 5 6; do
    [ $((p % 2)) = 1 ] && url=$URL || url=$socket
    for ((i = 0; i < 10; i++)); do
        ECP_URL=$url ecp lock '^N' -- sh -c 'ecp set ^N $(($(ecp get ^N) + 1))' || echo "failed: $?"
    done >>"$dir/failures" 2>&1 &
    workers[p]=$!
done
wait "${workers[@]}"
assert_eq '' "$(cat "$dir/failures")" "failures of ecp lock"
assert_eq 60 "$(node_get '^N')" "increments under a lock"

# Exit codes.
ecp lock '^L' -- sh -c 'exit 7'
assert_eq 7 $? "the command's status"
ecp lock '^L' -- sh -c 'kill -TERM $$'
assert_eq 143 $? "a signal's status"
ecp lock '^L' -- "$dir/nothing" 2>/dev/null
assert_eq 127 $? "no such command"
assert_fails "nothing to lock" ecp lock -- true
assert_fails "nothing to run" ecp lock '^L'
held 0 '^L' || fail "a lock is left"

# One holder, and what overlaps with it or does not.
mkfifo "$dir/go"
ecp lock '^A(1)' -- sh -c "read line <'$dir/go'" &
holder=$!
wait_until 20 held 1 '^A' || fail "no lock"
for ref in '^A(1)' '^A' '^A(1,"x")' '^'; do
    ecp lock -t 0 "$ref" -- true
    assert_eq 75 $? "lock of $ref, which is not free"
done
ecp lock -t 0.2 '^A(1)' -- true
assert_eq 75 $? "time limit"
ecp lock -t 0 '^A(2)' '^B' -- true
assert_eq 0 $? "siblings are free"
ecp lock -t 0 '^A(2)' '^A' -- true
assert_eq 75 $? "all or nothing"
held 0 '^A(2)' || fail "a part of a list was granted"

# Order: waiters are served as they came.
for i in 1 2 3 4 5 6 7 8; do
    ecp lock '^A(1)' -- sh -c "echo $i >>'$dir/order'" &
    workers[i]=$!
    wait_until 20 waiting "$i" || fail "waiter $i does not wait"
done
ecp locks | grep -c '^waits' >"$dir/out"
assert_eq 8 "$(cat "$dir/out")" "waiters listed"
ecp locks --json | python3 -c 'import json,sys
l = json.load(sys.stdin)["locks"]
assert len(l) == 9 and l[0]["state"] == "held" and l[0]["mode"] == "exclusive", l
assert all(r["reference"] == "^A(1)" and "sh -c" in r["who"] for r in l), l' ||
    fail "locks --json"

# A waiter that is killed, or interrupted, leaves no trace.
kill -9 "${workers[3]}"
kill "${workers[5]}"
wait "${workers[5]}"
assert_eq 143 $? "interrupted waiter"
wait_until 20 waiting 6 || fail "killed waiters are still there"
echo >"$dir/go"
wait $holder "${workers[@]}" 2>/dev/null
assert_eq "1 2 4 6 7 8" "$(tr '\n' ' ' <"$dir/order" | sed 's/ $//')" "order of service"

# Shared locks, the stamp, nesting.
ecp lock -s '^S' -- ecp lock -s -t 5 '^S' -- env -u ECP_LOCK_OWNER ecp lock -s -t 5 '^S' -- true
assert_eq 0 $? "shared locks"
ecp lock -s '^S' -- env -u ECP_LOCK_OWNER ecp lock -t 0 '^S' -- true
assert_eq 75 $? "exclusive beside shared"
ecp lock '^S' -- ecp lock -t 0 '^S(1)' '^S' -- true
assert_eq 0 $? "nested locks"
one=$(ecp lock '^S' -- sh -c 'echo $ECP_LOCK_STAMP')
two=$(ecp lock '^S' -- sh -c 'echo $ECP_LOCK_STAMP')
[ "$two" -gt "$one" ] || fail "stamps do not rise: $one, $two"

# Opposite order: one is told, the other goes on.
rm -f "$dir/go"
one() { ecp lock '^P' -- sh -c "touch '$dir/p'; until [ -e '$dir/q' ]; do sleep 0.05; done; ecp lock ^Q -- true"; }
two() { ecp lock '^Q' -- sh -c "touch '$dir/q'; until [ -e '$dir/p' ]; do sleep 0.05; done; ecp lock ^P -- true"; }
one 2>"$dir/one" &
first=$!
two 2>"$dir/two" &
second=$!
wait $first
a=$?
wait $second
b=$?
[ $((a == 0)) != $((b == 0)) ] || fail "deadlock: statuses $a and $b"
assert_eq 1 "$(cat "$dir/one" "$dir/two" | grep -c 'would never end')" "deadlock told"

# A holder killed on the unix socket: free at once; on TCP after the window only.
ECP_URL=$socket ecp lock '^U' -- sleep 100 &
holder=$!
wait_until 20 held 1 '^U' || fail "no lock"
sleeper=$(pgrep -P $holder)
kill -9 $holder
assert_ok "free at once" ecp lock -t 20 '^U' -- true
kill "$sleeper"
ecp lock --kill-on-loss '^T' -- sleep 100 &
holder=$!
wait_until 20 held 1 '^T' || fail "no lock"
sleeper=$(pgrep -P $holder)
kill -9 $holder
wait_until 20 gone "$sleeper" || fail "the command outlives ecp lock --kill-on-loss"
ecp lock -t 1 '^T' -- true
assert_eq 75 $? "a lock lost over TCP"
assert_eq 1 "$(ecp unlock --force '^T')" "locks taken"
assert_ok "free by force" ecp lock -t 0 '^T' -- true

# Taken by an administrator, and a server that goes away.
ecp lock --kill-on-loss=USR1 '^F' -- sleep 100 2>"$dir/err" &
holder=$!
wait_until 20 held 1 '^F' || fail "no lock"
assert_fails "without --force" ecp unlock '^F'
ecp unlock --force '^F' >/dev/null
wait $holder
assert_eq 138 $? "the command was ended"
assert_said 'administrator'
ecp lock --kill-on-loss '^G' -- sleep 100 2>"$dir/err" &
holder=$!
wait_until 20 held 1 '^G' || fail "no lock"
stop_ecpd
wait $holder
assert_eq 143 $? "the command was ended"
assert_said 'lock was lost'
