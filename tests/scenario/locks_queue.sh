#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Many processes wait for one lock, on one mount and on several: each gets it once, in order. Those
# that are killed or interrupted leave no trace. LOCK_WAITERS: how many. Says what a waiter costs.
waiters=${LOCK_WAITERS:-200}
LIMIT=$((180 + waiters))
. "$(dirname "$0")/lib.sh"
need_fuse

start_ecpd
declare -A daemon=([ecpd]=$ecpd_pid)
for name in a b c; do
    mount_ecpfs $name
    daemon[$name]=$mount_pid
done
mnt=$dir/mnt
mkdir "$mnt/a/G"
memory() { sed -n 's/^RssAnon:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/${daemon[$1]}/status"; }
stat_of() { ecp stats | sed -n "s/^$1 //p"; }
nothing_listed() { [ -z "$(ls "$mnt/b/.locks")" ]; }
no_locks() { [ "$(stat_of locks) $(stat_of locks_waiting) $(stat_of lock_owners)" = "0 0 0" ]; }
step() { # WHERE: the program gets there
    read -r -t "$LIMIT" where <&"${COPROC[0]}" || fail "the program ended before: $1"
    assert_eq "$1" "$where" "where the program is"
}
go_on() { echo >&"${COPROC[1]}"; }

# survivors COUNT: in the order in which they came.
survivors() {
    for ((i = 0; i < $1; i++)); do
        case $((i % 5)) in 2 | 4) ;; *) echo $i ;; esac
    done
}

queue() { # MOUNT...
    local mounts=$# i name server mount
    coproc exec "$top_builddir/tests/scenario/locks_load" queue "$waiters" "$dir/order" "$@"
    local program=$COPROC_PID
    step locked
    server=$(memory ecpd) mount=$(memory a)
    go_on
    step waiting
    # Later queues are in memory that was freed.
    [ "$mounts" -gt 1 ] || echo "$waiters waiters, bytes of memory for each:" \
        "ecpd $((($(memory ecpd) - server) * 1024 / waiters))," \
        "ecpfs $((($(memory a) - mount) * 1024 / waiters))"
    go_on
    step ended
    go_on
    wait "$program" || fail "the program's status is $?"

    survivors "$waiters" >"$dir/expected"
    assert_eq "$(cat "$dir/expected")" "$(sort -n "$dir/order")" "each had the lock once"
    for ((i = 0; i < mounts; i++)); do # of each mount in order
        awk -v n="$mounts" -v i=$i '$1 % n == i' "$dir/order" >"$dir/of_mount"
        sort -nc "$dir/of_mount" || fail "not in order on mount $i: $(xargs <"$dir/order")"
    done
    # A mount passes a lock on among its own processes 16 times, while those of others wait.
    longest=$(awk -v n="$mounts" '$1 % n != last { last = $1 % n; run = 0 }
        ++run > most && (NR <= total * 2 / 3) { most = run } END { print most }' \
        total="$(wc -l <"$dir/order")" "$dir/order")
    [ "$mounts" -eq 1 ] || [ "$longest" -le 17 ] || fail "$longest of one mount in a row"
    wait_until 20 nothing_listed || fail "still listed: $(ls "$mnt/b/.locks")"
    wait_until 20 no_locks || fail "still in the table: $(ecp stats | grep ^lock)"
    for name in "$@"; do
        assert_eq "0 0" "$(sed -n 's/^locks_\(held\|waiting\) //p' "$name/.ecp/stats" | xargs)" \
            "locks and waiters of a mount"
    done
}

queue "$mnt/a"
queue "$mnt/a" "$mnt/b" "$mnt/c"
