import { createLocalJWKSet, type JSONWebKeySet, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import type { Clock } from '../../core/index.ts'
import { readKubernetesKeys } from '../kubernetes-keys.ts'
import { memberOf, textOf } from './json.ts'
import type { KubernetesContainer } from './kubernetes.ts'
import { readRegular } from './owned-file.ts'

const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']
/** A token of a service account has a thousand. */
const MAX_TOKEN_BYTES = 16 * 1024
/** The clock of the API server may differ by this much. */
const TOLERANCE_S = 30

/** Finds the service accounts of pods, by tokens that the cluster signed for them. */
export class ServiceAccounts {
  readonly #path: string
  readonly #clock: Clock
  #known: { readonly text: string; readonly keys: JWTVerifyGetKey } | undefined

  /** With a file of the public keys of the cluster (JWKS), which is read again when it has changed. */
  constructor(path: string, clock: Clock) {
    this.#path = path
    this.#clock = clock
  }

  /**
   * The service account of the pod of a container, as "NAMESPACE/NAME"; undefined if nothing proves it.
   *
   * The API server signs a token for a pod only if the pod has that service account, and names the pod by its uid. So it does not
   * matter who wrote the file of the token, or who else has a copy.
   */
  async of(container: KubernetesContainer): Promise<string | undefined> {
    const keys = this.#keys()
    if (keys === undefined) return undefined
    for (const directory of container.tokenDirectories) {
      const token = await readRegular(`${directory}/token`, MAX_TOKEN_BYTES)
      const found = token === undefined ? undefined : await this.#verify(token.trim(), keys, container)
      if (found !== undefined) return found
    }
    return undefined
  }

  async #verify(token: string, keys: JWTVerifyGetKey, container: KubernetesContainer): Promise<string | undefined> {
    try {
      const { payload } = await jwtVerify(token, keys, {
        algorithms: ALGORITHMS,
        requiredClaims: ['exp', 'sub'],
        clockTolerance: TOLERANCE_S,
        currentDate: new Date(this.#clock.wallMs())
      })
      return accountIn(payload, container)
    } catch {
      return undefined
    }
  }

  #keys(): JWTVerifyGetKey | undefined {
    try {
      const text = readKubernetesKeys(this.#path)
      if (this.#known?.text !== text) {
        this.#known = { text, keys: createLocalJWKSet(JSON.parse(text) as JSONWebKeySet) }
      }
      return this.#known.keys
    } catch {
      return undefined
    }
  }
}

/** The service account in the claims of a token that is bound to the pod of this container. */
function accountIn(payload: JWTPayload, { namespace, pod, podUid }: KubernetesContainer): string | undefined {
  const claims = memberOf(payload, 'kubernetes.io')
  const [bound, account] = [memberOf(claims, 'pod'), textOf(memberOf(claims, 'serviceaccount'), 'name')]
  const isOfPod =
    textOf(claims, 'namespace') === namespace && textOf(bound, 'name') === pod && textOf(bound, 'uid') === podUid
  if (!isOfPod || account === '' || payload.sub !== `system:serviceaccount:${namespace}:${account}`) return undefined
  return `${namespace}/${account}`
}
