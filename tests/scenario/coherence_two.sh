#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Several mounts of one namespace, many processes, few names: what each saw has an explanation in
# which every operation took effect at one moment; also when programs are killed, stopped or cut off.
# COHERENCE_SECONDS=N makes each part last N seconds. COHERENCE_PARTS names the parts to run, of
# two four names killed stopped server delayed reset dropped half refused.
seconds=${COHERENCE_SECONDS:-8}
LIMIT=$((seconds * 9 + 400))
. "$(dirname "$0")/lib.sh"
need_fuse
command -v python3 >/dev/null || skip "no python3"
record=$top_builddir/tests/coherence/record
check=$top_builddir/tests/coherence/check
for program in "$record" "$check"; do
    [ -x "$program" ] || { echo "no $program"; exit 99; }
done
[ "$seconds" -ge 8 ] || fail "COHERENCE_SECONDS: at least 8"

# A short lease where the server can be told one.
term=10
lease=()
if ecpd --help | grep -q -- '--lease'; then
    term=2
    lease=(--lease "$term")
fi
margin=10 # for a machine that has other work
bound=$((term + margin))

# proxy_start: a proxy before the server; $proxied is the URL through it.
proxy_start() {
    coproc PROXY { exec "$top_srcdir/tests/coherence/proxy.py" "$port"; }
    proxy_pid=$PROXY_PID
    pids+=("$proxy_pid")
    read -r -t 20 -u "${PROXY[0]}" proxy_port || fail "the proxy does not begin"
    proxied=ecp://127.0.0.1:$proxy_port/USER
}
proxy() {
    local answer
    echo "$*" >&"${PROXY[1]}"
    read -r -t 20 -u "${PROXY[0]}" answer && [ "$answer" = ok ] || fail "proxy $*: ${answer:-nothing}"
}

# begin NAME MOUNTS: that many fresh mounts m0, m1... (m1 through $via, if set) and a global NAME.
begin() {
    part=$1
    points=() daemons=()
    local i direct=$URL
    for ((i = 0; i < $2; i++)); do
        URL=$direct
        [ $i -eq 1 ] && [ -n "${via:-}" ] && URL=$via
        mount_ecpfs "$part$i"
        points+=("$mnt")
        daemons+=("$mount_pid")
    done
    URL=$direct
    rm -rf "$dir/record.$part"
    mkdir "$dir/record.$part" || fail mkdir
}
# recording OPTION...: in the background.
recording() {
    "$record" -o "$dir/record.$part" -t "$seconds" -p "$bound" -G "$part" "$@" "${points[@]}" \
        >"$dir/record.$part.log" 2>&1 &
    recorder=$!
    pids+=("$recorder")
}
# midway TENTHS: until that part of the time is over.
midway() {
    local until=$(($(date +%s%N) + seconds * $1 * 100000000))
    while [ "$(date +%s%N)" -lt $until ]; do
        gone $recorder && fail "$part: record ended: $(cat "$dir/record.$part.log")"
        sleep 0.1
    done
}
# explained [-f]: the recorder ended well, and so does the check.
explained() {
    wait $recorder
    assert_eq 0 $? "$part: $(cat "$dir/record.$part.log"); record's status"
    if ! "$check" "$@" "$dir/record.$part" >"$dir/check.$part" 2>&1; then
        head -n 150 "$dir/check.$part"
        [ -n "${COHERENCE_KEEP:-}" ] && cp -r "$dir/record.$part" "$COHERENCE_KEEP/"
        fail "$part: no explanation ($(head -n 1 "$dir/record.$part.log"))"
    fi
    echo "$part: $(tail -n 1 "$dir/check.$part")"
    tests=$((tests + 1))
}
finish() {
    local i
    for i in "${!points[@]}"; do
        [ -n "${daemons[i]}" ] && unmount_ecpfs "$part$i" "${daemons[i]}"
    done
}

part_two() {
    begin two 2
    recording
    explained
    finish
}
part_four() {
    begin four 4
    recording
    explained
    finish
}
# All at full speed in one directory: nobody waits for anybody for long.
part_names() {
    begin names 2
    recording -k n -g 1
    explained
    finish
}
part_killed() {
    begin killed 2
    recording
    midway 4
    kill -9 "${daemons[1]}" || fail kill
    wait "${daemons[1]}" 2>/dev/null
    fusermount3 -uz "${points[1]}" || umount -l "${points[1]}" || fail "unmounting what was killed"
    daemons[1]=
    explained -f
    finish
}
part_stopped() {
    begin stopped 2
    recording -x 1
    midway 2
    kill -STOP "${daemons[1]}" || fail kill
    stopped_until=$(($(date +%s) + term + 2))
    stopped_enough() { [ "$(date +%s)" -ge $stopped_until ]; }
    wait_until $((term + 10)) stopped_enough
    kill -CONT "${daemons[1]}" || fail kill
    explained -f
    finish
}
part_server() {
    begin server 2
    recording
    midway 3
    kill -STOP "$ecpd_pid" || fail kill
    stopped_until=$(($(date +%s) + 3))
    wait_until 10 stopped_enough
    kill -CONT "$ecpd_pid" || fail kill
    explained -f
    finish
}
# cut NAME COMMAND...: what the proxy does to one of the two mounts for a while.
cut() {
    local via=$proxied
    begin "$1" 2
    shift
    recording -x 1
    midway 2
    proxy "$@"
    midway 3
    proxy pass
    explained -f
    finish
}
part_delayed() { cut delayed delay 30; }
part_reset() { cut reset reset; }
part_dropped() { cut dropped drop; }
part_half() { cut half half; }
part_refused() { cut refused refuse; }

start_ecpd "${lease[@]}"
proxy_start
for each in ${COHERENCE_PARTS:-two names killed stopped}; do
    "part_$each"
done
stop_ecpd
