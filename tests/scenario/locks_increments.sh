#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# No increment is lost: 8 processes on each of 2 mounts, then 4 on each of 4, add 1 to a file under
# locks of every kind, and append lines without any.
# LOCK_INCREMENTS: of each kind, by all processes together; LOCK_METHODS: which. Says how long each took.
# By "exit" and "ecp" each increment starts processes: LOCK_INCREMENTS_SLOW.
total=${LOCK_INCREMENTS:-320}
slow=${LOCK_INCREMENTS_SLOW:-$((total / 4))}
LIMIT=${LOCK_LIMIT:-$((240 + total / 20 + slow / 5))}
. "$(dirname "$0")/lib.sh"
need_fuse

start_ecpd
for name in a b c d; do mount_ecpfs $name; done
mnt=$dir/mnt
mkdir "$mnt/a/G"

# What the last mount shows in the end, beside what all have done.
count() { # METHOD PROCESSES MOUNT...
    local method=$1 processes=$2 each=$total seen begin
    shift 2
    case $method in exit | ecp) each=$slow ;; esac
    each=$((each / (processes * $#)))
    printf 0 >"$mnt/a/G/n"
    : >"$mnt/a/G/log"
    begin=$(date +%s%N)
    assert_ok "$method on $*" \
        "$top_builddir/tests/scenario/locks_load" increments "$method" "$processes" "$each" "$@"
    echo "$method: $((each * processes * $#)) by $processes processes on each of $# mounts in" \
        "$((($(date +%s%N) - begin) / 1000000)) ms"
    case $method in
    append) seen=$(sort -u "$mnt/d/G/log" | wc -l) ;;
    *) seen=$(cat "$mnt/d/G/n") ;;
    esac
    assert_eq $((each * processes * $#)) "$seen" "increments by $method on $*"
}
for method in ${LOCK_METHODS:-flock fcntl close dotlock exit ecp append}; do
    count $method 8 "$mnt/a" "$mnt/b"
    count $method 4 "$mnt"/[abcd]
done
[ "$(sed -n 's/^locks_passed //p' "$mnt/a/.ecp/stats")" -gt 0 ] ||
    fail "no lock was passed on within a mount"
