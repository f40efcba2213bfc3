import { ErrorCode, WarrenError } from '../../core/index.ts'

/** An address or pattern, and a port of this host that stands for it. */
export interface AddressPort {
  readonly address: string
  readonly port: number
}

/** Parses ADDRESS=PORT. Throws INVALID_OPTION with the right form. */
export function parsePair(option: string, text: string): AddressPort {
  const split = text.lastIndexOf('=')
  const [address, digits] = [text.slice(0, Math.max(0, split)), text.slice(split + 1)]
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : 0
  if (address !== '' && port > 0 && port < 65_536) return { address, port }
  throw new WarrenError(ErrorCode.InvalidOption, `${option} "${text.slice(0, 80)}" is not ADDRESS=PORT`, {
    hint: `Write it as ${option} dev.web.site.default=8080.`
  })
}
