# SPDX-License-Identifier: Apache-2.0
# What the scenario tests share (bash). A scenario sources this first; it then runs bounded in time,
# in its own temporary directory ($dir), and everything it started is gone when it ends.

# LIMIT (seconds) may be set before sourcing.
if [ -z "${SCENARIO_BOUNDED:-}" ]; then
    export SCENARIO_BOUNDED=1
    exec timeout -k 30 "${LIMIT:-120}" "$0" "$@"
fi

set -u -o pipefail
unset ECP_URL
export LC_ALL=C

scenario_dir=$(cd "$(dirname "$0")" && pwd)
top_srcdir=${top_srcdir:-$(cd "$scenario_dir/../.." && pwd)}
top_builddir=${top_builddir:-$top_srcdir/build}
export PATH=$top_builddir:$PATH:/usr/sbin:/sbin
sample=$top_srcdir/tests/data/patients.zwr

for program in ecpd ecpfs ecp; do
    [ -x "$top_builddir/$program" ] || { echo "no $top_builddir/$program"; exit 99; }
done

dir=$(mktemp -d "${TMPDIR:-/tmp}/ecpfs-test.XXXXXX") || exit 99
mkdir "$dir/mnt"
# Reports of the sanitizers go to files: a daemon's stderr may be nowhere.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}log_path=$dir/sanitizer
export UBSAN_OPTIONS=${UBSAN_OPTIONS:+$UBSAN_OPTIONS:}print_stacktrace=1:log_path=$dir/sanitizer

pids=()  # daemons started here
tests=0  # assertions that held
ecpd_pid=

# fail TEXT...: ends the scenario with the logs.
fail() {
    echo "FAIL: $* (line ${BASH_LINENO[0]}${BASH_LINENO[1]:+, called from ${BASH_LINENO[1]}})"
    exit 1
}

# skip TEXT...: where everything is to be tested, nothing may be skipped.
skip() {
    [ "${CI:-}" = true ] && fail "would be skipped: $*"
    echo "SKIP: $*"
    exit 77
}

# assert_eq EXPECTED ACTUAL [WHAT]
assert_eq() {
    [ "$1" = "$2" ] || fail "${3:-values differ}: expected '$1', got '$2'"
    tests=$((tests + 1))
}

# assert_ok WHAT COMMAND...; assert_fails WHAT COMMAND...: output is kept in $dir/out and $dir/err.
assert_ok() {
    local what=$1
    shift
    "$@" >"$dir/out" 2>"$dir/err" || fail "$what: status $?: $(head -c 500 "$dir/err")"
    tests=$((tests + 1))
}
assert_fails() {
    local what=$1 status
    shift
    "$@" >"$dir/out" 2>"$dir/err"
    status=$?
    [ $status -ne 0 ] || fail "$what: succeeded"
    [ $status -lt 124 ] || fail "$what: status $status, not an error it reported itself"
    tests=$((tests + 1))
}
# assert_said PATTERN: the last command's error output matches (grep -Ei).
assert_said() {
    grep -Eiq -- "$1" "$dir/err" || fail "no message like '$1': $(head -c 500 "$dir/err")"
    tests=$((tests + 1))
}

# wait_until SECONDS COMMAND...: polls until it succeeds; false when the time is over.
wait_until() {
    local deadline=$(($(date +%s%N) + $1 * 1000000000))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s%N)" -lt "$deadline" ] || return 1
        sleep 0.05
    done
}

gone() { ! kill -0 "$1" 2>/dev/null; }
mounted() { grep -q " $1 " /proc/self/mounts; }
same() { cmp -s "$1" "$2"; }
reads() { [ "$(cat "$2" 2>/dev/null)" = "$1" ]; }

