import { Option } from 'commander'

const STRATEGIES = ['balanced', 'spread', 'first', 'sticky', 'exact'] as const

/** How one of several instances is chosen: the Strategy of the library. */
export type StrategyOption = (typeof STRATEGIES)[number]

export function strategyOption(): Option {
  return new Option(
    '--strategy <how>',
    'how to choose one of several instances: a near and idle one, by weight wherever it is, the first by address, ...'
  )
    .choices([...STRATEGIES])
    .default('balanced')
}
