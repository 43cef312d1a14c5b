#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A server that is stopped, started twice, reloaded or killed keeps what it acknowledged.
LIMIT=180
. "$(dirname "$0")/lib.sh"

start_ecpd --lease 2
ecpd_port=$port
ecp import "$sample" || fail import
ecp export | tail -n +3 >"$dir/before"

# A second server on the same data is refused, and the first does not notice.
assert_fails "second server" timeout 30 ecpd --data "$dir/data" --listen 127.0.0.1:0 --foreground
[ -s "$dir/err" ] || [ -s "$dir/out" ] || fail "second server: no message"
assert_ok "the first one works on" ecp ping

# SIGTERM drains: whatever was acknowledged is there after it.
writer() {
    local i=0
    while ecp incr '^COUNT' >"$dir/count.new" 2>/dev/null; do
        mv "$dir/count.new" "$dir/count"
        i=$((i + 1))
        [ $i -lt 5000 ] || break
    done
}
acknowledged() { [ -s "$dir/count" ] && [ "$(cat "$dir/count")" -ge "$1" ]; }
kept() {
    local have=$(node_get '^COUNT') said=$(cat "$dir/count")
    [ "$have" -ge "$said" ] || fail "$1: $said was acknowledged, $have is there"
    # One more may have been stored whose answer was lost.
    [ "$have" -le $((said + 1)) ] || fail "$1: $have counted, $said acknowledged"
}
writer &
w=$!
wait_until 30 acknowledged 20 || fail "no increments"
stop_ecpd
wait $w
start_ecpd --lease 2
kept SIGTERM
ecp export | grep -av '^\^COUNT=' | tail -n +3 | cmp - "$dir/before" || fail "data after SIGTERM"

# kill -9, several times, in the middle of updates.
for round in 1 2 3; do
    ecp kill '^COUNT'
    rm -f "$dir/count"
    writer &
    w=$!
    wait_until 30 acknowledged $((round * 15)) || fail "no increments"
    kill -9 "$ecpd_pid"
    wait "$ecpd_pid" 2>/dev/null
    wait $w
    start_ecpd --lease 2
    kept "kill -9, round $round"
done
ecp export | grep -av '^\^COUNT=' | tail -n +3 | cmp - "$dir/before" || fail "data after kill -9"

# Daemonized: the command returns when it listens; the pid file names it.
stop_ecpd
assert_ok "background start" timeout 60 ecpd --data "$dir/data" --listen "127.0.0.1:$ecpd_port" \
    --pid-file "$dir/ecpd.pid"
bg=$(cat "$dir/ecpd.pid") || fail "no pid file"
pids+=("$bg")
assert_ok "it answers at once" ecp ping
kill "$bg"
wait_until 20 gone "$bg" || fail "the daemon does not end"
# A start that cannot succeed says so before the command returns.
assert_fails "unusable directory" timeout 60 ecpd --data /dev/null/x --listen 127.0.0.1:0
[ -s "$dir/err" ] || fail "unusable directory: no message"
assert_fails "bad address" timeout 60 ecpd --data "$dir/other" --listen nonsense
[ -s "$dir/err" ] || fail "bad address: no message"

# SIGHUP: a namespace added to the configuration is there afterwards, sessions stay.
cat >"$dir/ecpd.conf" <<END
database user { directory = "$dir/conf.user" }
namespace USER { database = "user" }
END
ecpd --config "$dir/ecpd.conf" --listen 127.0.0.1:0 --foreground </dev/null >"$dir/conf.log" 2>&1 &
ecpd_pid=$!
ecpd_log=$dir/conf.log
pids+=("$ecpd_pid")
wait_until 20 grep -q 'listening on 127\.0\.0\.1:' "$ecpd_log" || fail "start with a configuration"
port=$(sed -n 's/.*listening on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$ecpd_log" | head -n 1)
base=ecp://127.0.0.1:$port
assert_ok USER ecp -s "$base/USER" set '^A' user
assert_fails "not yet there" ecp -s "$base/EXTRA" ping
cat >>"$dir/ecpd.conf" <<END
database extra { directory = "$dir/conf.extra" }
namespace EXTRA { database = "extra" }
END
kill -HUP "$ecpd_pid"
wait_until 10 ecp -s "$base/EXTRA" ping || fail "SIGHUP did not bring the new namespace"
assert_ok EXTRA ecp -s "$base/EXTRA" set '^A' extra
assert_eq user "$(ecp -s "$base/USER" get '^A')" "namespaces are apart"
# A broken configuration changes nothing.
echo 'namespace {' >>"$dir/ecpd.conf"
kill -HUP "$ecpd_pid"
wait_until 2 gone "$ecpd_pid" && fail "a broken configuration ended the server"
assert_eq extra "$(ecp -s "$base/EXTRA" get '^A')" "after a broken configuration"
stop_ecpd

# A mount outlives a restart of its server.
if [ -w /dev/fuse ] || [ "${CI:-}" = true ]; then
    need_fuse
    start_ecpd --lease 2
    mount_ecpfs a
    printf before >"$mnt/OVER"
    stop_ecpd
    start_ecpd --lease 2
    wait_until 30 reads before "$mnt/OVER" || fail "the mount does not come back"
    printf after >"$mnt/OVER" || fail "write after the restart"
    assert_eq after "$(node_get '^OVER')" "write after the restart"
    unmount_ecpfs a "$mount_pid"
    stop_ecpd
fi
