/**
 * For bash 3.2 and later, with or without the package bash-completion.
 *
 * Bash splits words at "=" and ":" too (COMP_WORDBREAKS): they are put together again for warren, and what stands before the
 * last of these signs is cut off its answers, since bash replaces only what stands behind it.
 */
export const BASH = `# bash completion for warren: source it, or put it where bash-completion looks:
# warren completion bash > /usr/share/bash-completion/completions/warren

_warren() {
  local rest=\${COMP_LINE:0:COMP_POINT} word= current= kind=none line i
  local -a words=()
  COMPREPLY=()
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ $i -eq $COMP_CWORD ]]; then
      # What stands behind the cursor is no part of what is typed.
      while [[ -n $word && \${rest#"\${rest%%[![:space:]]*}"} != "$word"* ]]; do word=\${word%?}; done
    fi
    if [[ $i -gt 0 && $rest != [[:space:]]* && -n $word && ( $word == [:=]* || \${words[\${#words[@]} - 1]} == *[:=] ) ]]; then
      words[\${#words[@]} - 1]+=$word
    elif [[ $i -gt 0 && -z $word && $rest != [[:space:]]* && \${words[\${#words[@]} - 1]} == *[:=] ]]; then
      :
    else
      words+=("$word")
    fi
    rest=\${rest#"\${rest%%[![:space:]]*}"}
    rest=\${rest#"$word"}
  done
  current=\${words[\${#words[@]} - 1]}
  while IFS= read -r line; do
    case $line in
      :*) kind=\${line#:} ;;
      *) COMPREPLY+=("\${line%%$'\\t'*}") ;;
    esac
  done < <(command warren __complete -- "\${words[@]}" 2>/dev/null </dev/null)
  local before=
  for word in : =; do
    if [[ $COMP_WORDBREAKS == *"$word"* && $current == *"$word"* ]]; then
      line=\${current%"\${current##*"$word"}"}
      if [[ \${#line} -gt \${#before} ]]; then before=$line; fi
    fi
  done
  case $kind in
    files) while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "\${current#"$before"}") ;;
    directories) while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -d -- "\${current#"$before"}") ;;
    *) COMPREPLY=("\${COMPREPLY[@]#"$before"}") ;;
  esac
  # Before bash 4 there is none.
  if type compopt >/dev/null 2>&1; then
    if [[ $kind != none ]]; then compopt -o filenames; fi
    if [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == *[.=] ]]; then compopt -o nospace; fi
  fi
}
complete -F _warren warren
`
