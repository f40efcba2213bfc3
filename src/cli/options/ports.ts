import { Option } from 'commander'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import { collect } from './collect.ts'

/** `--port`, the ports at which clients expect a service. */
export function portOption(): Option {
  return new Option(
    '--port <port>',
    'port at which clients expect it: `warren dns` listens there; may be repeated, the usual one first'
  ).argParser(collect)
}

/** The numbers of these texts. Throws INVALID_ARGUMENT. */
export function parsePorts(texts: readonly string[]): number[] {
  return texts.map(text => {
    const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
    if (port >= 1 && port <= 65_535) return port
    throw new WarrenError(ErrorCode.InvalidArgument, `--port "${text.slice(0, 80)}" is no port from 1 to 65535`, {
      hint: 'Give the number that clients use, as in --port 5432.'
    })
  })
}
