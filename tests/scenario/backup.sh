#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Backups of a database that is written to, restored; cut, changed and killed ones; points in time.
LIMIT=300
. "$(dirname "$0")/lib.sh"

cat >"$dir/ecpd.conf" <<END
database user {
    directory = "$dir/user"
    memory = "1M"
    journal-keep = "all"
}
database plain {
    directory = "$dir/plain"
    memory = "1M"
}
database scratch {
    directory = "$dir/scratch"
    journal = false
}
namespace USER { database = "user" }
namespace PLAIN { database = "plain" }
namespace SCRATCH { database = "scratch" }
END
serve() {
    start_ecpd --config "$dir/ecpd.conf"
    main_pid=$ecpd_pid main_log=$ecpd_log main_url=$URL
}
back_to_main() { ecpd_pid=$main_pid ecpd_log=$main_log URL=$main_url ECP_URL=$main_url; }

# look DIR: a server on a restored directory, until seen.
look() { start_ecpd --data "$1"; }
seen() {
    stop_ecpd
    back_to_main
}

# Two nodes that count up in one batch, and others between them that say how far it came.
filler=$(printf 'x%.0s' $(seq 4000))
count() {
    local i k
    for ((i = $1; ; i++)); do
        [ -e "$dir/enough" ] && return
        {
            printf 'count\n01-JAN-2026 00:00:00 ZWR\n^C("a")="%d"\n' $i
            for k in 1 2 3 4 5 6 7 8; do printf '^D(%d,%d)="%s"\n' $i $k "$filler"; done
            printf '^E("b")="%d"\n' $i
        } | ecp import -q - || return
        echo $i >"$dir/counted.new" && mv "$dir/counted.new" "$dir/counted"
    done
}
counted() { cat "$dir/counted" 2>/dev/null || echo 0; }
counts_from() { [ "$(counted)" -gt "$1" ]; }

# consistent LEAST: what is served now is as of the end of one batch, not before LEAST.
consistent() {
    local a
    a=$(ecp get '^C("a")') || fail "nothing was restored"
    assert_eq "$a" "$(ecp get '^E("b")')" "both ends of a batch"
    [ "$a" -ge "$1" ] || fail "$1 had been there, $a is restored"
    assert_eq "$a" "$(ecp order --all '^D("")' | wc -l)" "batches restored"
    assert_eq $((8 * a)) "$(ecp export '^D' | grep -c '^^D')" "nodes of them"
    ! ecp get '^LATER' >/dev/null 2>&1 || fail "what came later is restored"
}

serve
count 1 2>"$dir/count.log" &
counting=$!
pids+=("$counting")
wait_until 20 counts_from 20 || fail "nothing is counted"
for i in $(seq 12); do
    before=$(counted)
    if ((i % 2)); then
        assert_ok "backup $i" ecp backup "$dir/user" "$dir/b$i"
        assert_said 'up to .* nodes, .* journal records'
        assert_ok "restore $i" ecp restore "$dir/b$i" "$dir/r$i"
    else
        assert_ok "backup $i, streamed" sh -c 'ecp backup -q "$1" - | ecp restore -q - "$2"' sh "$dir/user" "$dir/r$i"
        [ ! -s "$dir/err" ] || fail "quiet, but: $(cat "$dir/err")"
    fi
    assert_ok "check of what is served" ecp check "$dir/user"
    assert_ok "check of what is restored" ecp check "$dir/r$i"
    wait_until 20 counts_from "$before" || fail "the writer does not go on"
    look "$dir/r$i"
    consistent "$before"
    seen
    rm -rf "$dir/r$i"
done
touch "$dir/enough"
wait_until 20 gone "$counting" || fail "the writer does not end"
[ ! -s "$dir/count.log" ] || fail "the writer failed: $(cat "$dir/count.log")"
grep -q 'checkpoint' "$ecpd_log" && fail "checkpoints failed: $(cat "$ecpd_log")"

