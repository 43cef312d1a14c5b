#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ZWR and GO through a server and back: the same bytes, and bad records named by their line.
. "$(dirname "$0")/lib.sh"

records() { tail -n +3 "$1"; }

start_ecpd
assert_ok import ecp import "$sample"
assert_ok export ecp export
cp "$dir/out" "$dir/first.zwr"
cmp <(records "$sample") <(records "$dir/first.zwr") || fail "the export differs from the sample"
sed -n 2p "$dir/first.zwr" | grep -q 'ZWR$' || fail "no ZWR header"

# Export, kill, import, export: a fixed point.
for g in $(sed -n '3,$s/^\^\([%A-Za-z0-9.]*\).*/\1/p' "$sample" | sort -u); do
    assert_ok kill ecp kill "^$g"
done
assert_ok export ecp export
assert_eq '' "$(records "$dir/out")" "nothing is left"
assert_ok "import again" ecp import "$dir/first.zwr"
assert_ok export ecp export
cmp <(records "$sample") <(records "$dir/out") || fail "second round differs"

assert_ok "export of one subtree" ecp export '^PATIENT(1)'
cmp <(grep -a '^\^PATIENT(1[,)]' "$sample") <(records "$dir/out") || fail "subtree differs"

# Every byte there is.
printf 'all\n15-DEC-2026 03:05:00 ZWR\n^BYTES="x"_$C(%s)\n' "$(seq -s, 0 255)" >"$dir/all.zwr"
assert_ok "import of all bytes" ecp import "$dir/all.zwr"
python3 -c 'import sys; sys.stdout.buffer.write(b"x" + bytes(range(256)))' >"$dir/want"
ecp get --raw '^BYTES' | cmp - "$dir/want" || fail "bytes differ"
assert_ok export ecp export '^BYTES'
ecp kill '^BYTES'
mv "$dir/out" "$dir/bytes.zwr"
assert_ok "its own export" ecp import "$dir/bytes.zwr"
ecp get --raw '^BYTES' | cmp - "$dir/want" || fail "bytes differ after a round"

# Bad records: the others are taken, each bad one is named by its line; --strict stores nothing.
cat >"$dir/bad.zwr" <<'END'
bad
15-DEC-2026 03:05:00 ZWR
^BAD(1)="one"
^BAD(2="no parenthesis"
^BAD(3)="three"
^BAD("")="empty subscript"
^BAD(5)="no end
^BAD(6)="six"
END
assert_fails "bad records" ecp import "$dir/bad.zwr"
for line in 4 6 7; do
    assert_said "bad.zwr:$line:"
done
assert_eq one "$(node_get '^BAD(1)')" "before the bad record"
assert_eq six "$(node_get '^BAD(6)')" "after the bad records"
ecp kill '^BAD'
assert_fails "--strict" ecp import --strict "$dir/bad.zwr"
assert_said "bad.zwr:4:"
assert_eq 0 "$(ecp data '^BAD(6)')" "--strict stops at the first"

# GO: reference and value on lines of their own; found by its header.
printf 'go\n15-DEC-2026 03:05:00\n^G(1)\none\n^G("a b")\n"quoted" stays\n^G("z")\n\n' >"$dir/x.go"
assert_ok "GO import" ecp import "$dir/x.go"
assert_eq one "$(node_get '^G(1)')" GO
assert_eq '"quoted" stays' "$(node_get '^G("a b")')" GO
assert_eq 1 "$(ecp data '^G("z")')" "GO, empty value"

# What is no export is refused, however short; one of nothing has its two header lines.
junk() {
    assert_fails "import of $1" ecp import "$dir/junk"
    assert_said "junk: neither ZWR nor GO: records like .* are expected"
}
printf 'one line' >"$dir/junk"
junk "a line"
printf 'one line\nand another: 2\n' >"$dir/junk"
junk "two lines"
head -c 5000 /dev/zero >"$dir/junk"
junk "zeros"
printf '\n\n' >"$dir/junk"
junk "empty lines"
head -n 1 "$dir/first.zwr" >"$dir/junk"
junk "half a header"
for format in zwr go; do
    assert_ok "export of nothing" ecp export --format $format '^NOTHING'
    mv "$dir/out" "$dir/nothing"
    assert_ok "import of nothing" ecp import "$dir/nothing"
    assert_said '^0 nodes imported, 0 bad records'
done
printf '^BAD(1\n^BAD(2)="two"\n^BAD(3)="three"\n' >"$dir/bad.zwr"
assert_fails "a bad first record" ecp import "$dir/bad.zwr"
assert_said 'bad.zwr:1:'
assert_eq two "$(node_get '^BAD(2)')" "the second line of a file without a header"
assert_fails "import of a directory" ecp import "$dir"
assert_said 'directory'

# An export that is interrupted leaves nothing.
kill -STOP "$ecpd_pid"
ecp export -o "$dir/whole.zwr" &
exporting=$!
pids+=("$exporting")
begun() { ls "$dir"/whole.zwr.*; }
wait_until 20 begun || fail "the export does not begin"
kill -TERM "$exporting"
wait "$exporting"
assert_eq 143 $? "status of an export that was ended"
kill -CONT "$ecpd_pid"
! begun >/dev/null 2>&1 || fail "it has left $(begun)"

# From standard input too.
assert_ok "import from stdin" sh -c 'ecp import - <"$1"' sh "$sample"
stop_ecpd
