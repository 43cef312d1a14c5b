#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ecpfs as mount(8) calls it: the helper's own argument order and flags, then mount, fstab and umount.
# A mount namespace of its own, so that root can cover /sbin, the only place mount(8) looks in.
if [ "$(id -u)" -eq 0 ] && [ -z "${PRIVATE_MOUNTS:-}" ] && unshare --mount true; then
    # Not with the mounts of tests that run beside this one: their copies would keep them from ending.
    PRIVATE_MOUNTS=1 exec unshare --mount \
        sh -c 'umount --lazy --all --types fuse.ecpfs; exec "$0" "$@"' "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
need_fuse
[ "$(id -u)" -ne 0 ] || [ -n "${PRIVATE_MOUNTS:-}" ] || fail "root without mount namespaces (CAP_SYS_ADMIN)"

start_ecpd --listen "unix:$dir/a,b c"
node_set '^R(1)' one
mkdir "$dir/sbin" "$dir/mnt/x"
ln -s "$top_builddir/ecpfs" "$dir/sbin/mount.ecpfs"
x=$dir/mnt/x
helper() { timeout 60 "$dir/sbin/mount.ecpfs" "$URL" "$x" "$@"; }
unmounted() { ! mounted "$x"; }
flags() { awk -v on="$x" '$5 == on { print $6 }' /proc/self/mountinfo; }
has_flag() { case ,$(flags), in *,$1,*) ;; *) fail "no $1 in $(flags)" ;; esac; tests=$((tests + 1)); }
umount_x() {
    wait_until 10 unmount "$x" || fail "cannot unmount"
    unmounted || fail "still mounted"
}

assert_ok "rw" helper -n -v -o rw
assert_eq one "$(cat "$x/R/1")" "reads"
printf two >"$x/R/2" || fail "write"
assert_eq two "$(node_get '^R(2)')" "writes"
assert_eq "$URL ecpfs" \
    "$(awk -v on="$x" '$2 == on { sub("fuse.", "", $3); print $1, $3 }' /proc/self/mounts)" "source and type"
umount_x

# What mount(8) makes of "user,ro,_netdev,nofail" in fstab.
assert_ok "fstab's words" helper -o ro,noexec,nosuid,nodev,user,_netdev,nofail
for flag in ro noexec nosuid nodev; do has_flag $flag; done
umount_x
assert_ok "exec cancels noexec" helper -o rw,noexec,exec,async,relatime,user=joe
case ,$(flags), in *,noexec,*) fail "noexec stayed" ;; esac
umount_x

assert_ok "-f mounts nothing" helper -f -o rw
unmounted || fail "-f mounted"
assert_fails "-f checks options" helper -f -o frobnicate
assert_fails "unknown option" helper -o rw,frobnicate
assert_said frobnicate
unmounted || fail "mounted with an unknown option"
assert_ok "-s passes over it" helper -s -o rw,frobnicate
mounted "$x" || fail "-s did not mount"
umount_x

# A comma in the source does not end it.
assert_ok "a socket's path" timeout 60 ecpfs "ecp+unix://$dir/a,b c" "$x"
assert_eq one "$(unset ECP_URL; cd "$x" && ecp get R/1)" "the mount's URL"
umount_x

if [ "$(id -u)" -eq 0 ]; then
    mount --bind "$dir/sbin" /sbin || fail "cannot cover /sbin"
    assert_ok "mount -t ecpfs" timeout 60 mount -t ecpfs -o ro "$URL" "$x"
    assert_eq one "$(cat "$x/R/1")" "mount -t ecpfs reads"
    assert_fails "ro writes" sh -c 'echo x >"$1/R/1"' sh "$x"
    assert_said 'read-only'
    assert_ok umount umount "$x"
    unmounted || fail "umount left it"
    echo "$URL $x ecpfs uid=1234,umask=077,nofail,_netdev 0 0" >"$dir/fstab"
    assert_ok "a line of fstab" timeout 60 mount --fstab "$dir/fstab" "$x"
    assert_eq '1234 600' "$(stat -c '%u %a' "$x/R/1")" "its options"
    assert_ok umount umount "$x"
    assert_ok "mount --fake" timeout 60 mount --fake -t ecpfs "$URL" "$x"
    unmounted || fail "mount --fake mounted"
    assert_fails "mount reports a failure" timeout 60 mount -t ecpfs "ecp://127.0.0.1:$port/NOWHERE" "$x"
    assert_said namespace
fi
stop_ecpd
