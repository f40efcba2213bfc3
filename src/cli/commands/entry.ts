import { type Command, InvalidArgumentError } from 'commander'
import { grantsFields } from '../../wire/index.ts'
import { contextOf } from '../context.ts'
import { asList, type List, type ListOptions, showList } from '../lists.ts'
import { collect } from '../options/index.ts'
import { addReceiptsWait, receiptsWait, sayReceipts, type WaitOptions } from '../options/receipts.ts'
import { addUsageLimits, type UsageLimitOptions } from '../options/usage-limits.ts'
import { type EntryView, entryTable, entryView, printable } from '../output/index.ts'

// The uid that Linux shows for a user that a namespace does not map: /proc/sys/kernel/overflowuid, unless it was changed.
const OVERFLOW_ID = 65_534

interface EntryOptions extends UsageLimitOptions, WaitOptions {
  readonly machine?: string
  readonly uid?: number
  readonly user?: string
  readonly gid?: number
  readonly group?: string
  readonly exe?: string
  readonly sha256?: string
  readonly unit?: string
  readonly cgroup?: string
  readonly runtime?: string
  readonly container?: string
  readonly image?: string
  readonly pod?: string
  readonly containerUser?: string
  readonly serviceAccount?: string
  readonly selinux?: string
  readonly apparmor?: string
  readonly gateway?: string[]
  readonly dnsName?: string[]
  readonly reason?: string
  readonly owner?: string
}

const ENTRIES: List<{ readonly version: bigint; readonly strict: boolean; readonly entries: readonly EntryView[] }> = {
  load: async (agent, options) => {
    const { entries, strict, version } = await agent.admin.getPolicy({}, options)
    return { version, strict, entries: entries.map(entryView) }
  },
  text: ({ entries }) => entryTable(entries),
  notes: ({ strict }) => [
    strict
      ? 'strict: only these entries grant an address'
      : 'root and the user of the agent may register any address of their host'
  ]
}

