import type { Command } from 'commander'
import { contextOf } from '../context.ts'
import { PASSPHRASE_HELP, PASSPHRASE_OPTION, readPassphrase } from '../options/index.ts'
import { requireStdout, STDOUT, writeStdout } from '../output/stdout.ts'

interface BackupOptions {
  readonly passphraseFile?: string
  readonly stateDir?: string
}

export function addBackup(program: Command): void {
  program
    .command('backup')
    .description('write the state of this host to one encrypted file: keys, certificates, policy, memory')
    .argument('<file>', 'path of the file; replaces another backup there, in one step; - for standard output')
    .option(PASSPHRASE_OPTION, PASSPHRASE_HELP)
    .option('--state-dir <dir>', 'state directory of a stopped agent (default: ask the running agent)')
    .addHelpText(
      'after',
      '\nThe file and the passphrase together are the identity of this host. Nobody can restore it without the passphrase.'
    )
    .action(async (file: string, options: BackupOptions, command: Command) => {
      const { agent, json, show, say } = contextOf(command)
      const { backupStopped, checkBackupPath, writeBackup } = await import('../../agent/index.ts')
      if (file === STDOUT) requireStdout({ json, isBinary: true })
      else checkBackupPath(file)
      const passphrase = await readPassphrase(options.passphraseFile, true)
      const sealed =
        options.stateDir === undefined
          ? (await agent.admin.backup({ passphrase })).sealed
          : await backupStopped(options.stateDir, passphrase, Date.now())
      if (file === STDOUT) await writeStdout(sealed)
      else {
        writeBackup(file, sealed)
        show({ file, bytes: sealed.length }, () => file)
      }
      say(`${sealed.length} bytes; keep the file and the passphrase in two places, and copies outside this host`)
    })
}

export function addRestore(program: Command): void {
  program
    .command('restore')
    .description('set a host up from a backup, into a state directory that is missing or empty')
    .argument('<file>', 'file that `warren backup` wrote')
    .option(PASSPHRASE_OPTION, PASSPHRASE_HELP)
    .option('--state-dir <dir>', 'state directory to restore to (default: as `warren up`)')
    .addHelpText(
      'after',
      '\nThe host that the backup was made on must not run any more. The mesh reports two hosts with one key,\nand they interrupt each other.'
    )
    .action(async (file: string, options: BackupOptions, command: Command) => {
      const { show, say } = contextOf(command)
      const { openBackup, readSealedFile, resolveConfig, restoreState } = await import('../../agent/index.ts')
      const stateDir = options.stateDir ?? resolveConfig({}).stateDir
      const sealed = readSealedFile(file)
      const content = await openBackup(sealed, await readPassphrase(options.passphraseFile, false))
      restoreState(stateDir, content, Date.now())
      const { machine, trustDomain } = content
      const madeAt = new Date(content.madeAtMs).toISOString()
      show({ machine, trustDomain, madeAtMs: content.madeAtMs, stateDir }, () => stateDir)
      say(`${machine} of ${trustDomain}, as of ${madeAt}; its open join tokens are revoked; next: warren up`)
    })
}
