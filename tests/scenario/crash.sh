#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ecpd is killed (SIGKILL) again and again, at random and at chosen points, while two protocol
# clients and two mounts work; now and then one of those is killed, too. Nothing that they were told
# is lost, done twice or out of order, the lock is never held by two, and no batch or file is halved.
# Where answers do not wait for the disk, that goes for those that live.
# CRASH_KILLS: how often, in all, at least; two thirds of them where answers wait for the disk.
kills=${CRASH_KILLS:-15}
LIMIT=$((180 + kills * 8))
. "$(dirname "$0")/lib.sh"
need_fuse

programs=$top_builddir/tests/crash
window=8 # seconds, the recovery window
RANDOM=${CRASH_SEED:-$$}
echo "CRASH_SEED=${CRASH_SEED:-$$}"

# to_kill PID...: the shell says nothing when they end.
to_kill() { disown "$@"; }

# dead PID: it has ended; its number may be another's by and by.
dead() {
    wait_until 10 gone "$1" || fail "$1 survived"
    forget "$1"
}
forget() {
    local kept=() pid
    for pid in "${pids[@]}"; do
        [ "$pid" = "$1" ] || kept+=("$pid")
    done
    pids=("${kept[@]:+${kept[@]}}")
}

start() {
    [ -z "${ecpd_log:-}" ] || {
        grep 'journal replayed' "$ecpd_log" >>"$dir/replays"
        rm -f "$dir/before.log"
        mv "$ecpd_log" "$dir/before.log"
    }
    start_ecpd --config "$dir/ecpd.conf" --listen "unix:$dir/sock" --lease 1 --recovery $window \
        --pid-file "$dir/ecpd.pid"
    ecpd_port=$port
}

# start_client NAME: sets the pid in client[NAME's number].
start_client() {
    local number=${1%%_*} address=127.0.0.1:$port
    [ "$number" = 1 ] || address=unix:$dir/sock
    "$programs/crash_client" load "$address" "$notes" "$1" "$dir/ecpd.pid" "$mode" \
        >"$dir/client.$1.log" 2>&1 &
    client[number]=$!
    pids+=("$!")
    wait_until 20 test -e "$notes/$1" || fail "client $1 does not start" # it is signalled soon
    names+=("$1")
    name[number]=$1
}

# start_mount NAME OTHER: and the process that writes there.
start_mount() {
    [ "$1" = a ] || URL=ecp+unix://$dir/sock
    mount_ecpfs "$1"
    URL=ecp://127.0.0.1:$port/USER
    mount_of[$1]=$mount_pid
    files_mode=$mode # mount a is never killed
    [ "$mode $1" = 'applied a' ] && files_mode=lives
    mkdir -p "$mnt/LOG" "$mnt/FILES"
    assert_ok "sync of directories" ecp sync
    "$programs/crash_files" load "$mnt" "$notes" "$1" "$2" "$dir/ecpd.pid" \
        "$files_mode" >"$dir/files.$1.log" 2>&1 &
    files[$1]=$!
    pids+=("$!")
}

# Each of them ends on its own only when it has found something.
client_lives() {
    gone "${client[$1]}" && fail "client ${name[$1]}: $(cat "$dir/client.${name[$1]}.log")"
}
all_live() {
    local i
    client_lives 1
    client_lives 2
    for i in a b; do
        gone "${files[$i]}" && fail "files of mount $i: $(cat "$dir/files.$i.log")"
        gone "${mount_of[$i]}" && fail "mount $i has ended"
    done
}

kill_ecpd() {
    to_kill "$ecpd_pid"
    case $((RANDOM % 8)) in
    0) # at once: locks, leases and sessions are just coming back
        sleep "0.0$((RANDOM % 100))"
        kill -9 "$ecpd_pid"
        ;;
    1 | 2) kill -USR1 "${client[$((1 + RANDOM % 2))]}" ;; # right after an answer
    3) kill -USR2 "${client[$((1 + RANDOM % 2))]}" ;;     # in the middle of a burst
    4) "$programs/crash_kill" "$ecpd_pid" "$data" data.mdb modify 4 ;; # in a checkpoint
    5) "$programs/crash_kill" "$ecpd_pid" "$data" journal- create 3 ;; # with a new segment
    *) # any time
        sleep "$((RANDOM % 3)).$((RANDOM % 1000))"
        kill -9 "$ecpd_pid"
        ;;
    esac
    killed
}
killed() {
    wait_until 130 gone "$ecpd_pid" || { all_live; fail "ecpd has not been killed"; }
    forget "$ecpd_pid"
    ecpd_killed=$((ecpd_killed + 1))
    start
    all_live
}

