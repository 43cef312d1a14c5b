#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# While the server does not answer, signals end what waits on a mount, and the mount can be undone.
LIMIT=240
. "$(dirname "$0")/lib.sh"
need_fuse

start_ecpd --lease 2
ecpd_port=$port
mount_ecpfs a
a=$mnt a_pid=$mount_pid
mkdir "$a/T" && printf one >"$a/T/1" && printf two >"$a/T/2" || fail "files"
mkfifo "$dir/fifo"
exec 9<>"$dir/fifo"

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
# appends_from_fifo FILE: a cat that has appended "tail" to FILE and wants more from the fifo.
appends_from_fifo() {
    env --default-signal=INT cat <"$dir/fifo" >>"$1" &
    p=$!
    waits cat
}
wrote() { grep -q "^pos:[[:space:]]*$1\$" "/proc/$p/fdinfo/1"; }

# A process that dies closes its files: that does not wait for a server that is away, and what it
# wrote arrives when the server is back.
: >"$a/T/log" && : >"$a/T/over" || fail "files"
appends_from_fifo "$a/T/log"
appender=$p
node_set '^T(1)' one # the mount has to ask for it again
kill -STOP "$ecpd_pid"
printf tail >&9
p=$appender
wait_until 10 wrote 4 || fail "an append waits for the server"
ends KILL 137 "appending"
start cat "$a/T/1"
waits cat
kill -CONT "$ecpd_pid"
wait_until 20 gone $p || fail "a read is not served after SIGCONT"
assert_eq one "$(cat "$dir/started.out")" "the read that waited"
wait_until 20 reads tail "$a/T/log" || fail "what the killed process wrote is lost"

# In close(2), and in a write(2) that has to fetch what it changes.
start python3 -c 'import os, sys
f = os.open(sys.argv[1], os.O_WRONLY)
os.write(f, b"x")
os.kill(int(sys.argv[2]), 19)
os.close(f)' "$a/T/over" "$ecpd_pid"
waits python3
stopped() { grep -q '^State:[[:space:]]*T' "/proc/$ecpd_pid/status"; }
wait_until 10 stopped || fail "not in close"
ends KILL 137 "close"
kill -CONT "$ecpd_pid"
wait_until 20 reads x "$a/T/over" || fail "what was written before a killed close is lost"

# Longer than any connection lives. What others changed is in no cache.
node_set '^T(1)' one
kill -STOP "$ecpd_pid"
for signal in 'INT 130' 'TERM 143' 'KILL 137'; do
    start cat "$a/T/1"
    waits cat
    ends $signal "cat"
done
start ls -l "$a/T"
waits ls
ends INT 130 "ls"
start sh -c 'echo x >"$1"' sh "$a/T/new"
waits sh
ends KILL 137 "creating"
start mkdir "$a/T/dir"
waits mkdir
ends KILL 137 "mkdir"
start rm "$a/T/2"
waits rm
ends KILL 137 "rm"
kill -CONT "$ecpd_pid"
wait_until 30 reads one "$a/T/1" || fail "reading after it all"
printf three >"$a/T/1" && assert_eq three "$(node_get '^T(1)')" "writing after it all"

# Lazily unmounted under a process that waits.
mount_ecpfs b
kill -STOP "$ecpd_pid"
start cat "$mnt/T/1"
waits cat
assert_ok "lazy unmount" fusermount3 -u -z "$mnt"
mounted "$mnt" && fail "still mounted"
ends KILL 137 "cat on a mount that is gone"
wait_until 20 gone "$mount_pid" || fail "ecpfs does not end after a lazy unmount"
kill -CONT "$ecpd_pid"

# The server is gone for good.
mount_ecpfs c
kill -9 "$ecpd_pid"
wait "$ecpd_pid" 2>/dev/null
for signal in 'INT 130' 'KILL 137'; do
    start cat "$mnt/T/1"
    waits cat
    ends $signal "cat without a server"
done
unmount_ecpfs c "$mount_pid"

# And comes back.
start_ecpd --lease 2
wait_until 30 reads three "$a/T/1" || fail "the mount does not come back"

# A value that was under way when the server died is sent again.
close_stopped='import os, sys
f = os.open(sys.argv[1], os.O_WRONLY | os.O_TRUNC)
os.write(f, b"four")
os.kill(int(sys.argv[2]), 19)
os.close(f)'
dies_in_close() {
    start python3 -c "$close_stopped" "$a/T/1" "$ecpd_pid"
    wait_until 10 stopped || fail "not in close"
    kill -9 "$ecpd_pid"
    wait "$ecpd_pid" 2>/dev/null
}
dies_in_close
start_ecpd --lease 2
wait $p || fail "close, over the death of the server: $(cat "$dir/started.out")"
assert_eq four "$(node_get '^T(1)')" "a value under way when the server died"
unmount_ecpfs a "$a_pid"
stop_ecpd
