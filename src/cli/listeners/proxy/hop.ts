/** Fields that mean this connection alone: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1 */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  ...['connection', 'proxy-connection', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade'],
  ...['proxy-authorization', 'proxy-authenticate', 'proxy-authentication-info']
])
const VIA = ['Via', '1.1 warren'] as const

/** Names and values in turn, as Node reads and writes them, without those that are not to be carried; says who carried them. */
export function carriedFields(raw: readonly string[], without: readonly string[] = []): string[] {
  const pairs: [string, string][] = []
  for (let index = 0; index + 1 < raw.length; index += 2) pairs.push([raw[index] ?? '', raw[index + 1] ?? ''])
  const named = pairs
    .filter(([name]) => name.toLowerCase() === 'connection')
    .flatMap(([, value]) => value.split(',').map(token => token.trim().toLowerCase()))
  const dropped = new Set([...HOP_BY_HOP, ...named, ...without])
  return [...pairs.filter(([name]) => !dropped.has(name.toLowerCase())).flat(), ...VIA]
}
