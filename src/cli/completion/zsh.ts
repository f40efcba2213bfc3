/** For zsh 5 and later. */
export const ZSH = `#compdef warren
# zsh completion for warren: put it as "_warren" into a directory of $fpath before compinit runs:
# warren completion zsh > /usr/share/zsh/vendor-completions/_warren

_warren() {
  local line value kind=none
  local -a typed spaced joined spaced_about joined_about
  typed=("\${(@Q)words[1,CURRENT-1]}" "\${PREFIX}")
  while IFS= read -r line; do
    value=\${line%%$'\\t'*}
    if [[ $line == :* ]]; then
      kind=\${line#:}
    elif [[ $value == *[.=] ]]; then
      joined+=("$value")
      joined_about+=("\${line/$'\\t'/  -- }")
    else
      spaced+=("$value")
      spaced_about+=("\${line/$'\\t'/  -- }")
    fi
  done < <(command warren __complete -- "\${typed[@]}" 2>/dev/null </dev/null)
  if (( \${#spaced} )); then compadd -l -d spaced_about -a spaced; fi
  if (( \${#joined} )); then compadd -l -S '' -d joined_about -a joined; fi
  case $kind in
    files) compset -P '*='; _files ;;
    directories) compset -P '*='; _files -/ ;;
  esac
}

# Sourced, it registers the function; from $fpath, the function is called.
if [[ \${funcstack[1]} == _warren ]]; then _warren "$@"; else compdef _warren warren; fi
`
