#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# While the server is stopped, dead or cut off: what hard and soft mounts do, what signals end, how
# mounts are undone, and what is told about it all.
LIMIT=400
. "$(dirname "$0")/lib.sh"
need_fuse
command -v python3 >/dev/null || skip "no python3"

lease=6
start_ecpd --lease $lease
ecpd_port=$port
coproc PROXY { exec "$top_srcdir/tests/coherence/proxy.py" "$port"; }
pids+=("$PROXY_PID")
read -r -t 20 -u "${PROXY[0]}" proxy_port || fail "the proxy does not begin"
proxy() {
    local answer
    echo "$*" >&"${PROXY[1]}"
    read -r -t 20 -u "${PROXY[0]}" answer && [ "$answer" = ok ] || fail "proxy $*"
}
far=ecp://127.0.0.1:$proxy_port/USER

# start COMMAND...: in the background, with SIGINT as an interactive shell leaves it. Sets p.
start() {
    env --default-signal=INT "$@" >"$dir/started.out" 2>&1 &
    p=$!
}
runs() { [ "$(cat "/proc/$p/comm" 2>/dev/null)" = "$1" ] && grep -q '^State:[[:space:]]*[SD]' "/proc/$p/status"; }
waits() { wait_until 10 runs "$1" || fail "$1 does not wait"; }
# ends SIGNAL STATUS WHAT: the signal ends it.
ends() {
    local status
    kill "-$1" $p
    wait_until 20 gone $p || fail "$3: SIG$1 does not end it"
    wait $p
    status=$?
    assert_eq "$2" $status "$3: status after SIG$1"
}
ends_by_all() { # WHAT COMMAND...
    local what=$1 signal
    shift
    for signal in 'INT 130' 'TERM 143' 'KILL 137'; do
        start "$@"
        waits "$1"
        ends $signal "$what"
    done
}
line() { sed -n "s/^$2 //p" "$1/.ecp/status"; }
is() { [ "$(line "$1" "$2")" = "$3" ]; }
told_away() { case $(line "$1" state) in trouble | recovery) ;; *) return 1 ;; esac; }
# status CODE TARGET WHAT
status() {
    local code
    timeout 30 ecp status "$2" >"$dir/status" 2>"$dir/err"
    code=$?
    assert_eq "$1" $code "$3"
}
says() { grep -Eq "$2" "$1"; }

# script NAME PYTHON ARGUMENT...: in the background; it says what it has done, and goes on when it is told
# to. Sets p.
script() {
    said=$dir/said.$1
    # shellcheck disable=SC2016
    python3 -uc "import fcntl, os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
def told(): signal.sigwait([signal.SIGUSR1])
def attempt(f, *a):
    try: return f(*a) or 0
    except OSError as e: return e.errno
$2" "${@:3}" >"$said" 2>&1 &
    p=$!
    pids+=("$p")
}
said() { wait_until 20 grep -qx "$1" "$said" || fail "no \"$1\": $(cat "$said")"; }
go_on() { kill -USR1 $p; }

# ---- hard ----

URL=$far mount_ecpfs hard
hard=$mnt hard_pid=$mount_pid hard_log=$mount_log
assert_eq "stats status" "$(cd "$hard/.ecp" && echo *)" "the files in .ecp"
node_set '^T("cached")' kept

away() {
    case $1 in
        stopped) kill -STOP "$ecpd_pid" ;;
        killed) kill -9 "$ecpd_pid" && wait "$ecpd_pid" 2>/dev/null ;;
        cut) proxy refuse ;;
    esac
}
back() {
    case $1 in
        stopped) kill -CONT "$ecpd_pid" ;;
        killed) start_ecpd --lease $lease ;;
        cut) proxy pass ;;
    esac
}

for how in stopped cut killed; do
    node_set '^U(1)' "uncached $how" && node_set '^U(2,1)' x && node_set '^V(1)' "$how" || fail "set"
    assert_eq kept "$(ls "$hard/T" >"$dir/listing" && cat "$hard/T/cached")" "to be cached"
    status 0 "$hard" "$how: status before"
    assert_eq normal "$(line "$hard" state)" "$how: state before"
    session=$(line "$hard" session)
    away $how
    value=$(timeout 60 cat "$hard/T/cached")
    assert_ok "$how: df" timeout 20 df "$hard"
    [ "$(line "$hard" lease_ms)" -eq 0 ] || assert_eq kept "$value" "$how: read under the lease"
    if [ $how != stopped ]; then # what is not sent is not sent later
        wait_until 20 told_away "$hard" || fail "$how: state $(line "$hard" state)"
        start mkdir "$hard/T/never-sent"
        waits mkdir
        ends KILL 137 "$how: mkdir"
    fi
    cat "$hard/V/1" >"$dir/reader.out" 2>&1 &
    reader=$!
    cat "$hard/V/1" >"$dir/second.out" 2>&1 & # waits in the kernel, for the first one's answer
    second=$!
    ends_by_all "$how: read" cat "$hard/U/1"
    ends_by_all "$how: list" ls "$hard/U/2"
    ends_by_all "$how: create" sh -c 'echo x >"$1"' sh "$hard/U/new"
    wait_until 60 told_away "$hard" || fail "$how: state $(line "$hard" state)"
    status 1 "$hard" "$how: status"
    is "$hard" session "$session" || fail "$how: the session is given up at once"
    gone $reader && fail "$how: a read ended: $(cat "$dir/reader.out")"
    gone $second && fail "$how: a read ended: $(cat "$dir/second.out")"
    kill -KILL $second # is heard when the first one has its answer
    back $how
    wait_until 60 gone $reader || fail "$how: a read is not served when the server is back"
    wait_until 60 gone $second || fail "$how: a killed read is not over when the server is back"
    assert_eq "$how" "$(cat "$dir/reader.out")" "$how: the read that waited"
    wait_until 60 is "$hard" state normal || fail "$how: state $(line "$hard" state) afterwards"
    status 0 "$hard" "$how: status afterwards"
    printf "%s" "$how" >"$hard/T/$how" || fail "$how: writing afterwards"
    assert_eq "$how" "$(node_get "^T(\"$how\")")" "$how: written afterwards"
    [ ! -e "$hard/T/never-sent" ] || fail "$how: a mkdir that was killed before it was sent was done"
