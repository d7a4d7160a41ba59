# bash completion for holdfast. Commands and options are those that --help tells, so nothing here has to be kept in step.
_holdfast()
{
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} program=${COMP_WORDS[0]} words
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        words="$("$program" --help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\)  .*/\1/p') --help --version"
    elif [[ $previous == --config || $previous == --ca || $previous == --outbox || $previous == --heartbeat-memory ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
    elif [[ $previous == --set ]]; then
        words=$("$program" serve --help 2>/dev/null | sed -n 's/^  \([a-z][a-z_.]*\) (.*/\1=/p')
        compopt -o nospace 2>/dev/null
    elif [[ ${COMP_WORDS[1]} == bench ]] && ((COMP_CWORD == 2)); then
        words="$("$program" bench --help 2>/dev/null | sed -n '/^Modes:/,/^$/s/^  \([a-z][a-z-]*\)  .*/\1/p') --help"
    elif [[ $current == -* ]]; then
        words=$("$program" "${COMP_WORDS[1]}" --help 2>/dev/null | grep -o -- '--[a-z][a-z-]*' | sort -u)
    else
        return
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _holdfast holdfast
