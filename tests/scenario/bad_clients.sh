#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Clients that send garbage, or nothing, or never read: a good client does not notice them.
LIMIT=180
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || skip "no python3"

start_ecpd
ecp import "$sample" || fail import
ecp export | tail -n +3 >"$dir/before"
rss() { awk '/^VmRSS/ { print $2 }' "/proc/$ecpd_pid/status"; }
memory=$(rss)

python3 "$scenario_dir/bad_clients.py" "$port" 40 >"$dir/bad.log" 2>&1 &
bad=$!
pids+=("$bad")
wait_until 10 grep -q ready "$dir/bad.log" || fail "bad clients did not start: $(cat "$dir/bad.log")"

slowest=0
for i in $(seq 40); do
    t=$(date +%s%N)
    timeout 10 ecp incr '^GOOD' >/dev/null || fail "a good client failed among bad ones ($i)"
    t=$((($(date +%s%N) - t) / 1000000))
    [ $t -le $slowest ] || slowest=$t
done
assert_eq 40 "$(node_get '^GOOD')" "a good client's updates"
timeout 20 ecp export | grep -av '^\^GOOD=' | tail -n +3 | cmp - "$dir/before" ||
    fail "data changed by bad clients"
echo "slowest good request: $slowest ms"
[ $slowest -lt 5000 ] || fail "a good client waited $slowest ms"

kill "$bad" 2>/dev/null
wait "$bad" 2>/dev/null
gone "$ecpd_pid" && fail "ecpd died: $(tail -n 20 "$ecpd_log")"
assert_ok "after them" ecp ping
# Announced lengths are not believed: 40 clients that announce gigabytes cost next to nothing.
grown=$(($(rss) - memory))
echo "memory grew by $grown KiB"
[ $grown -lt 400000 ] || fail "memory grew by $grown KiB"
stop_ecpd
