#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the service manager and the administrator see: readiness, reload, limits, lack of descriptors.
LIMIT=180
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || skip "no python3"

# Everything that comes to the notification socket, a line for each variable.
export NOTIFY_SOCKET=$dir/notify
python3 -u -c 'import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    print(s.recv(4096).decode(), flush=True)' "$NOTIFY_SOCKET" >"$dir/notified" &
pids+=("$!")
wait_until 10 test -S "$NOTIFY_SOCKET" || fail "no notification socket"
notified() { grep -c "^$1" "$dir/notified"; }
notified_times() { [ "$(notified "$1")" -ge "$2" ]; }

cat >"$dir/ecpd.conf" <<END
database user { directory = "$dir/user" }
namespace USER { database = "user" }
END
start_ecpd --config "$dir/ecpd.conf"
base=ecp://127.0.0.1:$port
wait_until 10 notified_times READY=1 1 || fail "READY=1 was not sent"
assert_eq 1 "$(notified READY=1)" "readiness is told once"

# A namespace and a listener come with a reload; what is open stays.
exec 3<>"/dev/tcp/127.0.0.1/$port" || fail "no connection"
cat >"$dir/ecpd.conf" <<END
listen = {"unix:$dir/socket"}
max-sessions = 2
database user { directory = "$dir/user" }
database extra { directory = "$dir/extra" }
namespace USER { database = "user" }
namespace EXTRA { database = "extra" }
END
kill -HUP "$ecpd_pid"
wait_until 10 notified_times READY=1 2 || fail "readiness after the reload"
assert_eq 1 "$(notified RELOADING=1)" "RELOADING=1"
assert_eq 1 "$(notified MONOTONIC_USEC=)" "MONOTONIC_USEC with it"
assert_ok "the new listener, the new namespace" ecp -s "ecp+unix://$dir/socket?namespace=EXTRA" set '^A' 1
assert_eq 1 "$(ecp -s "$base/EXTRA" get '^A')" "through the old listener"
# Of the two sessions that it allows one is open since before.
exec 4<>"/dev/tcp/127.0.0.1/$port" || fail "no connection"
assert_fails "a third session" ecp -s "$base/USER" ping
assert_said "too many sessions"
exec 3<&- 4<&-
wait_until 10 ecp -s "$base/USER" ping || fail "no session after others ended"

# Away with both again.
cat >"$dir/ecpd.conf" <<END
database user { directory = "$dir/user" }
namespace USER { database = "user" }
END
kill -HUP "$ecpd_pid"
wait_until 10 notified_times READY=1 3 || fail "readiness after the second reload"
[ ! -e "$dir/socket" ] || fail "the removed listener's socket is still there"
assert_fails "the removed namespace" ecp -s "$base/EXTRA" ping
assert_said 'no namespace "EXTRA" here'
printf 'namespace USER {\n    database = "user"\n' >"$dir/half.conf"
assert_fails "half a configuration" ecpd --foreground --data "$dir/other" --config "$dir/half.conf"
assert_said "half.conf:[34]: the file ends, and a } is missing"
mkdir "$dir/conf"
assert_fails "a directory" ecpd --foreground --data "$dir/other" --config "$dir/conf"
assert_said "conf: Is a directory"
assert_fails "no address" ecpd --foreground --data "$dir/other" --listen nowhere
assert_said "HOST:PORT"
assert_fails "an address of another host" ecpd --foreground --data "$dir/other" --listen 192.0.2.1:5972
assert_said "cannot listen on 192.0.2.1:5972: no address of this host"

# A configuration that is refused is a reload that ended, too.
echo 'namespace EXTRA { database = "nowhere" }' >>"$dir/ecpd.conf"
kill -HUP "$ecpd_pid"
wait_until 10 notified_times READY=1 4 || fail "readiness after a refused reload"
grep -q 'not changed:.*nowhere' "$ecpd_log" || fail "the log does not say what was wrong"
assert_ok "it serves on" ecp -s "$base/USER" ping
stop_ecpd
assert_eq 1 "$(notified STOPPING=1)" "STOPPING=1"
unset NOTIFY_SOCKET

# A soft limit of descriptors is none.
(
    ulimit -Sn 64
    start_ecpd
    limits=$(awk '/^Max open files/ { print $4, $5 }' "/proc/$ecpd_pid/limits")
    assert_eq "${limits#* }" "${limits% *}" "descriptors, soft and hard"
    stop_ecpd
) || exit

# Out of descriptors: said now and then, not at each try; over when some are free again.
(
    ulimit -n 40
    exec ecpd --data "$dir/data" --listen 127.0.0.1:0 --foreground </dev/null >"$dir/few.log" 2>&1
) &
ecpd_pid=$!
ecpd_log=$dir/few.log
pids+=("$ecpd_pid")
wait_until 20 grep -q 'listening on' "$ecpd_log" || fail "start with few descriptors"
port=$(sed -n 's/.*listening on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$ecpd_log" | head -n 1)
URL=ecp://127.0.0.1:$port/USER
export ECP_URL=$URL
python3 -c 'import socket, sys, time
many = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(60)]
print("ready", flush=True)
time.sleep(100)' "$port" >"$dir/many" &
many=$!
pids+=("$many")
wait_until 20 grep -q ready "$dir/many" || fail "no 60 connections"
wait_until 10 grep -q 'cannot accept' "$ecpd_log" || fail "nothing is said of the lack"
# Those that wait are accepted when the first are cut off for saying nothing.
wait_until 40 ecp ping || fail "it does not recover by itself"
kill "$many"
assert_ok "after them" ecp ping
said=$(grep -c 'cannot accept' "$ecpd_log")
echo "the lack of descriptors was logged $said times"
[ "$said" -le 5 ] || fail "the lack of descriptors was logged $said times"
stop_ecpd

# Stopped, not ended: it accepts what it cannot greet, and the client does not wait for ever.
start_ecpd
kill -STOP "$ecpd_pid"
assert_fails "a stopped server" timeout 60 ecp ping
assert_said "timed out.*greet.*is ecpd running"
kill -CONT "$ecpd_pid"
wait_until 20 ecp ping || fail "it does not go on"
stop_ecpd
