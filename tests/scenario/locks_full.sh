#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A mount that has used its share of a small lock table gets ENOLCK; the others lock on.
. "$(dirname "$0")/lib.sh"
need_fuse
command -v python3 >/dev/null || skip "no python3"

cat >"$dir/config" <<END
max-locks = 40
END
start_ecpd --config "$dir/config"
for name in a b c d; do mount_ecpfs $name; done
mnt=$dir/mnt
stat_of() { ecp stats | sed -n "s/^$1 //p"; }
said() { grep -q -- "$1" "$ecpd_log"; }
lines() { grep -c -- "$1" "$ecpd_log"; }

# fill MOUNT COUNT: a process there locks so many names, or until an error, and keeps them.
fill() {
    mkfifo "$dir/go.$1"
    rm -f "$dir/filled.$1"
    python3 "$scenario_dir/locks_mount.py" fill "$mnt/$1" "$2" "$dir/go.$1" >"$dir/filled.$1" &
    filler[$1]=$!
    pids+=($!)
    wait_until 20 test -s "$dir/filled.$1" || fail "mount $1 is not filled"
}
empty() { # MOUNT
    echo >"$dir/go.$1"
    wait "${filler[$1]}" || fail "who held the locks of mount $1: status $?"
}
declare -A filler
fill a 8
assert_eq "8 locked" "$(cat "$dir/filled.a")" "below the share"
said 'holds .* of the 10 locks' && fail "a warning below 85 %"
empty a
rm "$dir/go.a"
fill a 20
assert_eq "10 ENOLCK" "$(cat "$dir/filled.a")" "a mount that fills its share"
[ "$(stat_of locks_full)" -gt 0 ] || fail "locks_full is not counted"
said 'ecpfs.*: holds 9 of the 10 locks that a session may have' || fail "no warning at 85 %"
said 'no room for more locks' || fail "no line of a session without room"
lines=$(lines 'no room for more locks')
assert_fails "another lock there" flock -n "$mnt/a/.locks/^MORE" true
assert_said 'no locks available'
assert_eq "$lines" "$(lines 'no room for more locks')" "log lines after another try"
assert_ok "another mount" flock -n "$mnt/b/.locks/^MORE" true
assert_ok "ecp lock" ecp lock -t 0 '^MORE' -- true

# The table as a whole: 85 % of 40 are 34.
fill b 10
fill c 10
assert_eq "10 locked 10 locked" "$(cat "$dir/filled.b" "$dir/filled.c" | xargs)" "whole shares"
fill d 3
said 'the lock table is filling up' && fail "a warning below 85 % of the table"
assert_ok "the 34th" flock -n "$mnt/d/.locks/^MORE" true
said 'the lock table is filling up: 34 of 40' || fail "no warning at 85 % of the table"

empty a
assert_ok "a mount that has room again" flock -n "$mnt/a/.locks/^MORE" true
for name in b c d; do empty $name; done

# What a mount keeps for nobody gives way: far more names than its share, one after the other.
assert_eq "30 locked" "$(python3 "$scenario_dir/locks_mount.py" fill "$mnt/b" 30 one)" "names locked one after the other"
