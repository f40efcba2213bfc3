import { type Command, InvalidArgumentError, Option } from 'commander'
import { parseDuration } from '../../core/index.ts'
import { contextOf } from '../context.ts'
import { print } from '../output/index.ts'
import { endingSignals, inWords } from '../signals.ts'
import { GROUPS, type Group, ORDERS, type Order } from '../top/frame.ts'
import { pageOf, printFrames, showFrames } from '../top/run.ts'

const MIN_INTERVAL_MS = 200
const MAX_INTERVAL_MS = 3_600_000

const AFTER = `
Keys: q quits, s sorts by the next order, g groups by the next group, space pauses and continues.
"in" is from the destination to the source, "out" from the source to the destination. Rates are those of the last interval. Where
standard output is no terminal, one picture is printed after one interval; --json prints a line after each interval.`

interface Options {
  readonly interval: string
  readonly count?: number
  readonly sort: Order
  readonly by: Group
  readonly rows: number
}

export function addTop(program: Command): void {
  program
    .command('top')
    .description('show live what this host carries: flows with their rates, and the load of the agent')
    .option('--interval <time>', 'time from one picture to the next', '2s')
    .option('--count <number>', 'end after so many pictures', wholeNumber)
    .addOption(new Option('--sort <order>', 'first order of the flows').choices(ORDERS).default('rate'))
    .addOption(new Option('--by <group>', 'add up the flows of each').choices(GROUPS).default('flow'))
    .option('--rows <number>', 'most flows of a picture that does not fill a terminal', wholeNumber, 100)
    .addHelpText('after', AFTER)
    .action(async ({ interval, count, sort, by, rows }: Options, command: Command) => {
      const context = contextOf(command)
      const intervalMs = parseDuration('--interval', interval, MIN_INTERVAL_MS, MAX_INTERVAL_MS)
      const isLive = process.stdout.isTTY && !context.json
      const pictures = count ?? (isLive || context.json ? Number.POSITIVE_INFINITY : 1)
      const { signal } = endingSignals(inWords(context.say))
      const options = { intervalMs, count: pictures, order: sort, by, rows, signal }
      try {
        if (!isLive) await printFrames(context, options)
        // The screen is gone with its last picture, and who asks for a number of them wants to keep it.
        else {
          const last = await showFrames(context, options)
          if (count !== undefined) print(pageOf(last, rows))
        }
      } catch (err) {
        if (!signal.aborted) throw err
      }
    })
}

function wholeNumber(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It is a whole number, as in 20.')
}
