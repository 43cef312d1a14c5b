#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A mount whose daemon is stopped or cut off delays a write elsewhere for a lease at most; and from the
# moment that write is done, nothing read through it is old: it is the kernel that answers.
LIMIT=300
. "$(dirname "$0")/lib.sh"
need_fuse
command -v python3 >/dev/null || skip "no python3"

term=10
lease=()
if ecpd --help | grep -q -- '--lease'; then
    term=4
    lease=(--lease "$term")
fi
margin=5 # a machine with other work

start_ecpd "${lease[@]}"
coproc PROXY { exec "$top_srcdir/tests/coherence/proxy.py" "$port"; }
pids+=("$PROXY_PID")
read -r -t 20 -u "${PROXY[0]}" proxy_port || fail "the proxy does not begin"
proxy() {
    local answer
    echo "$*" >&"${PROXY[1]}"
    read -r -t 20 -u "${PROXY[0]}" answer && [ "$answer" = ok ] || fail "proxy $*"
}
mount_ecpfs a
a=$mnt a_pid=$mount_pid
URL=ecp://127.0.0.1:$proxy_port/USER
mount_ecpfs b
b=$mnt b_pid=$mount_pid

# warm ROUND: everything that is looked at later is in the caches of mount b.
warm() {
    mkdir -p "$a/D$1/sub" || fail mkdir
    printf 'old' >"$a/D$1/value" && printf 'old' >"$a/D$1/sub/deep" && printf x >"$a/D$1/goes" ||
        fail "writing before"
    cat "$b/D$1/value" "$b/D$1/sub/deep" "$b/D$1/goes" >/dev/null || fail "reading before"
    ls -l "$b/D$1" >/dev/null || fail "listing before"
    stat "$b/D$1/comes" 2>/dev/null && fail "it is there already"
    exec {held}<"$b/D$1/value" || fail open
    cat <&"$held" >/dev/null
}

# watch NAME COMMAND...: repeats it through b, each time with its start and what it said; each has
# its own process, for it may block until the daemon goes on.
watch() {
    local name=$1 start answer
    shift
    while [ ! -e "$dir/enough" ]; do
        start=$(date +%s%N)
        answer=$("$@" 2>/dev/null | head -c 100 | tr '\n' ' ')
        echo "$start ${answer:-nothing}"
    done >"$dir/seen.$name"
}
size_of() { stat -c %s "$1"; }
exists() { stat -c present "$1"; }
watchers() {
    local round=$1
    rm -f "$dir"/seen.* "$dir/enough"
    watched=()
    watch value cat "$b/D$round/value" &
    watched+=($!)
    watch deep cat "$b/D$round/sub/deep" &
    watched+=($!)
    watch size size_of "$b/D$round/value" &
    watched+=($!)
    watch goes exists "$b/D$round/goes" &
    watched+=($!)
    watch listing ls "$b/D$round" &
    watched+=($!)
    python3 -c '
import os, sys, time
while not os.path.exists(sys.argv[1]):
    start = time.time_ns()
    try:
        print(start, os.pread(int(sys.argv[2]), 100, 0).decode() or "nothing", flush=True)
    except OSError:
        print(start, "nothing", flush=True)
' "$dir/enough" "$held" >"$dir/seen.held" &
    watched+=($!)
}

# change ROUND WHAT COMMAND...: done within a lease; sets done_at (ns).
declare -A done_at
change() {
    local round=$1 what=$2 began=$(date +%s%N)
    shift 2
    timeout $((term + margin)) "$@" || fail "$round: a write waits longer than a lease: $what"
    done_at[$what]=$(date +%s%N)
    echo "$round: $what took $(((done_at[$what] - began) / 1000000)) ms"
    tests=$((tests + 1))
}

# never_old ROUND WATCHED CHANGE OLD: no look that began after the change was done saw OLD.
never_old() {
    local start answer
    [ -e "$dir/seen.$2" ] || fail "$1: $2 was not watched"
    while read -r start answer; do
        [ "$start" -gt "${done_at[$3]}" ] || continue
        [[ " $answer " != *" $4 "* ]] ||
            fail "$1: $2 was old $(((start - done_at[$3]) / 1000000)) ms after the change was done"
    done <"$dir/seen.$2"
    tests=$((tests + 1))
}

# round NAME STOP START: what happens to b, and how it ends.
round() {
    local name=$1 deadline
    warm "$name"
    watchers "$name"
    watching() { [ -s "$dir/seen.value" ] && [ -s "$dir/seen.held" ]; }
    wait_until 10 watching || fail "$name: nobody looks"
    $2
    change "$name" value bash -c 'printf "new!" >"$1"' - "$a/D$name/value"
    change "$name" deep bash -c 'printf "new!" >"$1"' - "$a/D$name/sub/deep"
    change "$name" goes rm "$a/D$name/goes"
    deadline=$(($(date +%s%N) + 2000000000))
    late() { [ "$(date +%s%N)" -ge $deadline ]; }
    wait_until 10 late # looks go on for a while after the last change
    $3
    : >"$dir/enough"
    wait_until 60 none_watches || fail "$name: a look does not end"
    never_old "$name" value value old
    never_old "$name" held value old
    never_old "$name" deep deep old
    never_old "$name" size value 3
    never_old "$name" goes goes present
    never_old "$name" listing goes goes
    exec {held}<&-
    wait_until 30 reads 'new!' "$b/D$name/value" || fail "$name: b does not see it in the end"
    wait_until 30 reads 'new!' "$b/D$name/sub/deep" || fail "$name: b does not see it in the end"
}
none_watches() {
    local p
    for p in "${watched[@]}"; do gone "$p" || return 1; done
}
stop_daemon() { kill -STOP "$b_pid"; }
start_daemon() { kill -CONT "$b_pid"; }
cut_off() { proxy drop; }
let_through() { proxy pass; }
half_open() { proxy half; }

round stopped stop_daemon start_daemon
round cut cut_off let_through
round half half_open let_through

unmount_ecpfs a "$a_pid"
unmount_ecpfs b "$b_pid"
stop_ecpd
