import { Option } from 'commander'

/** How one of several instances is chosen: the Strategy of the library. */
export type StrategyOption = 'balanced' | 'first' | 'sticky' | 'exact'

export function strategyOption(): Option {
  return new Option(
    '--strategy <how>',
    'how to choose one of several instances: a near and idle one, the first by address, ...'
  )
    .choices(['balanced', 'first', 'sticky', 'exact'])
    .default('balanced')
}
