import { Argument, type Command } from 'commander'
import { complete, SCRIPTS, SHELLS, type Shell, situationOf } from '../completion/index.ts'
import { print } from '../output/index.ts'

export function addCompletion(program: Command): void {
  program
    .command('completion')
    .description('print a script with which a shell completes commands, options, addresses and machines')
    .addArgument(new Argument('<shell>', 'the shell to print it for').choices(SHELLS))
    .addHelpText(
      'after',
      `
For this session:  source <(warren completion bash)     source <(warren completion zsh)     warren completion fish | source
For good, bash:    warren completion bash > ~/.local/share/bash-completion/completions/warren
For good, zsh:     warren completion zsh > DIR/_warren, where DIR is in $fpath before compinit
For good, fish:    warren completion fish > ~/.config/fish/completions/warren.fish

Addresses and machines are those that the agent knows. Without an agent, or an answer in half a second, they are left out.`
    )
    .action((shell: Shell) => print(SCRIPTS[shell].trimEnd()))
  // What the scripts call: the words of the line, from its first to the one that is typed. It fails for nothing, and in silence.
  program
    .command('__complete', { hidden: true })
    .argument('<words...>')
    .action(async (words: string[]) => {
      const { candidates, paths } = await complete(situationOf(program, words.slice(1)))
      const lines = candidates.map(({ value, about }) => (about === undefined ? value : `${value}\t${about}`))
      print([...lines, `:${paths}`].join('\n'))
    })
}