done

# A process that ends with a lock and with data closes the file where no signal reaches it any more.
appends='f = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
fcntl.lockf(f, fcntl.LOCK_EX)
print("locked")
told()
os.write(f, b"dirty")
print("wrote")
told()
os._exit(0)'
script killed "$appends" "$hard/T/locked"
said locked
away cut
wait_until 60 told_away "$hard" || fail "no trouble"
go_on
said wrote
go_on
wait_until 20 gone $p || fail "a process with a lock and data cannot end"
start flock "$hard/T/locked" true
waits flock
ends INT 130 "waiting for a lock"
stored() { [ "$(node_get '^T("locked")')" = dirty ]; }
back cut
assert_ok "the lock of the killed process is free" ecp lock -t 30 '^T("locked")' -- true
wait_until 20 stored || fail "its data is not stored"

# A server that does not answer, and one that is not there; a mount that does not answer.
kill -STOP "$ecpd_pid"
status 3 "$URL" "a stopped server"
assert_said 'is ecpd running'
kill -CONT "$ecpd_pid"
status 0 "$URL" "the server"
for name in state server instance uptime_seconds sessions sessions_away durability journal_segment \
    checkpoints leases bytes:USER; do
    says "$dir/status" "^$name ." || fail "ecp status does not tell $name"
done
ecp status --json "$hard" | python3 -c 'import json, sys; s = json.load(sys.stdin)
assert s["state"] == "normal" and type(s["tries"]) is int and type(s["session"]) is str' || fail "JSON of a mount"
ecp status -j | python3 -c 'import json, sys; assert json.load(sys.stdin)["sessions"] > 1' || fail "JSON of the server"
kill -STOP "$hard_pid"
status 3 "$hard/T" "a mount whose ecpfs is stopped"
kill -CONT "$hard_pid"
status 2 "$dir" "no mount"
unmount_ecpfs hard "$hard_pid"

# SIGTERM twice while the server does not answer: the end comes at once, and the server hears of it.
mount_ecpfs twice
script twice "$appends" "$mnt/T/twice"
said locked
kill -STOP "$ecpd_pid"
go_on
said wrote
writer=$p
ended_by_term() { ! kill -TERM "$mount_pid"; } # again and again: two at a time may count as one
wait_until 20 ended_by_term || fail "a second SIGTERM does not end ecpfs"
wait "$mount_pid"
assert_eq 1 $? "status after a second SIGTERM"
kill -KILL $writer 2>/dev/null
kill -CONT "$ecpd_pid"
assert_ok "the session has ended, with its locks" ecp lock -t 20 '^T("twice")' -- true

# ---- soft ----

URL=$far mount_ecpfs soft -o soft,timeo=2
soft=$mnt soft_pid=$mount_pid soft_log=$mount_log
is "$soft" waits soft || fail "waits $(line "$soft" waits)"
script soft 'f = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
fcntl.flock(f, fcntl.LOCK_EX)
r = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT)
fcntl.lockf(r, fcntl.LOCK_EX, 10)
print("ready")
told()
os.write(f, b"lost")
print("fsync", attempt(os.fsync, f))
print("unlock", attempt(fcntl.flock, f, fcntl.LOCK_UN))
print("range", attempt(fcntl.lockf, r, fcntl.LOCK_UN, 10))
print("close", attempt(os.close, f))
signal.pause()' "$soft/T/soft" "$soft/T/range"
holder=$p
said ready
echo 'import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)' >"$dir/lock.py"
# One mkdir is under way when the connection breaks.
ls "$soft/T" >"$dir/listing" # nothing needs to be asked there
node_set '^U(1)' "uncached" && node_set '^U(2,1)' y || fail "set"
proxy half
mkdir "$soft/T/under-way" 2>"$dir/mkdir.err" &
under_way=$!
made() { ecp info '^T("under-way")' | grep -q '^directory *marked'; }
wait_until 20 made || fail "mkdir does not arrive: $(ecp info '^T("under-way")')"
away cut
go_on
wait_until 60 is "$soft" waits failing || fail "waits $(line "$soft" waits)"
said 'fsync 5'
said 'unlock 0'
said 'range 0'
said 'close 0'
says "$hard_log" 'connection lost: .*; what needs the server waits until it is back$' ||
    fail "the log does not tell that processes wait"
