#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Updates through kill -9, the commands about a database's directory, a damaged journal, durability.
LIMIT=120
. "$(dirname "$0")/lib.sh"

cat >"$dir/ecpd.conf" <<END
database user {
    directory = "$dir/user"
    memory = "1M"
}
database quick {
    directory = "$dir/quick"
    acknowledge = "applied"
    durability = "interval=60000"
}
database scratch {
    directory = "$dir/scratch"
    journal = false
}
namespace USER { database = "user" }
namespace QUICK { database = "quick" }
namespace SCRATCH { database = "scratch" }
END
start_ecpd --config "$dir/ecpd.conf"
base=ecp://127.0.0.1:$port

# Enough for several checkpoints, and something in the journal alone.
for i in $(seq 20000); do printf '^X(%d)="value %d of some length, so that memory fills"\n' $i $i; done |
    { printf 'test\n01-JAN-2026 00:00:00 ZWR\n'; cat; } >"$dir/in.zwr"
assert_ok "import" ecp -s "$base/USER" import --quiet "$dir/in.zwr"
assert_ok "set" ecp -s "$base/USER" set '^Y("last")' 'one more'
assert_ok "increment" ecp -s "$base/USER" incr '^Y("count")' 41
assert_ok "kill" ecp -s "$base/USER" kill '^X(7)'
assert_ok "set, quick" ecp -s "$base/QUICK" set '^Q' 1
assert_ok "sync" ecp -s "$base/QUICK" sync
assert_ok "set, scratch" ecp -s "$base/SCRATCH" set '^S' 1
assert_ok "check of what is in use" ecp check "$dir/user"
kill -9 "$ecpd_pid"
wait "$ecpd_pid" 2>/dev/null

assert_ok "check" ecp check "$dir/user"
ecp journal list "$dir/user" | grep -q '^journal-.* records' || fail "the journal's files are not listed"
ecp journal show --below '^Y' "$dir/user" >"$dir/shown"
grep -q 'set     ^Y("last")="one more"' "$dir/shown" || fail "the journal does not show the set"
grep -q 'set     ^Y("count")="41"' "$dir/shown" || fail "the journal does not show the increment's effect"
ecp journal show --below '^X(7)' --since @1 "$dir/user" | grep -q 'remove  ^X(7)' ||
    fail "the journal does not show the kill"
[ -z "$(ecp journal show --until @1 "$dir/user")" ] || fail "--until does not bound"
assert_fails "show onto a full disk" sh -c 'ecp journal show "$1" >/dev/full' sh "$dir/user"
assert_said 'cannot write the output: No space'
ecp journal show "$dir/user" | grep -q '\^Z' && fail "something that was not"

start_ecpd --config "$dir/ecpd.conf"
base=ecp://127.0.0.1:$port
grep -q 'journal replayed' "$ecpd_log" || fail "the log does not tell of the replay"
assert_eq 'one more' "$(ecp -s "$base/USER" get '^Y("last")')" "after kill -9"
assert_eq 42 "$(ecp -s "$base/USER" incr '^Y("count")')" "an increment, once"
assert_eq 19999 "$(ecp -s "$base/USER" export '^X' | grep -c '^^X')" "nodes after kill -9"
assert_eq 1 "$(ecp -s "$base/QUICK" get '^Q')" "what was synced"
assert_fails "scratch data after a restart" ecp -s "$base/SCRATCH" get '^S'
stop_ecpd
[ -z "$(ls "$dir/user" | grep journal)" ] || fail "an orderly stop leaves a journal"
assert_ok "check after an orderly stop" ecp check "$dir/user"
assert_fails "journal of nothing" ecp journal list "$dir/nowhere"
assert_said 'nowhere: No such file or directory'
assert_fails "journal of no database" ecp journal list "$dir"
assert_said 'neither a journal nor a database'
assert_fails "check of no database" ecp check "$dir"
assert_said 'data.mdb: No such file or directory .is that the directory of a database'
[ ! -e "$dir/ecpd.lock" ] || fail "check has made a file where no database is"
assert_ok "purge of nothing" ecp journal purge "$dir/user"
assert_eq "0 files removed" "$(cat "$dir/out")" "purge of nothing"

# Damage before the end is told, not skipped.
start_ecpd --config "$dir/ecpd.conf"
base=ecp://127.0.0.1:$port
for i in 1 2 3 4; do
    assert_ok "set $i" ecp -s "$base/USER" set "^D($i)" "damaged"
done
kill -9 "$ecpd_pid"
wait "$ecpd_pid" 2>/dev/null
journal=$(ls "$dir"/user/journal-* | head -1)
printf 'X' | dd of="$journal" bs=1 seek=100 conv=notrunc status=none
assert_fails "check of a damaged journal" ecp check "$dir/user"
assert_fails "a start with a damaged journal" ecpd --foreground --config "$dir/ecpd.conf" --data "$dir/data"
assert_said "${journal##*/}: damaged at offset"

# Files that cannot be what they are called.
truncate -s 1T "$journal" || fail "no sparse file"
assert_fails "check of a journal that is too large" ecp check "$dir/user"
grep -q "${journal##*/}: " "$dir/out" || fail "the file is not named: $(cat "$dir/out")"
assert_fails "a start with a journal that is too large" ecpd --foreground --config "$dir/ecpd.conf" --data "$dir/data"
assert_said "${journal##*/}: cannot be read: stored data is corrupt"
rm "$journal" && mkdir "$journal"
assert_fails "check with a directory for a journal" ecp check "$dir/user"
assert_said "${journal##*/}: Is a directory"
rmdir "$journal" && truncate -s 8192 "$dir/user/data.mdb"
(ulimit -c 0; ASAN_OPTIONS=$ASAN_OPTIONS:handle_sigbus=0 exec timeout 20 ecpd --foreground --config "$dir/ecpd.conf" --data "$dir/data") >"$dir/out" 2>&1
grep -q 'user/data.mdb has 8192 bytes.* cut off' "$dir/out" || fail "nothing is said: $(cat "$dir/out")"
: >"$dir/user/data.mdb"
assert_fails "check of an empty file" ecp check "$dir/user"
assert_said 'data.mdb: it is empty'

for entry in 'durability = "often"' 'durability = "interval=0"' 'acknowledge = "never"' 'memory = "9"'; do
    printf 'database user { directory = "%s/other"; %s }\n' "$dir" "$entry" | tr ';' '\n' >"$dir/bad.conf"
    assert_fails "$entry" ecpd --foreground --config "$dir/bad.conf" --data "$dir/data"
done