# Nobody takes the stream: what it needs of the journal stays, and the server goes on.
some() { # FIRST LAST: enough for checkpoints
    { printf 'some\n01-JAN-2026 00:00:00 ZWR\n'; seq "$1" "$2" | sed "s/.*/^X(&)=\"&$filler\"/"; } |
        ecp -s "${URL%/*}/PLAIN" import -q -
}
oldest=$dir/plain/journal-0000000001
assert_ok "some" some 1 1000
wait_until 20 test -s "$oldest" || fail "there is no journal"
mkfifo "$dir/slow"
exec 8<>"$dir/slow"
ecp backup -q "$dir/plain" - >"$dir/slow" 2>"$dir/slow.log" &
backing=$!
pids+=("$backing")
head -c 8 <&8 >"$dir/stream"
assert_ok "more than a file of the journal" some 1001 6000
assert_ok "check meanwhile" ecp check "$dir/plain"
grep -q '[1-9][0-9]* records before the checkpoint' "$dir/out" || fail "no checkpoint: $(cat "$dir/out")"
[ -e "$oldest" ] || fail "the journal was removed under a backup"
cat <&8 >>"$dir/stream" &
taking=$!
pids+=("$taking")
wait "$backing" || fail "the slow backup failed: $(cat "$dir/slow.log")"
whole() { ecp restore --verify "$dir/stream"; }
wait_until 20 whole || fail "the slow backup is not whole: $(ecp restore --verify "$dir/stream" 2>&1)"
kill "$taking"
exec 8>&-
assert_ok "restore of it" ecp restore -q "$dir/stream" "$dir/slowly"
look "$dir/slowly"
n=$(ecp order --all '^X("")' | wc -l)
[ "$n" -ge 1000 ] || fail "$n nodes of 1000 that were there"
seen
purged() { some 1 500 && [ ! -e "$oldest" ]; }
wait_until 20 purged || fail "the journal stays for ever"

# Refused: what is there, what is nothing.
assert_fails "backup into what is not empty" ecp backup "$dir/user" "$dir/b1"
assert_said 'not an empty directory'
assert_fails "restore onto a database that is served" ecp restore "$dir/b1" "$dir/user"
assert_said 'locked by'
assert_fails "restore of nothing" ecp restore "$dir/nothing" "$dir/r"
assert_fails "restore of what is no backup" ecp restore "$sample" "$dir/r"
assert_said 'not a backup'
assert_fails "backup of nothing" ecp backup "$dir/nothing" "$dir/b"
[ ! -e "$dir/b" ] || fail "a backup that failed has left something"
assert_fails "backup without a journal" ecp backup "$dir/scratch" "$dir/b"
assert_said 'no journal'
assert_fails "--until alone" ecp restore --until 2026-01-01 "$dir/b1" "$dir/r"
assert_ok "verify" ecp restore --verify "$dir/b1"

# Killed in the middle: by the limit of a file's size.
killed=0
(ulimit -c 0 -f 500; exec ecp backup "$dir/user" "$dir/half") >"$dir/out" 2>"$dir/err" || killed=$?
[ $killed -gt 128 ] || fail "the backup was not killed: $killed, $(cat "$dir/err")"
[ -s "$dir/half/backup.ecp.unfinished" ] || fail "it had not begun"
assert_fails "restore of a killed backup" ecp restore "$dir/half" "$dir/r"
assert_said 'not finished'
assert_fails "restore of its file" ecp restore "$dir/half/backup.ecp.unfinished" "$dir/r"
assert_said 'cut off'
[ -z "$(ls "$dir/r" 2>/dev/null | grep -v ecpd.lock)" ] || fail "a failed restore has left $(ls "$dir/r")"

# Ended by a signal it leaves nothing: here it waits for the journal.
exec 7<"$dir/user"
flock -x 7
ecp backup "$dir/user" "$dir/ended" 2>"$dir/ended.log" &
ending=$!
pids+=("$ending")
wait_until 20 test -e "$dir/ended/backup.ecp.unfinished" || fail "it does not begin: $(cat "$dir/ended.log")"
kill -TERM "$ending"
wait "$ending"
assert_eq 143 $? "status of a backup that was ended"
[ ! -e "$dir/ended" ] || fail "a backup that was ended has left $(ls "$dir/ended")"
exec 7<&-
assert_fails "backup onto a full disk" sh -c 'ecp backup "$1" - >/dev/full' sh "$dir/user"
assert_said 'stdout: cannot write the backup: No space'

# Changed, at places all over it.
assert_ok "a stream" ecp backup -q "$dir/user" "$dir/small"
size=$(stat -c %s "$dir/small/backup.ecp")
for i in $(seq 0 39); do
    at=$((size * i / 40 + i))
    byte=$(od -An -tu1 -j "$at" -N 1 "$dir/small/backup.ecp")
    cp "$dir/small/backup.ecp" "$dir/changed"
    printf "\\x$(printf %x $((byte ^ 64)))" | dd of="$dir/changed" bs=1 seek="$at" conv=notrunc status=none
    assert_fails "a backup changed at $at" ecp restore --verify "$dir/changed"
    assert_said 'backup'
