/** For fish 3 and later. */
export const FISH = `# fish completion for warren: put it where fish looks:
# warren completion fish > ~/.config/fish/completions/warren.fish

function __warren_complete
    set -l typed (commandline --current-process --tokenize --cut-at-cursor)
    set -l current (commandline --current-token --cut-at-cursor)
    # As in --config=/etc: fish completes the whole word.
    set -l before (string match --regex -- '^--[^=]*=' "$current")
    set -l typed_value (string replace --regex -- '^--[^=]*=' '' "$current")
    for line in (command warren __complete -- $typed "$current" 2>/dev/null </dev/null)
        switch $line
            case :files
                for path in (__fish_complete_path "$typed_value")
                    echo "$before$path"
                end
            case :directories
                for path in (__fish_complete_directories "$typed_value" '')
                    echo "$before$path"
                end
            case ':*'
            case '*'
                echo $line
        end
    end
end
complete --command warren --no-files --arguments '(__warren_complete)'
`
