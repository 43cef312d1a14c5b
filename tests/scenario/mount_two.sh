#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two mounts of one namespace see each other's work, and lose none of it.
LIMIT=180
. "$(dirname "$0")/lib.sh"
need_fuse

start_ecpd
mount_ecpfs a
a=$mnt a_pid=$mount_pid
mount_ecpfs b
b=$mnt b_pid=$mount_pid
sees() { wait_until 5 "$@" || fail "not seen by the other mount: $*"; }
absent() { [ ! -e "$1" ]; }

# Directories are directories for everyone.
mkdir "$a/D" || fail mkdir
sees test -d "$b/D"
mkdir "$b/D" 2>/dev/null && fail "mkdir of what the other mount made"
printf one >"$a/D/1"
sees reads one "$b/D/1"
printf two >"$b/D/1"
sees reads two "$a/D/1"
printf 'longer than before' >"$a/D/1"
sees reads 'longer than before' "$b/D/1"

# Empty ones too, and any mount may remove them.
mkdir -p "$a/EMPTY/below" || fail mkdir
sees test -d "$b/EMPTY/below"
assert_eq '' "$(ls -A "$b/EMPTY/below")" "an empty directory of another mount"
rmdir "$b/EMPTY" 2>/dev/null && fail "rmdir of a directory with an empty directory"
rmdir "$b/EMPTY/below" || fail "rmdir of another mount's directory"
sees absent "$a/EMPTY/below"
test -d "$a/EMPTY" || fail "the directory above went along"
assert_eq 0 "$(ecp data '^EMPTY')" "an empty directory is no node"
rmdir "$a/EMPTY" || fail rmdir

# Unlinking the last child keeps the directory, until rmdir.
ecp set '^IMPLIED(1)' x || fail set
sees test -d "$a/IMPLIED"
rm "$a/IMPLIED/1" || fail "rm of the last child"
sees absent "$b/IMPLIED/1"
test -d "$b/IMPLIED" || fail "the directory went with its last child"
rmdir "$b/IMPLIED" || fail rmdir
sees absent "$a/IMPLIED"

# A leaf that gets children becomes a directory.
printf leaf >"$a/LEAF"
sees reads leaf "$b/LEAF"
exec 6<"$a/LEAF" 7>>"$b/LEAF"
ecp set '^LEAF("child")' below || fail set
sees test -d "$b/LEAF"
sees reads leaf "$b/LEAF/.value"
sees reads below "$a/LEAF/child"

assert_fails "reading through a handle of the file that was" cat <&6
assert_said 'stale'
printf more >&7
exec 6<&- 7>&-
assert_eq leaf "$(node_get '^LEAF')" "a handle of the file that was writes nothing"
rm -r "$b/LEAF/child" || fail rm
sees test -d "$a/LEAF"
reads leaf "$a/LEAF/.value" || fail "its value stays in the directory"

# Appenders on both mounts lose no line.
mkdir "$a/LOG"
: >"$a/LOG/x"
sees test -e "$b/LOG/x"
appender() { for i in $(seq 200); do echo "$2 $i" >>"$1/LOG/x" || exit 1; done; }
appender "$a" a &
p1=$!
appender "$b" b &
p2=$!
wait $p1 || fail "append on a"
wait $p2 || fail "append on b"
assert_eq 400 "$(ecp get '^LOG("x")' | grep -c '^[ab] [0-9]*$')" "lines of both appenders"
assert_eq 400 "$(sort -u "$a/LOG/x" | wc -l)" "no line twice"
cmp <(seq 200) <(sed -n 's/^a //p' "$b/LOG/x") || fail "the order of one appender's lines"

# Also when both create the file.
for i in $(seq 40); do
    echo a >>"$a/LOG/r$i" &
    p1=$!
    echo b >>"$b/LOG/r$i" &
    wait $p1 && wait $! || fail "append that creates"
done
for i in $(seq 40); do
    assert_eq 'a b' "$(sort "$a/LOG/r$i" | paste -sd ' ')" "lines of two that created r$i"
done

# O_EXCL: of two, exactly one wins.
mkdir "$a/RACE"
sees test -d "$b/RACE"
racer() { for i in $(seq 50); do (set -C; echo "$2" >"$1/RACE/$i") 2>/dev/null && echo "$i"; done; }
racer "$a" a >"$dir/won.a" &
p1=$!
racer "$b" b >"$dir/won.b" &
p2=$!
wait $p1 $p2
assert_eq 50 "$(cat "$dir/won.a" "$dir/won.b" | sort -u | wc -l)" "every race has a winner"
assert_eq 50 "$(cat "$dir/won.a" "$dir/won.b" | wc -l)" "and only one"
for m in a b; do
    while read -r i; do assert_eq $m "$(cat "$a/RACE/$i")" "the winner's bytes"; done <"$dir/won.$m"
done

# Creating and removing in one directory from both sides at once: neither stops the other.
mkdir "$a/BUSY"
sees test -d "$b/BUSY"
busy() {
    for i in $(seq 60); do
        echo "$2" >"$1/BUSY/$2$i" && ls "$1/BUSY" >/dev/null && mv "$1/BUSY/$2$i" "$1/BUSY/x$2$i" ||
            exit 1
        [ $((i % 2)) -eq 0 ] || rm "$1/BUSY/x$2$i" || exit 1
    done
}
busy "$a" a &
p1=$!
busy "$b" b &
p2=$!
wait $p1 || fail "busy on a"
wait $p2 || fail "busy on b"
assert_eq 60 "$(ls "$a/BUSY" | wc -l)" "what is left, by a"
assert_eq 60 "$(ls "$b/BUSY" | wc -l)" "what is left, by b"

# A value is seen whole, old or new.
printf '%0100000d' 1 >"$a/WHOLE"
sees test -e "$b/WHOLE"
(for i in $(seq 40); do
    printf '%0100000d' $((i % 2)) >"$a/WHOLE.new" && mv "$a/WHOLE.new" "$a/WHOLE" || exit 1
done) &
p1=$!
while kill -0 $p1 2>/dev/null; do
    n=$(cat "$b/WHOLE" 2>/dev/null | wc -c)
    case $n in 100000 | 0) ;; *) fail "half a value: $n bytes" ;; esac
done
wait $p1 || fail "rename over"

# Removed elsewhere while open for writing: not brought back.
printf x >"$a/GONE"
sees test -e "$b/GONE"
exec 7>>"$a/GONE"
rm "$b/GONE" || fail rm
sees absent "$a/GONE"
exec 7>&-
[ ! -e "$b/GONE" ] || fail "close brought a removed file back"

# Renames of whole subtrees.
mkdir -p "$a/MV/from/deep"
echo y >"$a/MV/from/deep/1"
exec 6<"$b/MV/from/deep/1"
mv "$b/MV/from" "$b/MV/to" || fail "mv"
sees reads y "$a/MV/to/deep/1"
assert_eq y "$(cat <&6)" "a handle moves along"
exec 6<&-
sees absent "$a/MV/from"

unmount_ecpfs a "$a_pid"
unmount_ecpfs b "$b_pid"
stop_ecpd