done

# A restore that is killed leaves nothing that opens.
mkfifo "$dir/fifo"
exec 9<>"$dir/fifo"
ecp restore "$dir/fifo" "$dir/r" >"$dir/restore.log" 2>&1 &
restoring=$!
pids+=("$restoring")
head -c 40000 "$dir/small/backup.ecp" >&9
wait_until 20 test -s "$dir/r/data.mdb" || fail "the restore does not begin"
assert_fails "a server on what is being restored" ecpd --foreground --data "$dir/r" --listen 127.0.0.1:0
assert_said 'locked by'
kill -9 "$restoring"
wait "$restoring" 2>/dev/null
exec 9>&-
assert_fails "a server on what is half restored" ecpd --foreground --data "$dir/r" --listen 127.0.0.1:0
assert_said 'restore .* did not end'
assert_fails "check of what is half restored" ecp check "$dir/r"
assert_fails "backup of what is half restored" ecp backup "$dir/r" "$dir/b"
assert_fails "restore over what is half restored" ecp restore "$dir/b1" "$dir/r"
rm -rf "$dir/r"

# Points in time: through an orderly end, and a crash.
assert_ok "backup before" ecp backup "$dir/user" "$dir/before"
times=() wanted=()
point() {
    wanted+=("$(ecp get '^P' 2>/dev/null || echo none)")
    case $1 in
        seconds) times+=("@$(date +%s.%N)") ;;
        utc) times+=("$(date -u +%Y-%m-%dT%H:%M:%S.%NZ)") ;;
        local) times+=("$(date '+%Y-%m-%d %H:%M:%S.%N')") ;;
        zone) times+=("$(TZ=XST-5:30 date +%Y-%m-%dT%H:%M:%S.%N+05:30)") ;;
        stamp) times+=("$(ecp info '^P' | awk '$1 == "stamp" { print $2 }')") ;;
    esac
}
point utc
ecp set '^P' 1 && ecp set '^LATER' x && point seconds
ecp set '^P' 2 && point stamp
ecp kill '^P' && point local
ecp set '^P' 3 && point zone
stop_ecpd
serve
ecp set '^P' 4 && point stamp
ecp set '^P' 5 && point utc
kill -9 "$ecpd_pid"
wait "$ecpd_pid" 2>/dev/null
serve
ecp set '^P' 6 && point seconds
ecp set '^P' 7
ecp sync
assert_eq "none 1 2 none 3 4 5 6" "${wanted[*]}" "values at these times"
for i in "${!times[@]}"; do
    assert_ok "restore to ${times[i]}" ecp restore -j "$dir/user" -u "${times[i]}" "$dir/before" "$dir/p$i"
    look "$dir/p$i"
    assert_eq "${wanted[i]}" "$(ecp get '^P' 2>/dev/null || echo none)" "at ${times[i]}"
    seen
    rm -rf "$dir/p$i"
done
assert_ok "restore to the end" ecp restore -j "$dir/user" "$dir/before" "$dir/p"
look "$dir/p"
assert_eq 7 "$(ecp get '^P')" "at the end"
seen
assert_fails "a time before the backup" ecp restore -j "$dir/user" -u @1000000000 "$dir/before" "$dir/q"
assert_said 'before that of the backup'
assert_fails "a time that is none" ecp restore -j "$dir/user" -u yesterday "$dir/before" "$dir/q"
assert_fails "a day that is none" ecp restore -j "$dir/user" -u 2026-02-30 "$dir/before" "$dir/q"
assert_said 'a time is .* not "2026-02-30"'
assert_fails "a journal that is nowhere" ecp restore -j "$dir/nowhere" "$dir/before" "$dir/q"
assert_said 'nowhere: No such file or directory'
assert_fails "the journal of another database" ecp restore -j "$dir/p" "$dir/before" "$dir/q"
assert_ok "check with all that is kept" ecp check "$dir/user"
grep -q '[1-9][0-9]* records before the checkpoint' "$dir/out" || fail "what is kept is not checked: $(cat "$dir/out")"

# The journal as JSON.
if command -v python3 >/dev/null; then
    ecp set '^J("quote ""q"" \",1)' "$(printf 'a"b\\c\t\xc3\xa9')" && ecp kill '^J(2)' && ecp set '^J(2)' x && ecp kill '^J'
    assert_ok "export" ecp journal export --below '^J' "$dir/user"
    python3 - "$dir/out" <<'END' || fail "the export is not as it should be: $(cat "$dir/out")"
