# SPDX-License-Identifier: Apache-2.0
# bash completion for ecpfs: the options that its --help tells, and directories.

_ecpfs()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} before=
    if [[ $prev == -o ]]; then
        [[ $cur == *,* ]] && before=${cur%,*},
        compopt -o nospace 2>/dev/null
        COMPREPLY=($(compgen -P "$before" -W "$("$1" --help 2>/dev/null |
            sed -n 's/^  -o \([^ ]*\).*/\1/p' | tr ',' '\n' | sed 's/=.*/=/')" -- "${cur##*,}"))
    elif [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$("$1" --help 2>/dev/null |
            grep -oE -- '(^|[ ,])--?[A-Za-z][A-Za-z-]*' | tr -d ' ,')" -- "$cur"))
    else
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -d -- "$cur"))
    fi
}
complete -F _ecpfs ecpfs
