import { Option } from 'commander'
import { collect } from './collect.ts'

/** `--dns-name` of the commands that register. */
export function dnsNameOption(): Option {
  return new Option(
    '--dns-name <name>',
    'DNS name for its certificates; an entry must name it; may be repeated'
  ).argParser(collect)
}
