#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What goes over the wire when a lock passes from one mount to another: who waits is never more than
# three messages, one after the other, from having it.
. "$(dirname "$0")/lib.sh"
need_fuse
command -v flock >/dev/null || skip "no flock(1)"
command -v python3 >/dev/null || skip "no python3"

start_ecpd
server=$URL
coproc PROXY { exec python3 "$top_srcdir/tests/coherence/proxy.py" "$port" "$dir/frames"; }
pids+=("$PROXY_PID")
read -r -t 20 proxy_port <&"${PROXY[0]}" || fail "no proxy"
URL=ecp://127.0.0.1:$proxy_port/USER
for name in a b; do mount_ecpfs $name; done
mnt=$dir/mnt
mkdir "$mnt/a/G" && echo 0 >"$mnt/a/G/n"
mkfifo "$dir/go"
waiting() { [ "$(ECP_URL=$server ecp stats | sed -n 's/^locks_waiting //p')" = "$1" ]; }

# Lock messages since the mark, in the order in which they passed the proxy.
mark() { from=$(wc -l <"$dir/frames"); }
messages() {
    awk -v from="$from" 'BEGIN { split("LOCK LOCKED UNLOCK UNLOCKED CANCEL RECALL KEPT PASS LOST", name) }
        NR > from && $3 >= 64 && $3 <= 72 { print name[$3 - 63] }' "$dir/frames"
}
granted() { messages >"$dir/messages" && grep -qx LOCKED "$dir/messages"; }
until_granted() { sed '/^LOCKED$/q' "$dir/messages" | grep -vx UNLOCKED | xargs; }

# One holds it, another waits: from unlock to lock.
flock -F "$mnt/a/G/n" sh -c "read line <'$dir/go'" &
holder=$!
pids+=($holder)
held() { ! flock -n "$mnt/b/G/n" true; }
wait_until 20 held || fail "not locked"
flock "$mnt/b/G/n" true &
waiter=$!
wait_until 20 waiting 1 || fail "no waiter"
mark
echo >"$dir/go"
wait $holder $waiter
wait_until 20 granted || fail "no grant"
assert_eq "UNLOCK LOCKED" "$(until_granted)" "from unlock to lock"

# One has had it, and the mount keeps it: from asking to lock.
assert_ok "a lock" flock "$mnt/a/G/n" true
mark
assert_ok "the same elsewhere" flock "$mnt/b/G/n" true
wait_until 20 granted || fail "no grant"
assert_eq "LOCK RECALL UNLOCK LOCKED" "$(until_granted)" "from asking to lock"

# To and fro: all messages, those that nobody waits for among them.
mark
assert_ok "increments" "$top_builddir/tests/scenario/locks_load" increments flock 1 500 "$mnt/a" "$mnt/b"
grants=$(messages | grep -cx LOCKED)
[ "$grants" -gt 0 ] || fail "the lock did not move"
echo "a thousand increments by two mounts: the lock moved $grants times, with" \
    "$(messages | sort | uniq -c | awk '{ printf "%s %s ", $1, $2 }')"
all=$(messages | wc -l)
[ "$all" -le $((grants * 6 + 10)) ] || # some more at the begin and the end
    fail "$all lock messages for $grants grants"
