#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The sample as a tree of files: names, values, .value, listings.
. "$(dirname "$0")/lib.sh"
need_fuse

start_ecpd
assert_ok import ecp import "$sample"
mount_ecpfs a
cd "$mnt" || fail "cd"

assert_eq '%ZCONFIG
JOB
LAB
PATIENT' "$(ls | sort)" "the root lists globals"
assert_eq 'Almqvist, Greta' "$(cat PATIENT/1/name)" "a leaf is a file"
assert_eq 15 "$(stat -c %s PATIENT/1/name)" "of the value's bytes"
assert_eq 'PATIENT REGISTRY^1' "$(cat PATIENT/.value)" ".value"
assert_eq 'annual check-up' "$(cat PATIENT/1/visit/3261123.093/.value)" "a fractional name"
ls -a PATIENT/1 | grep -qx '\.value' || fail ".value is listed where there is a value"
ls -a PATIENT/1/visit | grep -qx '\.value' && fail ".value listed without a value"
[ ! -e PATIENT/1/visit/.value ] || fail ".value exists without a value"
assert_eq directory "$(stat -c %F PATIENT/1)" "a node with descendants"
assert_eq 'regular empty file' "$(stat -c %F PATIENT/7/allergy/latex)" "an empty value"

# Names: escapes, and zeros for people.
assert_eq '%2E.
%2Eprofile
-0.01
-3
0.01
01
1
10
100%25
1E3
5%2541
9
a%2Fb' "$(ls LAB/scale | grep -v '^ $' | sort)" "names"
assert_eq 'a blank' "$(cat 'LAB/scale/ ')" "a blank is a name"
assert_eq 'one hundredth' "$(cat LAB/scale/0.01)" .01
assert_eq slash "$(cat LAB/scale/a%2Fb)" "/"
assert_eq 'percent at the end' "$(cat LAB/scale/100%25)" %
assert_eq 'looks like an escape' "$(cat LAB/scale/5%2541)" %41
assert_eq 'left' "$(cat PATIENT/105/lens/-0.5)" -.5
assert_eq 'right' "$(cat PATIENT/105/lens/0.5)" .5
assert_eq 'written by hand, not a number' "$(cat PATIENT/105/lens/%30.5)" '"0.5"'
for name in LAB/scale/.01 LAB/scale/%31 LAB/scale/a%2fb LAB/scale/100% LAB/scale/nothing; do
    [ ! -e "$name" ] || fail "$name is no name, but exists"
done

# Every node with a value is one file, and nothing else is.
nodes=$(tail -n +3 "$sample" | wc -l)
assert_eq "$nodes" "$(find . -type f | wc -l)" "find sees every node"
assert_eq "$nodes" "$(ecp export | tail -n +3 | wc -l)" "as export does"
cmp <(printf 'Allergic to penicillin.\nCall daughter first: +46 31 555 01 99.\n') \
    PATIENT/1/note/1 || fail "a value with newlines"
grep -rl 'blood pressure' PATIENT | sort >"$dir/found"
assert_eq 2 "$(wc -l <"$dir/found")" "grep -r"
[ "$(stat -c %i PATIENT/1/name)" = "$(stat -c %i PATIENT/1/name)" ] || fail "inode numbers change"
assert_eq 1 "$(stat -c %h PATIENT/1)" "nlink of a directory"

# Editing, seen by the other way in.
printf 'Nakamura-Berg, Aiko' >PATIENT/4/name || fail "write"
assert_eq 'Nakamura-Berg, Aiko' "$(node_get '^PATIENT(4,"name")')" "a written value"
printf ' (née N.)' >>PATIENT/4/name || fail "append"
assert_eq 'Nakamura-Berg, Aiko (née N.)' "$(node_get '^PATIENT(4,"name")')" "appended"
printf 5 >LAB/scale/0.05 || fail "create"
assert_eq 5 "$(node_get '^LAB("scale",.05)')" "a created node"
printf 'own value' >LAB/.value || fail "create .value"
assert_eq 'own value' "$(node_get '^LAB')" ".value created"
rm LAB/.value || fail "rm .value"
assert_eq 10 "$(ecp data '^LAB')" ".value removed, children stay"
mkdir NEW NEW/sub || fail "mkdir"
assert_eq 0 "$(ecp data '^NEW')" "a directory is no node"
printf x >NEW/sub/1
assert_eq x "$(node_get '^NEW("sub",1)')" "a node in new directories"
rmdir NEW 2>/dev/null && fail "rmdir of a full directory"
rm -r NEW || fail "rm -r"
assert_eq 0 "$(ecp data '^NEW')" "rm -r"
node_set '^FROM.ECP(1)' there
wait_until 5 reads there FROM.ECP/1 || fail "a node set elsewhere is not seen"

# A large value, whole and in parts.
head -c 3000000 /dev/urandom >"$dir/large"
cp "$dir/large" FROM.ECP/large || fail "large value"
cmp "$dir/large" FROM.ECP/large || fail "large value differs"
cmp <(tail -c 5000 "$dir/large") <(tail -c 5000 FROM.ECP/large) || fail "its end differs"
truncate -s 10 FROM.ECP/large || fail truncate
assert_eq 10 "$(stat -c %s FROM.ECP/large)" truncated
df . >/dev/null || fail df

cd /
unmount_ecpfs a "$mount_pid"

# -o text: a newline for people.
mount_ecpfs text -o text
assert_eq 'Almqvist, Greta' "$(cat "$mnt/PATIENT/1/name")" text
assert_eq 16 "$(stat -c %s "$mnt/PATIENT/1/name")" "text adds a newline"
echo Oslo >"$mnt/PATIENT/1/town"
assert_eq 4 "$(ecp get '^PATIENT(1,"town")' | tr -d '\n' | wc -c)" "text drops one newline"
unmount_ecpfs text "$mount_pid"
stop_ecpd
