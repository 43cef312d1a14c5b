#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Clients and servers of three protocol versions: those next to each other work together, also when
# the server under a mount is upgraded; those further apart are refused, and told what both speak.
. "$(dirname "$0")/lib.sh"
need_fuse
command -v flock >/dev/null || skip "no flock(1)"

# now: this one alone; next: it and the one after it; after: no longer this one.
declare -A path=([now]=$PATH [next]=$top_builddir/tests/versions/next:$PATH
                 [after]=$top_builddir/tests/versions/after:$PATH)
of() { local PATH=${path[$1]}; "${@:2}"; }

start() { # VERSION
    of "$1" start_ecpd
    ecpd_port=$port
}
upgrade() { # VERSION
    stop_ecpd
    start "$1"
}

both_named() { # OFFERED SPOKEN OLDER: in the error output
    assert_said "protocol versions $1 offered, this server speaks $2; upgrade the $3"
}

# ---- Each with each ----

for server in now next after; do
    start $server
    for client in now next after; do
        case $server$client in
        nowafter) refused=("2 to 3" "1 to 1" server) ;;
        afternow) refused=("1 to 1" "2 to 3" client) ;;
        *) refused=() ;;
        esac
        if [ ${#refused[@]} -eq 0 ]; then
            assert_ok "set, $client at $server" of $client ecp set '^V("x")' $client
            assert_eq $client "$(of $client ecp get '^V("x")')" "$client at $server"
            assert_ok "lock, $client at $server" of $client ecp lock '^V' -- true
        else
            assert_fails "$client at $server" of $client ecp get '^V("x")'
            both_named "${refused[@]}"
            mkdir -p "$dir/mnt/refused"
            assert_fails "mount, $client at $server" of $client timeout 20 ecpfs "$URL" "$dir/mnt/refused"
            both_named "${refused[@]}"
            grep -q "speaks ${refused[1]}" "$ecpd_log" || fail "the server's log does not tell"
        fi
    done
    stop_ecpd
done

# ---- The server under mounts is upgraded, and goes back ----

start now
of now mount_ecpfs old
old_pid=$mount_pid old_log=$mount_log
of next mount_ecpfs new
new_pid=$mount_pid
mnt=$dir/mnt
mkdir "$mnt/old/J"

# Each sees what the other writes, and the lock of `old` stands.
together() {
    echo "$1" >"$mnt/old/J/a" && assert_eq "$1" "$(cat "$mnt/new/J/a")" "$1: old to new"
    echo "$1" >"$mnt/new/J/b" && assert_eq "$1" "$(cat "$mnt/old/J/b")" "$1: new to old"
    timeout 30 flock -n "$mnt/new/J/lock" true
    assert_eq 1 $? "$1: a lock that is held"
}
mkfifo "$dir/go"
flock "$mnt/old/J/lock" sh -c "echo >'$dir/held'; read line <'$dir/go'" &
holder=$!
pids+=($holder)
wait_until 20 test -e "$dir/held" || fail "not locked"
together "at now"
upgrade next
together "at next"
upgrade now
together "at now again"
upgrade next
together "at next again"
echo go >"$dir/go"
wait $holder || fail "the holder of the lock failed"
assert_ok "the lock is free" timeout 30 flock "$mnt/new/J/lock" true

# Two versions on, only the newer mount goes on. The other says what is to be done.
upgrade after
echo on >"$mnt/new/J/b" || fail "the newer mount does not go on"
lost() { grep -q '^state lost' "$mnt/old/.ecp/status"; }
wait_until 30 lost || fail "the older mount: $(cat "$mnt/old/.ecp/status")"
for told in "$mnt/old/.ecp/status" "$old_log"; do
    grep -q 'versions 1 to 1 offered, this server speaks 2 to 3; upgrade the client' "$told" ||
        fail "not told: $(tail -n 20 "$told")"
done
assert_fails "a read" timeout 20 cat "$mnt/old/J/a"
assert_eq on "$(of after ecp get '^J("b")')" "what the newer mount wrote"
unmount_ecpfs new $new_pid
unmount_ecpfs old $old_pid
