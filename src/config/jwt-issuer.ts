import { ErrorCode, WarrenError } from '../core/index.ts'

const MAX_LENGTH = 256

/**
 * The issuer of JWT-SVIDs, as relying parties compare it: character by character. Throws INVALID_ARGUMENT for one under which
 * they find no keys (https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata).
 */
export function jwtIssuerOf(text: string, option: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isPlain = url !== undefined && [url.search, url.hash, url.username, url.password].every(part => part === '')
  const canonical = url?.href.replace(/\/$/, '')
  if (isPlain && url.protocol === 'https:' && canonical === text && text.length <= MAX_LENGTH) return text
  throw new WarrenError(ErrorCode.InvalidArgument, `${option} "${text.slice(0, 80)}" is no address of an issuer`, {
    hint: 'Write it in its one form, without a slash at the end or a query, as in https://oidc.example.org or https://example.org/warren.'
  })
}
