import type { Command } from 'commander'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { contextOf } from '../context.ts'
import { readSecret } from '../options/index.ts'
import { formatLimits, formatWhen, type InspectionView, inspectionView, pairs } from '../output/index.ts'

export function addInspect(program: Command): void {
  program
    .command('inspect')
    .description('show the identity documents of your registrations; the hash of each document is its id')
    .argument(
      '[registration...]',
      'an id or the beginning of one, a token, @FILE that contains one, or - (default: all of yours)'
    )
    .action(async (names: string[], _options: object, command: Command) => {
      const registrations = await Promise.all(names.map(name => readSecret('REGISTRATION', name)))
      const { agent, show, say } = contextOf(command)
      const answer = await agent.workload.inspect({ registrations })
      const views = answer.registrations.flatMap(one => inspectionView(one) ?? [])
      show({ registrations: views }, () => views.map(text).join('\n\n'))
      if (views.length === 0) say('your user has no registration on this host')
      const wrong = views.find(({ hashMatches }) => !hashMatches)
      if (wrong === undefined) return
      throw new WarrenError(ErrorCode.Internal, `the id of ${wrong.address} is not the hash of its document`)
    })
}

function text({ registrationId, address, document, hashMatches, ...limits }: InspectionView): string {
  const limited = formatLimits(limits)
  return pairs([
    ['address', address],
    ['SPIFFE ID', document.spiffeId],
    ['application', document.application === '' ? '-' : document.application],
    ['scope', document.scope],
    ['pid', String(document.pid)],
    ['uid', String(document.uid)],
    ['registered', formatWhen(document.registeredAtMs, Date.now())],
    ['machine', document.machine],
    ['whitelist', document.whitelist.length === 0 ? '-' : document.whitelist.join('  ')],
    ...(limited === '' ? [] : [['limits', limited] as const]),
    ['id', registrationId],
    ['SHA-256', hashMatches ? 'of the above is the id' : 'DIFFERS']
  ])
}
