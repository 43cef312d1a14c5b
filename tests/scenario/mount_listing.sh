#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Names that a listing tells while another mount renames them.
LIMIT=180
. "$(dirname "$0")/lib.sh"
need_fuse
command -v python3 >/dev/null || skip "no python3"

start_ecpd
mount_ecpfs a
a=$mnt a_pid=$mount_pid
mount_ecpfs b
python3 "$scenario_dir/mount_listing.py" "$a" "$mnt" 600 || fail "names come back"
tests=$((tests + 1))
unmount_ecpfs b "$mount_pid"
unmount_ecpfs a "$a_pid"
stop_ecpd
