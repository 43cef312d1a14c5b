#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What cannot be mounted says so and exits non-zero; what cannot be done on a mount says why.
. "$(dirname "$0")/lib.sh"
need_fuse

start_ecpd
mkdir "$dir/mnt/x"
x=$dir/mnt/x
no_mount() {
    local what=$1 url=$2 point=$3
    shift 3
    assert_fails "$what" timeout 60 ecpfs "$url" "$point" "$@"
    [ -s "$dir/err" ] || fail "$what: no message"
    mounted "$point" && fail "$what: mounted all the same"
}
no_mount "unknown host" ecp://no-such-host.invalid/USER "$x"
no_mount "refused" ecp://127.0.0.1:1/USER "$x"
assert_said 'is ecpd running'
no_mount "unknown namespace" "ecp://127.0.0.1:$port/NOWHERE" "$x"
assert_said namespace
no_mount "bad URL" http://127.0.0.1/USER "$x"
ecpfs http://127.0.0.1/USER "$x" 2>/dev/null
assert_eq 2 $? "a bad URL is wrong usage"
no_mount "no such mountpoint" "$URL" "$dir/mnt/nowhere"
assert_said 'nowhere'
: >"$dir/file"
no_mount "a file as mountpoint" "$URL" "$dir/file"
no_mount "unknown option" "$URL" "$x" -o frobnicate=1
assert_fails "no arguments" ecpfs
assert_said '^usage:'
assert_fails "no mountpoint" ecpfs "$URL"
assert_said "where to mount $URL"
assert_fails "too many arguments" ecpfs "$URL" "$x" more
assert_said 'unexpected argument "more"'

# In the background: the command returns when the mount is there.
exec 9>"$dir/script.lock"
flock 9 || fail flock
assert_ok "background mount" timeout 60 ecpfs "$URL" "$x"
exec 9>&-
assert_ok "a lock of who mounts ends with it" flock -n "$dir/script.lock" true
mounted "$x" || fail "not mounted when the command returned"
printf v >"$x/BG" || fail "write"
assert_eq v "$(node_get '^BG')" "background mount"
wait_until 10 unmount "$x" || fail unmount

# SIGTERM unmounts.
mount_ecpfs term
kill "$mount_pid"
wait_until 20 gone "$mount_pid" || fail "SIGTERM does not end ecpfs"
mounted "$mnt" && fail "SIGTERM leaves the mount"

# ro
node_set '^R(1)' one
mount_ecpfs ro -o ro
assert_eq one "$(cat "$mnt/R/1")" "ro reads"
assert_fails "ro writes" sh -c 'echo x >"$1/R/1"' sh "$mnt"
assert_said 'read-only'
assert_fails "ro mkdir" mkdir "$mnt/R/d"
assert_fails "ro rm" rm -f "$mnt/R/1"
unmount_ecpfs ro "$mount_pid"

# uid, gid, umask
mount_ecpfs owner -o uid=1234,gid=2345,umask=027
assert_eq '1234 2345 640' "$(stat -c '%u %g %a' "$mnt/R/1")" "uid, gid, umask"
assert_eq '1234 2345 750' "$(stat -c '%u %g %a' "$mnt/R")" "uid, gid, umask of a directory"
unmount_ecpfs owner "$mount_pid"

mount_ecpfs a
cd "$mnt" || fail cd
# Names that the encoder does not write.
for name in %41 a%2fb x% R/1%zz%; do
    assert_fails "create of $name" sh -c ': >"$1"' sh "$name"
    assert_said 'invalid argument'
    [ ! -e "$name" ] || fail "$name exists"
done
assert_fails "a global's name" mkdir 'not a global'
assert_said 'invalid argument'
assert_fails "a global's name" mkdir 1X
assert_ok "a subscript may be anything" mkdir 'R/not a global'
long=$(printf '%0250d' 1)
assert_fails "a key over the limit" mkdir -p "R/$long/$long/$long"
assert_said 'too long'
assert_fails "a value over the limit" sh -c 'head -c 4194305 /dev/zero >R/big'
assert_said 'too large'
[ "$(stat -c %s R/big 2>/dev/null || echo 0)" -le 4194304 ] || fail "stored beyond the limit"
rm -f R/big
head -c 4194304 /dev/zero >R/big || fail "a value of exactly the limit"
assert_eq 4194304 "$(stat -c %s R/big)" "largest value"
rm R/big

assert_fails symlink ln -s 1 R/link
assert_said 'not permitted'
assert_fails "hard link" ln R/1 R/link
assert_said 'not permitted'
assert_fails mkfifo mkfifo R/fifo
assert_said 'not permitted'
assert_fails chmod chmod 600 R/1
assert_said 'not permitted'
assert_ok "chmod to what is shown" chmod "$(stat -c %a R/1)" R/1
if [ "$(id -u)" -eq 0 ]; then
    assert_fails chown chown 4321 R/1
    assert_said 'not permitted'
fi
assert_ok touch touch R/1
assert_ok "touch -d" touch -d '2001-01-01' R/1
assert_fails "rmdir of a full directory" rmdir R
assert_said 'not empty'
assert_fails "rm of a directory" rm R
assert_fails "a file as a directory" bash -c 'echo x >R/1/below'
assert_said 'not a directory'
assert_fails "mv below itself" mv R R/sub
assert_fails "write to a directory" sh -c 'echo x >R'
assert_said 'is a directory'
assert_eq one "$(cat R/1)" "nothing changed"

# A mountpoint in use by another mount of the same kind: reported, or laid over; never half.
cd /
unmount_ecpfs a "$mount_pid"
mount_ecpfs quiet -o quiet
assert_ok "quiet chmod" chmod 600 "$mnt/R/1"
[ "$(id -u)" -eq 0 ] && assert_ok "quiet chown" chown 4321 "$mnt/R/1"
assert_ok "cp -p" cp -p "$dir/file" "$mnt/R/copied"

# A busy mount does not go away, and works on.
cd "$mnt/R" || fail cd
fusermount3 -u "$mnt" 2>/dev/null && fail "a busy mount was unmounted"
assert_eq one "$(cat 1)" "still there"
cd /
unmount_ecpfs quiet "$mount_pid"
stop_ecpd