more_rounds() { [ "$("$programs/crash_client" rounds "$notes")" -ge "$1" ]; }

# Others wait for what it held for as long as the window, and no longer. The server is killed with
# the first answer to who comes after it, too: nothing else of that session is on disk yet.
kill_client() {
    local number=$((1 + clients_killed % 2)) rounds
    to_kill "${client[number]}"
    kill -9 "${client[number]}"
    dead "${client[number]}"
    clients_killed=$((clients_killed + 1))
    [ $((RANDOM % 2)) = 0 ] || kill_ecpd_now
    rounds=$("$programs/crash_client" rounds "$notes")
    wait_until $((2 * window)) more_rounds $((rounds + 3)) || {
        client_lives $((3 - number))
        fail "the others do not go on after ${name[number]} was killed"
    }
    start_client "${number}_$clients_killed"
    to_kill "$ecpd_pid"
    kill -USR1 "${client[number]}"
    killed
}

kill_ecpd_now() {
    to_kill "$ecpd_pid"
    kill -9 "$ecpd_pid"
    dead "$ecpd_pid"
    ecpd_killed=$((ecpd_killed + 1))
    start
}

kill_mount() {
    to_kill "${files[b]}" "${mount_of[b]}"
    kill -9 "${files[b]}" "${mount_of[b]}"
    dead "${mount_of[b]}"
    dead "${files[b]}"
    wait_until 10 unmount "$dir/mnt/b" || fail "cannot unmount what was killed"
    mounts_killed=$((mounts_killed + 1))
    start_mount b a
}

end_load() {
    local i
    all_live
    touch "$notes/stop"
    kill "${client[@]}"
    for i in 1 2; do
        wait_until 60 gone "${client[i]}" || fail "client ${name[i]} does not end"
        wait "${client[i]}" || fail "client ${name[i]}: $(cat "$dir/client.${name[i]}.log")"
        forget "${client[i]}"
    done
    for i in a b; do
        wait_until 60 gone "${files[$i]}" || fail "files of mount $i do not end"
        wait "${files[$i]}" || fail "files of mount $i: $(cat "$dir/files.$i.log")"
        forget "${files[$i]}"
    done
}

# crashes MODE COUNT LINE...: so many, with these lines in the database's configuration.
crashes() {
    local count=$2 i
    mode=$1
    shift 2
    data=$dir/data.$mode notes=$dir/notes.$mode
    names=() ecpd_killed=0 clients_killed=0 mounts_killed=0
    mkdir "$notes"
    { printf 'database user {\n directory = "%s"\n memory = "1M"\n' "$data"
      printf ' %s\n' "$@"
      printf '}\nnamespace USER { database = "user" }\n'; } >"$dir/ecpd.conf"
    start
    start_client 1_0
    start_client 2_0
    start_mount a b
    start_mount b a
    for ((i = 1; i <= count; i++)); do
        kill_ecpd
        ((i % 5 == 0)) && kill_client
        ((i % 7 == 0)) && kill_mount
    done
    end_load
    assert_ok "what clients were told" "$programs/crash_client" check "127.0.0.1:$port" "$notes" "${names[@]}"
    echo "$mode: $ecpd_killed kills of ecpd, $clients_killed of clients, $mounts_killed of mounts"
    cat "$dir/out"
    assert_ok "what files hold" "$programs/crash_files" check "$dir/mnt/a" "$notes" a b
    cat "$dir/out"
    assert_ok "what files hold elsewhere" "$programs/crash_files" check "$dir/mnt/b" "$notes" a b
    assert_ok "check in use" ecp check "$data"
    unmount_ecpfs a "${mount_of[a]}"
    unmount_ecpfs b "${mount_of[b]}"
    forget "${mount_of[a]}"
    forget "${mount_of[b]}"
    kill_ecpd_now
    assert_ok "check in use, after a crash" ecp check "$data"
    stop_ecpd
    forget "$ecpd_pid"
    assert_ok "check" ecp check "$data"
}

declare -a client name
declare -A mount_of files
: >"$dir/replays"
crashes durable $((kills - kills / 3))
[ "$kills" -lt 3 ] || crashes applied $((kills / 3)) 'acknowledge = "applied"' 'durability = "interval=200"'
sed -n 's/.* \([0-9]*\) records .* in \([0-9]*\) ms$/\1 \2/p' "$dir/replays" | sort -k2n |
    awk '{ sum += $1; if ($1 > most) most = $1; time = $2 }
         END { if (NR) printf "%d replays, of %d records at most, in %d ms at most\n", NR, most, time }'