import json, sys
records = [json.loads(line) for line in open(sys.argv[1])]
operations = [o for r in records for o in r["operations"]]
assert [o["op"] for o in operations] == ["set", "set", "kill"], operations
assert operations[0]["ref"] == '^J("quote ""q"" \\",1)', operations[0]
# As ZWR writes it: a byte is a character.
assert operations[0]["value"].encode("latin-1") == b'"a""b\\c"_$C(9)_"\xc3\xa9"', operations[0]
stamps = [int(r["stamp"]) for r in records]
assert stamps == sorted(set(stamps))
for r in records:
    assert len(r["session"]) == 16 and r["sequence"] > 0 and r["segment"] > 0 and r["time"].endswith("Z")
END
    last=$(tail -n 1 "$dir/out" | sed 's/.*"stamp":"\([0-9]*\)","session":"\([0-9a-f]*\)".*/\1 \2/')
    assert_eq 1 "$(ecp journal export --since "${last% *}" --below '^J' "$dir/user" | wc -l)" "since its stamp"
    assert_eq 2 "$(ecp journal export --until $((${last% *} - 1)) --below '^J' "$dir/user" | wc -l)" "until before it"
    assert_eq 1 "$(ecp journal export --session "${last#* }" "$dir/user" | wc -l)" "of its session"
    assert_eq 1 "$(ecp journal show --session "${last#* }" "$dir/user" | grep -c 'kill .*^J$')" "shown"
fi

# Purged, the journal leads nowhere.
assert_fails "purge, keeping nonsense" ecp journal purge --keep much "$dir/user"
files=$(ls "$dir"/user/journal-* | wc -l)
assert_ok "purge" ecp journal purge --keep 100T "$dir/user"
assert_eq "$files" "$(ls "$dir"/user/journal-* | wc -l)" "files when all may stay"
stop_ecpd
files=$(ls "$dir"/user/journal-* | wc -l)
if [ "$(id -u)" -eq 0 ]; then
    mount --bind "$dir/user" "$dir/mnt" && mount -o remount,bind,ro "$dir/mnt" || fail "no read-only mount"
    assert_fails "purge where nothing can be removed" ecp journal purge "$dir/mnt"
    assert_said 'mnt: files cannot be removed'
    assert_eq "0 files removed" "$(cat "$dir/out")" "files that stay"
    unmount "$dir/mnt" || fail "the read-only mount stays in use"
fi
assert_ok "purge" ecp journal purge "$dir/user"
assert_eq "$files files removed" "$(cat "$dir/out")" "files that went"
[ -z "$(ls "$dir/user" | grep journal)" ] || fail "after an orderly stop and a purge: $(ls "$dir/user")"
assert_fails "restore with a journal that is gone" ecp restore -j "$dir/user" "$dir/before" "$dir/q"
assert_said 'no journal in'
serve
ecp set '^P' 8
assert_fails "restore with a journal that begins too late" ecp restore -j "$dir/user" "$dir/before" "$dir/q"
assert_said 'what is between is gone'
stop_ecpd

# Offline, and damaged.
assert_ok "backup while nobody serves it" ecp backup "$dir/user" "$dir/offline"
assert_ok "check while nobody serves it" ecp check "$dir/user"
assert_fails "restore onto a database" ecp restore "$dir/b1" "$dir/user"
assert_said 'there is a database'
size=$(stat -c %s "$dir/user/data.mdb")
truncate -s $((size / 2)) "$dir/user/data.mdb"
ecp check "$dir/user" >"$dir/out" 2>&1
assert_eq 1 $? "check of a file that is cut"
grep -q 'data.mdb' "$dir/out" || fail "the file is not named: $(cat "$dir/out")"
assert_ok "restore instead" ecp restore "$dir/offline" "$dir/again"
look "$dir/again"
assert_eq 8 "$(ecp get '^P')" "after all"
stop_ecpd

for entry in 'journal-keep = "much"' 'journal-keep = "5"' 'journal-keep = "0h"'; do
    printf 'database user { directory = "%s/other"; %s }\n' "$dir" "$entry" | tr ';' '\n' >"$dir/bad.conf"
    assert_fails "$entry" ecpd --foreground --config "$dir/bad.conf" --data "$dir/data"
    assert_said 'journal-keep is'
done