says "$soft_log" 'connection lost: .*; what needs the server fails after [0-9]+ s$' ||
    fail "the log does not tell that operations will fail"
wait_until 20 says "$soft_log" '\^T\("soft"\): 4 bytes .* lost' || fail "the log does not name what is lost"
wait_until 20 gone $under_way || fail "an update that was sent is waited for"
says "$dir/mkdir.err" 'Input/output error' || fail "mkdir: $(cat "$dir/mkdir.err")"
for command in "cat $soft/U/1" "ls $soft/U/2" "mkdir $soft/T/refused" "rm $soft/U/1" \
    "python3 $dir/lock.py $soft/T/other"; do
    assert_fails "soft: $command" timeout 60 $command
    assert_said 'input/output error'
done
status 1 "$soft" "soft: status"
says "$dir/status" '^last_error .' || fail "no error in the status"
back cut
wait_until 60 is "$soft" state normal || fail "soft: state $(line "$soft" state) afterwards"
is "$soft" waits soft || fail "waits $(line "$soft" waits) afterwards"
assert_eq "uncached" "$(cat "$soft/U/1")" "soft: a read afterwards"
printf again >"$soft/T/soft" && assert_eq again "$(node_get '^T("soft")')" "soft: a write afterwards"
[ -d "$soft/T/under-way" ] || fail "a mkdir that was done is not seen"
[ ! -e "$soft/T/refused" ] || fail "what was refused was done"
for name in soft range; do
    assert_ok "a lock unlocked while the server was away" ecp lock -t 30 "^T(\"$name\")" -- true
done
p=$holder
ends KILL 137 "the process that unlocked"
unmount_ecpfs soft "$soft_pid"

# ---- the session is given up ----

URL=$far mount_ecpfs short -o recovery=1 # of 60 s that the server would allow
session=$(line "$mnt" session)
script holder 'f = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(f, fcntl.LOCK_EX)
signal.pause()' "$mnt/T/cached"
locked() { ecp locks | grep -q 'exclusive.*\^T("cached")'; }
wait_until 20 locked || fail "not locked"
away cut
wait_until 30 is "$mnt" state lost || fail "state $(line "$mnt" state), not lost"
status 1 "$mnt" "a session that is over"
back cut
wait_until 60 is "$mnt" state normal || fail "no other session begins"
[ "$(line "$mnt" session)" != "$session" ] || fail "the session was to be given up"
says "$mount_log" 'session has ended' || fail "the log does not tell"
ends KILL 137 "the holder of a lock that was lost"
unmount_ecpfs short "$mount_pid"
for wrong in soft,timeo=0 recovery=x timeo=-1; do
    assert_fails "-o $wrong" ecpfs "$URL" "$mnt" -o $wrong
done

# ---- unmounting when the server is gone ----

declare -A pid log writer
for name in one two three four; do
    URL=$far mount_ecpfs $name
    pid[$name]=$mount_pid log[$name]=$mount_log
    script $name "$appends" "$mnt/T/$name"
    said locked
    writer[$name]=$p
done
URL=$far mount_ecpfs clean
clean_pid=$mount_pid
away cut
for name in one two three four; do
    p=${writer[$name]} said=$dir/said.$name
    wait_until 60 told_away "$dir/mnt/$name" || fail "$name: no trouble"
    go_on
    said wrote
    ends KILL 137 "$name: a writer"
done
for name in one two three four; do
    is "$dir/mnt/$name" unsent_bytes 5 || fail "unsent: $(cat "$dir/mnt/$name/.ecp/status")"
done
unmount_ecpfs clean "$clean_pid"
assert_ok "fusermount3 -u" timeout 20 fusermount3 -u "$dir/mnt/one"
if [ "$(id -u)" -eq 0 ]; then
    assert_ok "umount" timeout 20 umount "$dir/mnt/two"
else
    assert_ok "fusermount3 -u" timeout 20 fusermount3 -u "$dir/mnt/two"
fi
start cat "$dir/mnt/three/U/1"
waits cat
kill -TERM "${pid[three]}" "${pid[four]}"
ends KILL 137 "cat on a mount that ends"
kill -TERM "${pid[four]}" # a second time: at once
for name in four one two three; do
    wait_until 50 gone "${pid[$name]}" || fail "$name: ecpfs does not end"
    wait "${pid[$name]}"
    assert_eq 1 $? "$name: status of an ecpfs that has lost data"
    mounted "$dir/mnt/$name" && fail "$name: still mounted"
    [ $name = four ] || says "${log[$name]}" "\\^T\\(\"$name\"\\): 5 bytes .* lost" ||
        fail "$name: the log does not name what is lost: $(cat "${log[$name]}")"
done
back cut
stop_ecpd
