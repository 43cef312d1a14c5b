#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every byte in names, long names, numbers and their look-alikes, both ways through the mount.
LIMIT=180
. "$(dirname "$0")/lib.sh"
need_fuse
command -v python3 >/dev/null || skip "no python3"

start_ecpd
mount_ecpfs a
python3 "$scenario_dir/mount_names.py" "$mnt" || fail "names"
tests=$((tests + 1))
unmount_ecpfs a "$mount_pid"
stop_ecpd
