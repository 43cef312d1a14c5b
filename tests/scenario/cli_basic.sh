#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every subcommand of ecp, once in use and once in error.
. "$(dirname "$0")/lib.sh"

start_ecpd
assert_ok ping ecp ping
assert_ok "ping with -s" env -u ECP_URL ecp -s "$URL" ping

assert_ok set node_set '^X(1)' one
assert_eq one "$(node_get '^X(1)')" get
assert_ok "set empty" node_set '^X(2)' ''
assert_eq '' "$(node_get '^X(2)')" "empty value"
assert_fails "get of nothing" node_get '^X(99)'
assert_fails "get of a malformed reference" node_get '^X('
assert_fails "empty subscript" node_set '^X("")' v
assert_fails "bad global name" node_set '^1X' v

node_set '^X(1,"a")' deeper
node_set '^Y("b",2)' below
assert_eq 11 "$(ecp data '^X(1)')" '$DATA'
assert_eq 1 "$(ecp data '^X(2)')" '$DATA'
assert_eq 10 "$(ecp data '^Y("b")')" '$DATA'
assert_eq 0 "$(ecp data '^Z')" '$DATA'
assert_fails "get of a node without a value" ecp get '^Y("b")'
assert_said '^ecp: get: \^Y\("b"\): it has descendants, but no value$'

# $ORDER: by value, negative before positive, numbers before strings.
for s in 10 9 -3 .5 -.5 '"abc"'; do node_set "^O($s)" v; done
assert_eq -3 "$(ecp order '^O("")')" "first"
assert_eq -.5 "$(ecp order '^O(-3)')" "order"
assert_eq .5 "$(ecp order '^O(-.5)')" "order"
assert_eq 9 "$(ecp order '^O(.5)')" "order"
assert_eq 10 "$(ecp order '^O(9)')" "order"
ecp order '^O(10)' | grep -q abc || fail "strings follow numbers"

assert_eq '^X(1,"a")' "$(ecp query '^X(1)')" '$QUERY'
assert_eq '^X(2)' "$(ecp query '^X(1,"a")')" '$QUERY'

assert_eq '^X(1)="one"
^X(1,"a")="deeper"
^X(2)=""' "$(ecp zwrite '^X')" zwrite

assert_eq 1 "$(ecp incr '^N')" "incr from nothing"
assert_eq 2 "$(ecp incr '^N')" incr
assert_eq 4.5 "$(ecp incr '^N' 2.5)" "incr by"
assert_eq 3.5 "$(ecp incr '^N' -1)" "incr by a negative"
assert_eq 3.5 "$(node_get '^N')" "incr is stored"
node_set '^N' '12 apples'
assert_eq 13 "$(ecp incr '^N')" "a string's number is that of its prefix"

assert_ok zkill ecp zkill '^X(1)'
assert_eq 10 "$(ecp data '^X(1)')" "zkill keeps descendants"
assert_ok kill ecp kill '^X'
assert_eq 0 "$(ecp data '^X')" kill
assert_eq 10 "$(ecp data '^Y')" "kill takes its subtree only"
assert_ok "kill of nothing" ecp kill '^X'
node_set '^X' 1
assert_fails "kill of the whole namespace" ecp kill '^X' ^
assert_said 'say --all'
assert_eq 1 "$(node_get '^X')" "nothing was removed"

assert_ok info ecp info '^Y'
[ -s "$dir/out" ] || fail "info says nothing"

# Counters from many processes lose nothing.
ecp kill '^C'
for i in 1 2 3 4; do
    (for j in $(seq 25); do ecp incr '^C' >/dev/null || exit 1; done) &
    jobs[i]=$!
done
for i in 1 2 3 4; do wait "${jobs[i]}" || fail "incr failed"; done
assert_eq 100 "$(node_get '^C')" "increments of four processes"
# What cannot be written is no success, and goes nowhere else.
assert_fails "get, standard output closed" sh -c 'ecp get ^N >&-'
assert_said 'cannot write the output'
assert_fails "set from a closed standard input" sh -c 'ecp set ^M - <&-'
assert_said 'cannot read the value'
assert_eq 0 "$(ecp data '^M')" "nothing was set"
assert_fails "get onto a full disk" sh -c 'ecp get ^N >/dev/full'
assert_said 'cannot write the output: No space'
assert_fails "too many arguments" ecp ping 3

assert_ok "kill of the whole namespace" ecp kill --all ^
assert_eq "" "$(ecp order --all ^)" "what is left of it"

assert_ok "stats" ecp stats
grep -q '^updates [1-9][0-9]*$' "$dir/out" && grep -q '^leases 0$' "$dir/out" ||
    fail "figures: $(cat "$dir/out")"
assert_fails "stats of no mount" ecp stats "$dir"
assert_said "is that where an ecpfs is mounted"

assert_fails "unknown command" ecp frobnicate
assert_fails "unknown option of a command" ecp get --frobnicate '^A'
assert_said "^ecp: get: .*frobnicate"
assert_fails "no command" ecp
URL_NOWHERE=ecp://127.0.0.1:$port/NOWHERE
assert_fails "unknown namespace" ecp -s "$URL_NOWHERE" ping
assert_eq 1 "$(grep -o 'no such namespace\|no namespace' "$dir/err" | wc -l)" "said once: $(cat "$dir/err")"
assert_said "^ecp: ping: $URL_NOWHERE.*ecpd.conf"
assert_fails "bad URL" ecp -s 'http://127.0.0.1/' ping
stop_ecpd
assert_fails "no server" ecp ping
[ -s "$dir/err" ] || fail "no message without a server"
