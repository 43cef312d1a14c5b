#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The server is killed and started again: who holds a lock goes on holding it, through mounts and ecp
# lock, over TCP and a unix socket; who waits goes on waiting; nobody else gets it.
. "$(dirname "$0")/lib.sh"
need_fuse
command -v flock >/dev/null || skip "no flock(1)"

start_ecpd --listen "unix:$dir/socket"
ecpd_port=$port
tcp=$URL
mount_ecpfs a
URL="ecp+unix://$dir/socket?namespace=USER"
mount_ecpfs b
export ECP_URL=$tcp
mnt=$dir/mnt
mkdir "$mnt/a/J" && echo one >"$mnt/a/J/x" && echo two >"$mnt/a/J/y"
mkfifo "$dir/a.go" "$dir/b.go" "$dir/c.go"

# Three holders, and one that waits for each.
waiters=()
hold() { # NAME WAITER -- HOLDER
    local name=$1
    shift
    "$@" sh -c "echo >'$dir/$name.held'; read line <'$dir/$name.go'; echo through >'$dir/$name.end'" &
    pids+=($!)
    wait_until 20 test -e "$dir/$name.held" || fail "$name: not locked"
}
await() {
    local name=$1
    shift
    "$@" sh -c "echo >'$dir/$name.passed'" &
    waiters+=($!)
    pids+=($!)
}
hold a flock "$mnt/a/J/x"
hold b flock "$mnt/b/J/y"
hold c ecp lock '^JOB("c")' --
await a flock "$mnt/b/J/x"
await b flock "$mnt/a/J/y"
await c ecp lock '^JOB("c")' --
waiting() { [ "$(ecp stats | sed -n 's/^locks_waiting //p')" = 3 ]; }
wait_until 20 waiting || fail "three do not wait"

for round in 1 2 3; do
    kill -9 "$ecpd_pid"
    wait_until 20 gone "$ecpd_pid" || fail "not killed"
    start_ecpd --listen "unix:$dir/socket"
    export ECP_URL=$tcp
    for name in a b c; do
        [ ! -e "$dir/$name.passed" ] || fail "$name: a lock passed on though its holder has it"
    done
    assert_fails "a held lock" timeout 30 flock -n "$mnt/b/J/x" true
    assert_fails "another held lock" timeout 30 flock -n "$mnt/a/J/y" true
    timeout 30 ecp lock -t 0 '^JOB("c")' -- true
    assert_eq 75 $? "ecp lock of a held lock"
    wait_until 20 waiting || fail "round $round: three do not wait again"
done

for name in a b c; do
    [ ! -e "$dir/$name.passed" ] || fail "$name: passed early"
    echo go >"$dir/$name.go"
    wait_until 20 test -e "$dir/$name.end" || fail "$name: its holder does not go on"
    wait_until 20 test -e "$dir/$name.passed" || fail "$name: the lock does not pass on"
    tests=$((tests + 1))
done
for pid in "${waiters[@]}"; do wait "$pid" || fail "a waiter failed"; done
assert_eq "one two" "$(cat "$mnt/b/J/x" "$mnt/a/J/y" | xargs)" "contents"
assert_eq 0 "$(ecp locks | grep -c waits)" "waiters left"
