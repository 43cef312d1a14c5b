#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The everyday tools on a mount do what they do on a local directory.
LIMIT=300
. "$(dirname "$0")/lib.sh"
need_fuse

# A few hundred files, one empty, one of a megabyte, deep directories, an empty directory.
local_tree() {
    local d f
    mkdir -p "$1" && cd "$1" || return 1
    for d in $(seq 20); do
        mkdir -p "dir$d/sub" "dir$d/other dir"
        for f in $(seq 5); do
            printf 'file %s of %s\nsecond line\n' "$f" "$d" >"dir$d/$f"
            printf '%s' "$((d * f))" >"dir$d/sub/value.$f"
            seq "$d" $((d + f * 20)) >"dir$d/other dir/$f.txt"
        done
    done
    : >dir1/empty
    head -c 1000000 /dev/urandom >dir2/random
    mkdir -p a/b/c/d/e/f a/nothing
    echo deep >a/b/c/d/e/f/g
    cd / || return 1
}

start_ecpd
mount_ecpfs a
src=$dir/src
local_tree "$src" || fail "local tree"
compare() { diff -r "$src" "$1" >"$dir/diff" 2>&1 || fail "$2: $(head -5 "$dir/diff")"; }

cp -r "$src" "$mnt/CP" || fail "cp -r in"
compare "$mnt/CP" "cp -r in"
cp -r "$mnt/CP" "$dir/back" || fail "cp -r out"
compare "$dir/back" "cp -r out"

mkdir "$mnt/TAR" "$dir/tar"
tar -C "$src" -cf - . | tar -C "$mnt/TAR" -xf - --no-same-owner --no-same-permissions -m ||
    fail "tar in"
compare "$mnt/TAR" "tar in"
tar -C "$mnt/TAR" -cf - . | tar -C "$dir/tar" -xf - || fail "tar out"
compare "$dir/tar" "tar out"

if command -v rsync >/dev/null; then
    rsync -r "$src/" "$mnt/RSYNC/" || fail "rsync in"
    compare "$mnt/RSYNC" "rsync in"
    rsync -r "$mnt/RSYNC/" "$dir/rsync/" || fail "rsync out"
    compare "$dir/rsync" "rsync out"
    assert_eq '' "$(rsync -rc --itemize-changes "$src/" "$mnt/RSYNC/" | grep '^[<>]')" \
        "a second rsync has nothing to send"
    find "$mnt/RSYNC" -name '.*' | grep -q . && fail "rsync left temporary files"
    ecp zwrite '^RSYNC' | grep -aq '^[^=]*"\.' && fail "rsync's temporary names reached the server"
elif [ "${CI:-}" = true ]; then
    fail "no rsync"
fi

# both COMMAND: the same in both trees, with the same output.
both() {
    (cd "$src" && eval "$1") >"$dir/out.local" 2>&1
    local s=$?
    (cd "$mnt/CP" && eval "$1") >"$dir/out.mount" 2>&1
    assert_eq $s $? "status of: $1"
    diff "$dir/out.local" "$dir/out.mount" >"$dir/diff" || fail "$1: $(head -5 "$dir/diff")"
    compare "$mnt/CP" "after: $1"
}
both 'find . -type f | sort | xargs -d "\n" wc'
both 'find . | sort'
both 'grep -r "file 3" . | sort'
both 'find . -type f -size +100k'
both 'find . -type f -print0 | xargs -0 du -b | sort'
both 'find . -name "*.txt" -exec md5sum {} + | sort'
both 'sed -i "s/second/2nd/" dir*/[1-5]'
both 'for f in dir3/*; do [ -f "$f" ] && echo more >>"$f"; done'
both 'cp dir1/1 dir1/copy; mv dir1/copy dir1/moved; cat dir1/moved'
both 'mv dir5/sub dir6/moved; ls dir5 dir6 dir6/moved'
both 'mv dir7 renamed; ls renamed/sub'
both 'mv -T a/nothing a/nothing2; rmdir a/nothing2; ls a'
both 'mv dir1/1 dir1/2; ls dir1; cat dir1/2'
both 'rm -r dir8 dir9/sub; ls dir9'
both 'mkdir dir1/new; rmdir dir1/new; ls dir1'
both 'mkdir dir1; rmdir a; rmdir gone'
both 'cat gone; ls gone; rm gone; mv gone gone2'
both 'cat dir2; cat dir2/1/below'
both 'truncate -s 5 dir2/1; truncate -s 9 dir2/1; od -c dir2/1'
both 'printf XY | dd of=dir2/2 bs=1 seek=3 conv=notrunc status=none; cat dir2/2'
both 'seq 1000 | split -l 100 - dir2/part.; cat dir2/part.*'
both 'sort -o dir2/part.aa -r dir2/part.aa; cat dir2/part.aa'
# As vi saves: a file beside it, then a rename over the old one; or the old one kept as a backup.
both 'cp dir4/1 dir4/.1.swp; echo edited >>dir4/.1.swp; mv dir4/.1.swp dir4/1; cat dir4/1'
both 'cp dir4/2 "dir4/2~"; echo edited >dir4/2; rm "dir4/2~"; ls dir4'
if command -v vi >/dev/null; then
    both 'TERM=dumb timeout 20 vi -u NONE -es -c "%s/file/FILE/" -c wq dir4/3 </dev/null; cat dir4/3'
fi
both 'exec 5<dir4/4; rm dir4/4; cat <&5; exec 5<&-; ls dir4'
both 'find . -mindepth 1 -delete; ls'

rm -r "$mnt/TAR" || fail "rm -r"
[ ! -e "$mnt/TAR" ] || fail "rm -r left something"
assert_eq 0 "$(ecp data '^TAR')" "rm -r at the server"
unmount_ecpfs a "$mount_pid"
stop_ecpd
