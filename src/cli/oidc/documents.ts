import { posix } from 'node:path'

/** What the agent says of the keys of JWT-SVIDs. */
export interface TokenKeys {
  /** Empty: the tokens have none, so no relying party finds these keys. */
  readonly issuer: string
  /** Public keys as JSON Web Keys, and whose they are. */
  readonly keys: ReadonlyArray<{ readonly machine: string; readonly jwk: string }>
}

/** The documents of a provider by their paths, as texts of JSON. */
export type Documents = ReadonlyMap<string, string>

const DISCOVERY = '/.well-known/openid-configuration'
const KEYS = '/keys'
/** Of every JWT-SVID of warren. */
const ALGORITHM = 'ES256'

/**
 * The documents for these keys; `machines`: those of these hosts alone, if there are any. Each is also at its path without that of the
 * issuer, for a server in front that removes it.
 */
export function documentsOf({ issuer, keys }: TokenKeys, machines: ReadonlySet<string>): Documents {
  const chosen = machines.size === 0 ? keys : keys.filter(({ machine }) => machines.has(machine))
  const texts: ReadonlyArray<readonly [path: string, document: object]> = [
    [
      DISCOVERY,
      {
        issuer,
        jwks_uri: `${issuer}${KEYS}`,
        // Nobody signs in here. The field is required, and empty with the provider of SPIRE as well.
        authorization_endpoint: '',
        response_types_supported: ['id_token'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: [ALGORITHM]
      }
    ],
    [KEYS, { keys: chosen.map(({ jwk }) => ({ ...(JSON.parse(jwk) as object), use: 'sig' })) }]
  ]
  const { pathname } = new URL(issuer)
  const all = texts.flatMap(([path, document]): [string, string][] => {
    const text = JSON.stringify(document)
    return [
      [path, text],
      [posix.join(pathname, path), text]
    ]
  })
  return new Map(all)
}
