import type { Command } from 'commander'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { contextOf } from '../context.ts'
import { asList, type List, type ListOptions, showList } from '../lists.ts'
import { askTerminal, PASSPHRASE_HELP, PASSPHRASE_OPTION, readPassphrase } from '../options/index.ts'
import { type RootView, rootTable, rootView } from '../output/index.ts'
import { STDOUT } from '../output/stdout.ts'

interface RootOptions {
  readonly passphraseFile?: string
  readonly stateDir?: string
}

export function addRoot(program: Command): void {
  const root = program
    .command('root')
    .description('move the root key of the trust domain off this host, bring it back, and replace it')
  root
    .command('export')
    .description('write the root key to an encrypted file, then delete it from this host')
    .argument('<file>', 'a file that does not exist yet')
    .option(PASSPHRASE_OPTION, PASSPHRASE_HELP)
    .option('--state-dir <dir>', 'state directory with the key (default: as `warren up`)')
    .option('--yes', 'delete the key without asking')
    .addHelpText(
      'after',
      `
Joins and all other work continue without the key. The agent may run. Copies in backups and snapshots are not deleted.`
    )
    .action(async (file: string, options: RootOptions & { yes?: true }, command: Command) => {
      const { show, say } = contextOf(command)
      if (file === STDOUT) {
        throw new WarrenError(ErrorCode.InvalidArgument, 'the root key cannot be exported to standard output', {
          hint: 'Give a file: the command reads it back and opens it before it deletes the key here.'
        })
      }
      const { exportRootKey, resolveConfig } = await import('../../agent/index.ts')
      const stateDir = options.stateDir ?? resolveConfig({}).stateDir
      if (options.yes !== true) await confirm(stateDir, file)
      await exportRootKey(stateDir, file, await readPassphrase(options.passphraseFile, true), Date.now())
      show({ file, stateDir }, () => file)
      say(
        `the root key is in ${file} and no longer in ${stateDir}; it is lost without the file or without the passphrase`
      )
    })
  root
    .command('import')
    .description('bring an exported root key back to this host')
    .argument('<file>', 'file that `warren root export` wrote')
    .option(PASSPHRASE_OPTION, PASSPHRASE_HELP)
    .option('--state-dir <dir>', 'state directory to write to (default: as `warren up`)')
    .action(async (file: string, options: RootOptions, command: Command) => {
      const { show, say } = contextOf(command)
      const { importRootKey, readSealedFile, resolveConfig } = await import('../../agent/index.ts')
      const stateDir = options.stateDir ?? resolveConfig({}).stateDir
      const sealed = readSealedFile(file)
      await importRootKey(stateDir, sealed, await readPassphrase(options.passphraseFile, false))
      show({ file, stateDir }, () => stateDir)
      say(`the root key is in ${stateDir} again; the file is unchanged`)
    })
  addRotate(root)
}

const ROOTS: List<RootView> = {
  load: async (agent, options) => rootView((await agent.admin.getRoot({}, options)).status),
  text: view => rootTable(view, Date.now())
}

function addRotate(root: Command): void {
  asList(root.command('status').description('show the trusted roots, and the progress of a rotation')).action(
    async (options: ListOptions, command: Command) => await showList(contextOf(command), ROOTS, options)
  )
  root
    .command('rotate')
    .description('replace the root: first trust both, then with --finish only the new one')
    .option('--finish', 'trust the new root alone and delete the key of the old one')
    .option('--force', 'with --finish: also if some hosts are not below the new root yet')
    .addHelpText(
      'after',
      `
The root key must be on this host. Connections continue.
Back this host up after each of the two steps: an older backup has an old key.`
    )
    .action(async (options: { finish?: true; force?: true }, command: Command) => {
      const { finish = false, force = false } = options
      if (force && !finish) throw new WarrenError(ErrorCode.InvalidArgument, '--force goes with --finish')
      const { agent, show, say } = contextOf(command)
      const view = rootView((await agent.admin.rotateRoot({ finish, force })).status)
      show(view, () => rootTable(view, Date.now()))
      say(
        finish
          ? 'only the new root is trusted; back this host up, and export the root key if you keep it offline'
          : 'both roots are trusted; once `warren root status` shows no host behind: warren root rotate --finish'
      )
    })
}

async function confirm(stateDir: string, file: string): Promise<void> {
  if (!process.stdin.isTTY) {
    throw new WarrenError(
      ErrorCode.InvalidArgument,
      'the root key would be deleted from this host, and nobody can be asked',
      {
        hint: 'Give --yes if that is what you want.'
      }
    )
  }
  const answer = await askTerminal(
    `The root key will be deleted from ${stateDir} once it is in ${file}. Continue? [yes/no] `
  )
  if (answer !== 'yes') throw new WarrenError(ErrorCode.InvalidArgument, 'nothing was done: the answer was not "yes"')
}
