#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A directory of many children, and a walk over many nodes: memory follows neither, but for the
# cache, which has its bound.
LIMIT=300
. "$(dirname "$0")/lib.sh"
need_fuse

children=50000
start_ecpd
# Names of 200 bytes: a listing held as a whole would be 10 MB.
awk -v n=$children 'BEGIN { print "x"; print "15-DEC-2026 03:05:00 ZWR"
    for (i = 1; i <= n; i++) printf "^BIG(\"%0200d\")=\"%d\"\n", i, i
    for (i = 1; i <= n; i++) printf "^TREE(%d,%d)=\"%d\"\n", i % 50, i, i }' >"$dir/big.zwr"
assert_ok import ecp import "$dir/big.zwr"
mount_ecpfs a -o cache_size=1M

figure() { sed -n "s/^$1 //p" "$mnt/.ecp/stats"; }
memory() { awk -v what="$2:" '$1 == what { print $2 }' "/proc/$1/status"; }

# The control directory: there, unlisted, read-only.
for name in inodes lookups handles requests cache_hits cache_bytes round_trips; do
    [ -n "$(figure $name)" ] || fail "no figure $name"
done
grep -Evq '^[a-z_]+ [0-9]+$' "$mnt/.ecp/stats" && fail "a line is not 'name value'"
assert_eq "stats status" "$(cd "$mnt/.ecp" && echo *)" "files of .ecp"
ls -a "$mnt" | grep -qx '\.ecp' && fail ".ecp is listed"
for what in 'echo x >stats' 'rm -f stats' 'mv stats other' 'touch stats' ': >new' 'mkdir new' \
    'mv ../BIG here' 'mv ../.ecp ../OTHER' 'rmdir ../.ecp' 'mv ../BIG stats'; do
    assert_fails "$what" sh -c 'cd "$1" && eval "$2"' sh "$mnt/.ecp" "$what"
done
[ ! -e "$mnt/.ecp/nothing" ] || fail "a file of .ecp that does not exist"
handles=$(figure handles)
exec 5<"$mnt/.ecp/stats" 6<"$mnt/TREE/1/1"
assert_eq $((handles + 2)) "$(figure handles)" "open files are counted"
exec 5<&- 6<&-
closed() { [ "$(figure handles)" = "$handles" ]; }
wait_until 10 closed || fail "handles are not given back"

# Listing: everything, in pieces.
before=$(memory "$mount_pid" VmHWM)
server_before=$(memory "$ecpd_pid" RssAnon)
trips=$(figure round_trips)
assert_eq $children "$(ls -f "$mnt/BIG" | grep -vc '^\.')" "ls -f"
assert_eq $children "$(ls "$mnt/BIG" | uniq | wc -l)" "ls, sorted"
trips=$(($(figure round_trips) - trips))
[ $trips -lt 1000 ] || fail "two listings took $trips round trips"
if ! grep -q __asan_init "$top_builddir/ecpfs"; then
    grown=$(($(memory "$mount_pid" VmHWM) - before))
    [ $grown -lt 4096 ] || fail "ecpfs grew by $grown kB over a listing"
    grown=$(($(memory "$ecpd_pid" RssAnon) - server_before))
    [ $grown -lt 4096 ] || fail "ecpd grew by $grown kB over a listing"
fi
[ "$(figure cache_bytes)" -le 1048576 ] || fail "the cache is over its bound"
[ "$(figure inodes)" -lt 1000 ] || fail "a listing alone makes inodes"

# What the kernel forgets is forgotten.
assert_eq $children "$(find "$mnt/TREE" -type f -size -9c | wc -l)" "a walk that looks at each"
held=$(figure inodes)
if [ -w /proc/sys/vm/drop_caches ]; then
    # What remains: the root, .ecp and stats, and those two are looked up by asking.
    forgotten() {
        local inodes lookups
        read -r inodes lookups < <(awk '/^(inodes|lookups)/ { printf "%s ", $2 }' "$mnt/.ecp/stats")
        [ "$inodes" -le 3 ] && [ "$lookups" -lt 500 ]
    }
    forget() {
        echo 2 >/proc/sys/vm/drop_caches
        wait_until 5 forgotten
    }
    wait_until 40 forget || fail "of $held inodes, $(figure inodes) remain ($(figure lookups) lookups)"
    # Gone through create, rename and unlink: nothing is held for those either.
    mkdir "$mnt/NEW" && (cd "$mnt/NEW" && for i in $(seq 300); do
        echo "$i" >"$i" && echo "$i" >".$i" && mv ".$i" "m$i" && mv "$i" "n$i" && rm "n$i" || exit 1
    done) || fail "create, rename, unlink"
    assert_eq 300 "$(ls "$mnt/NEW" | wc -l)" "what is left"
    rm -r "$mnt/NEW" || fail "rm -r"
    wait_until 40 forget || fail "after changes $(figure inodes) inodes remain"
fi
unmount_ecpfs a "$mount_pid"
stop_ecpd
