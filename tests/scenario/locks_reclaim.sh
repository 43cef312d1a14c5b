#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A server that is killed and started anew has the locks of all kinds as before; those for which it
# has no room are lost, and their holders are told.
LIMIT=180
. "$(dirname "$0")/lib.sh"
need_fuse
command -v flock >/dev/null || skip "no flock(1)"
command -v python3 >/dev/null || skip "no python3"

start_ecpd
ecpd_port=$port
mount_ecpfs a
mount_ecpfs b
a=$dir/mnt/a b=$dir/mnt/b
mkdir "$a/F" "$a/G"
for name in f ranges idle; do echo "$name" >"$a/F/$name"; done
stat_of() { sed -n "s/^$2 //p" "$1/.ecp/stats"; }
run() { python3 "$scenario_dir/locks_mount.py" "$@"; }

# What is held: mode, count, reference and by whom; since when aside.
held() { ecp locks | awk '$1 == "held" { $3 = ""; print }' | sort; }
holding() { [ "$(held | wc -l)" = "$1" ]; }
listed() { [ "$(held)" = "$(cat "$dir/before")" ]; }
waiting() { [ "$(ecp stats | sed -n 's/^locks_waiting //p')" = "$1" ]; }
# Of a command whose end is not on disk, the next server would wait for the return.
restart() { # ecpd's options
    assert_ok "an update, and with it on disk what has ended" ecp set '^END' 1
    kill -9 "$ecpd_pid"
    wait "$ecpd_pid" 2>/dev/null
    start_ecpd "$@"
}

# ---- All kinds of locks, and one that waits.
holders=()
hold() { # COMMAND...: until the test says so
    "$@" sh -c "until [ -e '$dir/go' ]; do sleep 0.1; done" &
    holders+=($!)
    pids+=($!)
}
hold flock "$a/F/f"
hold flock -s "$a/G/.lock"
hold flock "$a/.locks/^JOB(1)"
hold ecp lock '^L' '^L' '^M(1)' --
run hold_ranges "$a/F/ranges" "$dir/ready" "$dir/go" &
holders+=($!)
pids+=($!)
wait_until 20 holding 7 || fail "not locked: $(ecp locks)"
held >"$dir/before"
flock "$b/F/f" touch "$dir/passed" &
waiter=$!
pids+=($!)
wait_until 20 waiting 1 || fail "no waiter"
flock "$a/F/idle" true
assert_eq 1 "$(stat_of "$a" locks_delegated)" "a lock that is kept for nobody"

for round in 1 2; do
    restart
    wait_until 30 listed || fail "restart $round: $(held | diff "$dir/before" -)"
    wait_until 20 waiting 1 || fail "who waited does not"
    assert_eq 0 "$(stat_of "$a" locks_delegated)" "locks kept for nobody"
    assert_fails "a file that is locked" flock -n "$b/F/f" true
    assert_fails "below a directory that is locked" flock -n "$b/G/.lock" true
    assert_ok "which is shared" flock -n -s "$b/G/.lock" true
    assert_eq "read write" "$(run free_ranges "$b/F/ranges" 5 25 | xargs)" "ranges in the way"
    ecp lock -t 0 '^M' -- true
    assert_eq 75 $? "what ecp lock holds"
    assert_ok "what was kept for nobody" ecp lock -t 0 '^F("idle")' -- true
done
[ -e "$dir/passed" ] && fail "a lock that is held was granted"
touch "$dir/go"
for pid in "${holders[@]}"; do wait "$pid" || fail "who held a lock: status $?"; done
wait $waiter
assert_eq 0 $? "who waited got the lock"
wait_until 20 holding 0 || fail "locks are left: $(ecp locks)"
assert_eq 0 "$(stat_of "$a" locks_lost)" "locks lost"

# ---- A server with room for one lock of each session: the others are lost, and their holders know.
run hold_two "$a/.locks/^P(1)" "$a/.locks/^P(2)" "$dir/two" "$dir/told" >"$dir/out.two" &
two=$!
pids+=($!)
ecp lock --kill-on-loss '^L' '^M' -- sleep 100 2>"$dir/err" &
killed=$!
pids+=($!)
wait_until 20 holding 4 || fail "not locked"
echo "max-locks = 4" >"$dir/config"
restart --config "$dir/config"
wait $killed
assert_eq 143 $? "the command, of which a lock was refused"
assert_said 'the server was started anew, and did not give it back'
lost() { [ "$(stat_of "$a" locks_lost)" = "$1" ]; }
wait_until 20 lost 1 || fail "the loss is not told"
touch "$dir/told"
wait $two
assert_eq "EIO done" "$(sort "$dir/out.two" | xargs)" "the two handles"
