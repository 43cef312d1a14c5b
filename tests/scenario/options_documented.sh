#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every option that --help tells is in the manual page and offered by the completion; pages are clean.
. "$(dirname "$0")/lib.sh"
command -v mandoc >/dev/null || skip "no mandoc"

options() { grep -oE -- '(^|[^[:alnum:]_-])--?[A-Za-z0-9][A-Za-z-]*' | grep -oE -- '-.*' | sort -u; }
page() { mandoc -Tascii -O width=1000 "$top_srcdir/man/$1" | sed 's/.\x08//g'; }

# offered WORD...: what bash completes after this command line.
offered() {
    local function
    function=$(complete -p "$1") && function=${function#*-F } && function=${function%% *}
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    "$function" "$1" "${*: -1}" "${*: -2:1}" >/dev/null 2>&1
    printf '%s\n' "${COMPREPLY[@]}"
}

# check PAGE COMMAND...: the options that "COMMAND... --help" tells.
check() {
    local text listed option missing=
    text=$(page "$1" | tr -s '[:space:],|=[]:' '\n')
    shift
    listed=$(offered "$@" -)
    # The list of commands tells their options too; each is asked by itself.
    for option in $("$@" --help | sed 's/ecp \[-s URL] //; /^commands:/,$d' | options); do
        # In a synopsis letters stand together.
        grep -qxE -- "$option|-[A-Za-z0-9]*${option#-}[A-Za-z0-9]*" <<<"$text" ||
            missing+=" $option(manual)"
        grep -qxF -- "$option" <<<"$listed" || missing+=" $option(completion)"
        tests=$((tests + 1))
    done
    [ -z "$missing" ] || fail "$*: not documented:$missing"
}

for program in ecp ecpd ecpfs; do
    . "$top_srcdir/packaging/completion/$program.bash"
done
check ecpd.8 ecpd
check ecpfs.8 ecpfs
check ecp.1 ecp
manual=$(page ecp.1) words=$(offered ecp '')
for command in $(ecp --help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
    grep -q "^     $command\( \|$\)" <<<"$manual" || fail "ecp $command: not in the manual"
    grep -qx "$command" <<<"$words" || fail "ecp $command: not completed"
    check ecp.1 ecp "$command"
done
manual=$(page ecpfs.8) words=$(offered ecpfs -o '')
for word in $(ecpfs --help | sed -n 's/^  -o \([a-z_=A-Z,]*\).*/\1/p' | tr ',' '\n' | sed 's/=.*/=/'); do
    grep -q "^     ${word%=}\|, ${word%=}" <<<"$manual" || fail "-o $word: not in the manual"
    grep -qx -- "$word" <<<"$words" || fail "-o $word: not completed"
    tests=$((tests + 1))
done
[ $tests -gt 50 ] || fail "only $tests options found: has --help another form now?"

for page in "$top_srcdir"/man/*.[0-9]; do
    assert_ok "mandoc -Tlint ${page##*/}" mandoc -Tlint -Wwarning "$page"
done