export function addEntry(program: Command): void {
  const entry = program.command('entry').description('decide which processes may register which addresses')
  const add = entry
    .command('add')
    .description('let processes that match all of these options register an address')
    .argument('<address>', 'pattern of addresses that they may register, as in dev.web.*.default')
    .option('--machine <machine>', 'only on this host')
    .option('--uid <number>', 'user id', id)
    .option('--user <name>', 'user, as the host knows it')
    .option('--gid <number>', 'group id, primary or supplementary', id)
    .option('--group <name>', 'group, as the host knows it')
    .option('--exe <path>', 'path of the executable')
    .option('--sha256 <hex>', 'hash of the executable')
    .option('--unit <name>', 'systemd unit of the system, as in nginx.service')
    .option('--cgroup <path>', 'cgroup (version 2) or one below it, as in /system.slice')
    .option('--runtime <name>', 'container runtime that made its container, as in podman')
    .option('--container <name>', 'name of its container; NAMESPACE/NAME in Kubernetes')
    .option('--image <digest>', 'digest of the image of its container, as in sha256:0123…')
    .option('--pod <name>', 'name or id of the pod of its container; NAMESPACE/NAME or the uid in Kubernetes')
    .option('--service-account <name>', 'service account of its pod in Kubernetes, NAMESPACE/NAME')
    .option('--container-user <name>', 'user whose container it is, by name or number (default: root)')
    .option('--selinux <label>', 'label that SELinux enforces for it, or its beginning up to a colon')
    .option('--apparmor <profile>', 'profile that AppArmor enforces for it')
    .option('--gateway <host:port>', 'server of another host for which they may stand; may be repeated', collect)
    .option('--dns-name <name>', 'DNS name that their certificates may have, or *.NAME; may be repeated', collect)
    .option('--reason <text>', 'reason that `warren policy show` prints')
    .option('--owner <text>', 'who answers for it, as `warren policy show` prints it')
  addReceiptsWait(addUsageLimits(add, 'to each registration that it grants')).action(
    async (grants: string, options: EntryOptions, command: Command) => {
      const context = contextOf(command)
      const { agent, show, say } = context
      const wait = receiptsWait(context, options)
      const { exe = '', sha256 = '', unit = '', uid, gid, gateway: gateways = [], dnsName = [], ...others } = options
      const { wait: _wait, timeout: _timeout, ...more } = others
      const {
        runtime = '',
        container = '',
        image = '',
        pod = '',
        containerUser = '',
        serviceAccount = '',
        ...labelled
      } = more
      const { selinux = '', apparmor = '', ...rest } = labelled
      const ofContainer = {
        containerRuntime: runtime,
        containerName: container,
        containerImage: image.toLowerCase(),
        containerPod: pod,
        containerUser,
        containerServiceAccount: serviceAccount,
        selinux,
        apparmor
      }
      const ids = { ...(uid === undefined ? {} : { uid }), ...(gid === undefined ? {} : { gid }) }
      const selectors = {
        ...rest,
        ...ids,
        gateways,
        dnsNames: dnsName,
        exePath: exe,
        exeSha256: sha256,
        systemdUnit: unit,
        ...ofContainer,
        ...grantsFields(grants, ofContainer)
      }
      const { entries: before } = await agent.admin.getPolicy({})
      const { entry: added, version } = await agent.admin.addEntry({ entry: selectors })
      const view = added === undefined ? undefined : entryView(added)
      const { entries: after } = await agent.admin.getPolicy({})
      const replaced = before.filter(({ id }) => !after.some(one => one.id === id))
      const awaited = await wait(version)
      show({ entry: view, version, replaced: replaced.map(({ id }) => id), ...awaited }, () => view?.id ?? '')
      say(`granted, as of policy version ${version}`)
      for (const former of replaced) say(replacedLine(former, view))
      sayReceipts(context, version, awaited)
      if (uid === OVERFLOW_ID) {
        say(`uid ${uid} stands for every user that a host cannot map: this entry grants nothing to its processes`)
      }
    }
  )
  asList(entry.command('list').description('list the entries')).action(
    async (options: ListOptions, command: Command) => await showList(contextOf(command), ENTRIES, options)
  )
  const remove = entry
    .command('remove')
    .description('remove one entry; registrations that only this entry granted end')
    .argument('<entry>', 'its id, as `warren entry list` shows it')
  addReceiptsWait(remove).action(async (id: string, options: WaitOptions, command: Command) => {
    const context = contextOf(command)
    const wait = receiptsWait(context, options)
    const { version } = await context.agent.admin.removeEntry({ id })
    const awaited = await wait(version)
    context.show({ id, version, ...awaited }, () => id)
    context.say(`entry ${id} is removed, as of policy version ${version}`)
    sayReceipts(context, version, awaited)
  })
  const strictly = entry
    .command('strict')
    .description('set whether root and the user of the agent need an entry, too, from now on')
    .argument('<on|off>')
  addReceiptsWait(strictly).action(async (text: string, options: WaitOptions, command: Command) => {
    if (text !== 'on' && text !== 'off') command.error(`error: strict is on or off, not "${text.slice(0, 40)}"`)
    const context = contextOf(command)
    const wait = receiptsWait(context, options)
    const strict = text === 'on'
    const { version } = await context.agent.admin.setStrict({ strict })
    const awaited = await wait(version)
    context.show({ strict, version, ...awaited }, () => text)
    context.say(`strict is ${text}, as of policy version ${version}`)
    sayReceipts(context, version, awaited)
  })
}

// All that a uid_t holds but (uid_t) -1, which means nobody.
const MAX_ID = 2 ** 32 - 2

function id(text: string): number {
  const value = Number(text)
  if (/^\d{1,10}$/.test(text) && value <= MAX_ID) return value
  throw new InvalidArgumentError('It is a number.')
}

type Named = Pick<ReturnType<typeof entryView>, 'gateways' | 'dnsNames'>

function replacedLine({ id, gateways, dnsNames }: Named & { readonly id: string }, now: Named | undefined): string {
  const lost = [
    ...namesLost('gateway to', gateways, now?.gateways),
    ...namesLost('certificate for', dnsNames, now?.dnsNames)
  ]
  const text = `it replaces ${printable(id)}, which was for the same addresses and processes`
  return lost.length === 0 ? text : `${text}: ${lost.join(', and ')} any more; one command names all of them`
}

function namesLost(what: string, before: readonly string[], now: readonly string[] = []): string[] {
  const lost = before.filter(name => !now.includes(name))
  return lost.length === 0 ? [] : [`no ${what} ${lost.map(printable).join(', ')}`]
}
