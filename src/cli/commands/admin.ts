import { closeSync, openSync, readSync } from 'node:fs'
import { type Command, Option } from 'commander'
import { ErrorCode, fileFault, WarrenError } from '../../core/index.ts'
import { contextOf } from '../context.ts'
import { openKey } from '../keys/index.ts'
import { asList, type List, type ListOptions, showList } from '../lists.ts'
import { collect } from '../options/index.ts'
import { addReceiptsWait, receiptsWait, sayReceipts, type WaitOptions } from '../options/receipts.ts'
import { type AdminView, adminTable, adminView, printable } from '../output/index.ts'

interface RemoveOptions extends WaitOptions {
  readonly discard?: true
  readonly reason?: string
}

interface AddOptions extends WaitOptions {
  readonly role: string
  readonly scope?: string[]
  readonly key: string
  readonly reason?: string
  readonly acceptOlderMembers?: true
}

const MAX_KEY_FILE_BYTES = 4_096

const AFTER = `
Who founded the trust domain is the first owner, named founder. To make a second host an admin:
  b$ warren admin key > b.pub
  a$ warren admin add bob --role admin --scope dev --key b.pub
From then on, warren allow, deny, entry, revoke and policy work on b, within the scope dev.`

const AFTER_KEY = `
With --use, the private key stays with the person who runs the commands, in ssh-agent for example: each command shows what it signs.
The agent of this host then changes nothing without such a command.`

const ADMINS: List<{ readonly admins: readonly AdminView[]; readonly olderMembers: readonly string[] }> = {
  load: async (agent, options) => {
    const { admins, olderMembers } = await agent.admin.listAdmins({}, options)
    return { admins: admins.map(adminView), olderMembers }
  },
  text: ({ admins }) => adminTable(admins, Date.now()),
  notes: ({ admins, olderMembers }) => [
    ...admins.flatMap(({ name, withoutEffect }) =>
      withoutEffect === 0
        ? []
        : [
            `statements of ${printable(name)} without effect: ${withoutEffect}; they are outside of its scopes, or taken back by another`
          ]
    ),
    ...admins.flatMap(({ name, awaited }) =>
      awaited
        ? [
            `ALARM: the version of ${printable(name)} that still counts is not known here yet; only its denials count until it is`
          ]
        : []
    ),
    ...(olderMembers.length > 0 && admins.length > 1
      ? [`ALARM: ${olderMembers.map(printable).join(', ')} enforce the founder's statements only: upgrade them`]
      : [])
  ]
}

export function addAdmin(program: Command): void {
  const admin = program
    .command('admin')
    .description('who may change the policy, and by which keys')
    .addHelpText('after', AFTER)
  asList(admin.command('list').description('list the admins, the oldest first')).action(
    async (options: ListOptions, command: Command) => await showList(contextOf(command), ADMINS, options)
  )
  admin
    .command('key')
    .description('print the public key by which an owner can make this host an admin; makes the key if there is none')
    .option('--new', 'make another key, in place of one that was removed')
    .addOption(
      new Option(
        '--use <uri>',
        'sign by a key that is not on this host: ssh-agent:SHA256:…, file:PATH or pkcs11:…'
      ).conflicts('new')
    )
    .addHelpText('after', AFTER_KEY)
    .action(async (options: { readonly new?: true; readonly use?: string }, command: Command) => {
      const { agent, show, say } = contextOf(command)
      const used = options.use === undefined ? undefined : await openKey(options.use)
      const wanted = { renew: options.new === true, ...(used !== undefined && { key: used.key, uri: used.uri }) }
      const { key, name, uri } = await agent.admin.makeAdminKey(wanted)
      show({ key, name, uri }, () => key)
      if (uri !== '') say(`the private key is not on this host; commands sign with ${printable(uri)}`)
      say(
        name === ''
          ? 'it has no rights yet; on the host of an owner: warren admin add NAME --role admin --scope SCOPE --key KEY'
          : `it is the key of ${name}`
      )
    })
  const add = admin
    .command('add')
    .description('give the holder of a key the right to change the policy, or change the role of an admin')
    .argument('<name>', 'name of the admin: lower-case letters, digits and "-"')
    .addOption(
      new Option('--role <role>', 'owner: all, also admins; admin: what its scopes contain; observer: nothing')
        .choices(['owner', 'admin', 'observer'])
        .makeOptionMandatory()
    )
    .option('--scope <scope>', 'of an admin: a scope that it may change; may be repeated', collect)
    .requiredOption(
      '--key <file>',
      'file with its public key, as `warren admin key` prints it there, or the key itself'
    )
    .option('--reason <text>', 'reason that `warren admin list --json` prints')
    .option('--accept-older-members', "also while members run programs that enforce the founder's statements only")
  addReceiptsWait(add).action(async (name: string, options: AddOptions, command: Command) => {
    const context = contextOf(command)
    const { agent, show, say } = context
    const { role, scope = [], reason = '', acceptOlderMembers = false } = options
    const request = { name, role, scopes: scope, key: keyIn(options.key), reason, acceptOlderMembers }
    const wait = receiptsWait(context, options)
    const { admin: added, version } = await agent.admin.addAdmin(request)
    const awaited = await wait(version)
    show({ admin: added === undefined ? undefined : adminView(added), version, ...awaited }, () => name)
    const within = scope.length === 0 ? '' : ` of ${scope.join(', ')}`
    say(`${name} is ${role}${within}, as of policy version ${version}`)
    sayReceipts(context, version, awaited)
  })
  const remove = admin
    .command('remove')
    .description('end the rights of an admin for good; what it has stated up to now stays')
    .argument('<admin>', 'its name, as `warren admin list` shows it')
    .option('--discard', 'what it has stated no longer counts either')
    .option('--reason <text>', 'reason that the admin gets, and `warren admin list` prints')
    .addHelpText(
      'after',
      '\nWhat the admin signs later has no effect on any host, whatever date it bears. Single statements are removed with\n`warren policy remove NAME/ID`. A key that was removed is never added again: the host makes another one.'
    )
  addReceiptsWait(remove).action(async (name: string, options: RemoveOptions, command: Command) => {
    const context = contextOf(command)
    const { agent, show, say } = context
    const { discard = false, reason = '' } = options
    const wait = receiptsWait(context, options)
    const { admin: removed, version } = await agent.admin.removeAdmin({ name, discard, reason })
    const awaited = await wait(version)
    const view = removed === undefined ? undefined : adminView(removed)
    show({ admin: view, version, ...awaited }, () => name)
    const counts =
      view === undefined || view.version === 0n
        ? 'none of its statements counts'
        : `version ${view.version} of its statements counts`
    say(`${name} is removed, as of policy version ${version}: ${counts}`)
    sayReceipts(context, version, awaited)
  })
}

function keyIn(text: string): string {
  if (/^12D3KooW\w{44}$/.test(text)) return text
  try {
    return startOf(text).trim()
  } catch (err) {
    throw new WarrenError(
      ErrorCode.InvalidOption,
      `cannot read the key in ${text.slice(0, 256)}: ${fileFault(text, err).why}`,
      {
        cause: err,
        hint: 'Give the text that `warren admin key` prints on the host of the admin, or a file that contains it.'
      }
    )
  }
}

// A pipe or a device is read as well, and one without an end up to the bound.
function startOf(path: string): string {
  const fd = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(MAX_KEY_FILE_BYTES)
    let length = 0
    for (let count = 1; count > 0 && length < bytes.length; length += count) {
      count = readSync(fd, bytes, length, bytes.length - length, null)
    }
    return bytes.toString('utf8', 0, length)
  } finally {
    closeSync(fd)
  }
}