# start_ecpd [OPTION...]: a server on a port of its own, data in $dir/data. Sets ecpd_pid, port, URL.
start_ecpd() {
    ecpd_log=$dir/ecpd.$RANDOM$RANDOM.log
    ecpd --data "$dir/data" --listen "127.0.0.1:${ecpd_port:-0}" --foreground "$@" \
        </dev/null >"$ecpd_log" 2>&1 &
    ecpd_pid=$!
    pids+=("$ecpd_pid")
    listening() {
        gone "$ecpd_pid" || grep -q 'listening on 127\.0\.0\.1:' "$ecpd_log"
    }
    wait_until 20 listening || fail "ecpd does not listen: $(cat "$ecpd_log")"
    port=$(sed -n 's/.*listening on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$ecpd_log" | head -n 1)
    [ -n "$port" ] || fail "ecpd ended: $(cat "$ecpd_log")"
    URL=ecp://127.0.0.1:$port/USER
    export ECP_URL=$URL
}

# stop_ecpd: SIGTERM, and a clean end.
stop_ecpd() {
    local status
    kill "$ecpd_pid" || fail "ecpd is not running: $(cat "$ecpd_log")"
    wait_until 20 gone "$ecpd_pid" || fail "ecpd does not end on SIGTERM"
    wait "$ecpd_pid"
    status=$?
    assert_eq 0 $status "ecpd's exit status"
}

need_fuse() {
    [ -r /dev/fuse ] && [ -w /dev/fuse ] || skip "no access to /dev/fuse"
    command -v fusermount3 >/dev/null || [ "$(id -u)" -eq 0 ] || skip "no fusermount3"
}

# mount_ecpfs NAME [OPTION...]: $URL on $dir/mnt/NAME, in the foreground. Sets mnt and mount_pid.
mount_ecpfs() {
    mnt=$dir/mnt/$1
    mkdir -p "$mnt"
    mount_log=$dir/ecpfs.$1.$RANDOM$RANDOM.log
    shift
    ecpfs "$URL" "$mnt" -f "$@" </dev/null >"$mount_log" 2>&1 &
    mount_pid=$!
    pids+=("$mount_pid")
    mount_settled() { gone "$mount_pid" || mounted "$mnt"; }
    wait_until 20 mount_settled || fail "not mounted: $(cat "$mount_log")"
    gone "$mount_pid" && fail "ecpfs ended: $(cat "$mount_log")"
    wait_until 20 ls "$mnt" || fail "the mount does not answer: $(cat "$mount_log")"
}

unmount() {
    fusermount3 -u "$1" 2>/dev/null || umount "$1" 2>/dev/null
}

# unmount_ecpfs NAME PID: and its daemon ends cleanly.
unmount_ecpfs() {
    local status
    wait_until 10 unmount "$dir/mnt/$1" || fail "cannot unmount $1"
    wait_until 20 gone "$2" || fail "ecpfs does not end after its unmount"
    wait "$2"
    status=$?
    assert_eq 0 $status "ecpfs's exit status"
}

# In one place, as the command line spells them.
node_get() { ecp get "$1"; }
node_set() { ecp set "$1" "$2"; }

cleanup() {
    local status=$? pid point
    trap '' INT TERM HUP
    trap - EXIT
    cd /
    for pid in "${pids[@]:+${pids[@]}}"; do
        kill -CONT "$pid" 2>/dev/null # a stopped server would keep a mount busy
    done
    for point in "$dir"/mnt/*; do
        mounted "$point" && { unmount "$point" || umount -l "$point" || fusermount3 -uz "$point"; } \
            2>/dev/null
    done
    for pid in "${pids[@]:+${pids[@]}}"; do
        kill "$pid" 2>/dev/null
    done
    for pid in "${pids[@]:+${pids[@]}}"; do
        wait_until 10 gone "$pid" || {
            echo "FAIL: process $pid did not end on SIGTERM"
            kill -9 "$pid" 2>/dev/null
            status=1
        }
    done
    if ls "$dir"/sanitizer.* >/dev/null 2>&1; then
        echo "FAIL: the sanitizers found something"
        cat "$dir"/sanitizer.*
        status=1
    fi
    if [ $status -ne 0 ] && [ $status -ne 77 ]; then
        for pid in "$dir"/*.log; do
            [ -s "$pid" ] && { echo "-- ${pid##*/}"; tail -n 100 "$pid"; }
        done
    fi
    # A mount that is still there must not be emptied into the server.
    grep -q " $dir/mnt/" /proc/self/mounts || rm -rf --one-file-system "$dir"
    [ $status -eq 0 ] && echo "$tests assertions held"
    exit $status
}
trap cleanup EXIT
trap 'exit 124' TERM
trap 'exit 130' INT HUP
