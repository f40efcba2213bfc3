import { Option } from 'commander'

/** Which of several instances: what the library calls its Strategy. */
export type StrategyOption = 'balanced' | 'first' | 'sticky' | 'exact'

export function strategyOption(): Option {
  return new Option('--strategy <how>', 'which of several instances: a near and idle one, the first by address, ...')
    .choices(['balanced', 'first', 'sticky', 'exact'])
    .default('balanced')
}
