#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Answers that do not wait for the disk: what the server loses when the power fails comes again from
# the clients that live, as it was and in the order across clients in which it was done.
. "$(dirname "$0")/lib.sh"
need_fuse

cat >"$dir/ecpd.conf" <<END
database user {
    directory = "$dir/data"
    acknowledge = "applied"
    durability = "none"
}
namespace USER { database = "user" }
END
start() {
    start_ecpd --config "$dir/ecpd.conf" --lease 2 --recovery "${1:-60}"
    ecpd_port=$port
}
start
mount_ecpfs a
a=$mount_pid a_log=$mount_log
mount_ecpfs b
b=$mount_pid
A=$dir/mnt/a B=$dir/mnt/b
mkdir "$A/L" && echo base >"$A/L/base" && echo base >"$B/L/other" || fail "what is durable"

unsynced() { ecp stats | sed -n 's/^journal_unsynced_bytes //p'; }
on_disk() { [ "$(unsynced)" = 0 ]; }

# Each step rests on one of the other mount's.
work() {
    mkdir "$A/L/$1" && echo "a 1" >"$A/L/$1/log" && echo "b 2" >>"$B/L/$1/log" &&
        echo "a 3" >>"$A/L/$1/log" && mkdir "$B/L/$1/dir" && mv "$A/L/$1/log" "$A/L/$1/dir/log" &&
        echo "b 4" >>"$B/L/$1/dir/log" && rm "$A/L/base" && echo "a 5" >"$A/L/other" &&
        echo "b 6" >"$B/L/base" || fail "work $1"
}

# lose NAME: what was done in it is on no disk; clients ask for that each second.
lose() {
    local try
    for try in 1 2 3 4 5 6 7 8 9 10; do
        wait_until 20 on_disk || fail "the mounts do not ask for the disk"
        rm -rf "$dir/before"
        cp -a "$dir/data" "$dir/before"
        work "$1.$try"
        stat -c '%n %Y %y' "$A/L/$1.$try/dir/log" "$A/L/base" "$A/L/other" >"$dir/times"
        kill -STOP $a $b
        ecp ping >"$dir/out" && ecp ping >"$dir/out" || fail "ping"
        if ! on_disk; then
            work=$1.$try
            kill -9 "$ecpd_pid"
            wait "$ecpd_pid" 2>/dev/null
            rm -rf "$dir/data"
            mv "$dir/before" "$dir/data"
            return
        fi
        kill -CONT $a $b
    done
    fail "what is written is on the disk at once"
}

there() {
    local m
    for m in "$A" "$B"; do
        assert_eq "a 1;b 2;a 3;b 4;" "$(tr '\n' ';' <"$m/L/$work/dir/log")" "the log, $1"
        assert_eq "b 6" "$(cat "$m/L/base")" "what was removed and made, $1"
        assert_eq "a 5" "$(cat "$m/L/other")" "what was replaced, $1"
        [ ! -e "$m/L/$work/log" ] || fail "what was moved away is there, $1"
    done
}

lose all
start
assert_eq 2 "$(ecp stats | sed -n 's/^replay_awaited //p')" "sessions that are waited for"
timeout 20 ecp get '^L("other")' >"$dir/early" &
reader=$!
kill -CONT $a
wait_until 10 grep -q 'connected to .* again' "$a_log" || fail "a does not come back"
[ ! -s "$dir/early" ] || fail "somebody read before what was lost was there"
kill -CONT $b
wait $reader || fail "who reads early waits for too long"
assert_eq "a 5" "$(cat "$dir/early")" "what an early reader gets"
there "all came back"
stat -c '%n %Y %y' "$A/L/$work/dir/log" "$A/L/base" "$A/L/other" >"$dir/times.after"
assert_ok "times are as they were" cmp "$dir/times" "$dir/times.after"
assert_ok "check" ecp check "$dir/data"

# Lost a second time before it is on the disk: it comes again.
wait_until 20 on_disk || fail "what came again does not get to the disk"
lose twice
start
kill -CONT $a $b
there "first"
kill -9 "$ecpd_pid"
wait "$ecpd_pid" 2>/dev/null
start
there "again"

# An orderly restart loses nothing, and waits for nobody.
kill -STOP $a $b
stop_ecpd
start
assert_eq 0 "$(ecp stats | sed -n 's/^replay_awaited //p')" "sessions waited for after an orderly end"
assert_eq "a 5" "$(ecp get '^L("other")')" "at once"
kill -CONT $a $b

# One that does not come back delays the others for the recovery window; the rest is applied.
lose half
start 2
disown $b
kill -KILL $b
kill -CONT $a
wait_until 30 test -d "$A/L/$work" || fail "the other one's is lost, too"
assert_eq "a 5" "$(cat "$A/L/other")" "what a lives to send"
wait_until 20 unmount "$B" || fail "unmount b"
unmount_ecpfs a $a
stop_ecpd
assert_ok "check at the end" ecp check "$dir/data"
