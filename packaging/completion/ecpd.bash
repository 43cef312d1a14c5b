# SPDX-License-Identifier: Apache-2.0
# bash completion for ecpd: the options that its --help tells, and files.

_ecpd()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    case $prev in
        -L | --log-level)
            COMPREPLY=($(compgen -W "error warning notice info debug" -- "$cur"))
            return ;;
        -l | --listen | -s | --size | -t | --lease | -r | --recovery) return ;;
    esac
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$("$1" --help 2>/dev/null |
            grep -oE -- '(^|[ ,])--?[A-Za-z][A-Za-z-]*' | tr -d ' ,')" -- "$cur"))
    else
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -f -- "$cur"))
    fi
}
complete -F _ecpd ecpd
