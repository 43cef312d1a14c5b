# SPDX-License-Identifier: Apache-2.0
# bash completion for ecp.

_ecp()
{
    local cur prev words cword
    _init_completion 2>/dev/null || {
        cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
        words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
    }
    local commands="get set kill zkill data incr info order query zwrite import export lock locks unlock ping sync check backup restore journal status stats"
    local command="" i options=""
    for ((i = 1; i < cword; i++)); do
        case ${words[i]} in
            -s | --server) ((i++)) ;;
            -*) ;;
            *) command=${words[i]}; break ;;
        esac
    done
    case $prev in
        -s | --server | -l | --label | --batch | -t | --timeout | --if-stamp | -c | --count) return ;;
        --since | --until | -u | --session | -i | --keep | -k) return ;;
        -b) [[ $command == import ]] && return ;;
        --format | -f)
            [[ $command == order ]] && return
            [[ $command == unlock ]] && return
            local formats="zwr go"
            [[ $command == import ]] && formats+=" auto"
            COMPREPLY=($(compgen -W "$formats" -- "$cur"))
            return ;;
        -o | --output) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
    esac
    case $command in
        "")
            COMPREPLY=($(compgen -W "$commands -s --server -h --help -V --version" -- "$cur"))
            return ;;
        get) options="-n --raw -0 --null" ;;
        set) options="--create --if-stamp" ;;
        kill) options="-a --all" ;;
        order) options="-r --reverse -f --first -a --all -0 --null" ;;
        query) options="-r --reverse" ;;
        import) options="-f --format --strict -q --quiet -b --batch" ;;
        export) options="-o --output -f --format -l --label" ;;
        lock) options="-s --shared -t --timeout --kill-on-loss" ;;
        locks | status) options="-j --json" ;;
        unlock) options="-f --force -b --below" ;;
        ping) options="-c --count" ;;
        backup) options="-q --quiet" ;;
        restore) options="-q --quiet -j --journal -u --until --verify" ;;
        journal) options="-s --since -u --until -b --below -i --session -k --keep" ;;
    esac
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$options --help" -- "$cur"))
    elif [[ $command == journal && $prev == journal ]]; then
        COMPREPLY=($(compgen -W "list show export purge" -- "$cur"))
    elif [[ $command != ping && $command != sync ]]; then
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -f -- "$cur"))
    fi
}
complete -F _ecp ecp
