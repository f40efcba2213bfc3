import type { AttestedProcess, Attestor, HeldProcess } from '../attest/index.ts'
import { ErrorCode, formatHostPort, gatewayName, WarrenError } from '../core/index.ts'
import { type Address, formatAddress } from '../identity/index.ts'
import {
  type Entry,
  entryOfUser,
  gatewayEntries,
  grantingEntry,
  limitingEntries,
  namingEntries,
  narrowingOptions,
  tightest,
  type UsageLimits,
  wantsContainer,
  wantsExecutable,
  wantsHash,
  wantsMore,
  whyNotGranted
} from '../policy/index.ts'
import { dnsNamesOf, type RegisterInput } from './register-input.ts'
import type { Target } from './target.ts'
import type { Workload } from './workload.ts'

export interface GrantsDeps {
  /** Scopes this host may run; empty: all. */
  readonly scopes: readonly string[]
  readonly agentUid: number
  /** The registration entries in force, and whether they alone count. */
  readonly entries: () => { readonly entries: readonly Entry[]; readonly strict: boolean }
  /** Throws REVOKED when a workload of this SPIFFE ID is not trusted, or this host is not. */
  readonly requireNotRevoked: (spiffeId: string) => void
  readonly attestor: Pick<Attestor, 'attest' | 'attestUser'>
}

/** What an entry must name besides the address. */
interface Wanted {
  readonly what: string
  readonly gateways?: readonly string[]
  readonly dnsNames?: readonly string[]
  readonly among: (entries: readonly Entry[]) => readonly Entry[]
}

/** Decides which process may be which workload of this host. */
export class Grants {
  readonly #deps: GrantsDeps
  readonly #wanted: readonly Wanted[]
  readonly #all: GrantsDeps['entries']
  // Asked at each connection: an answer holds as long as the entries do.
  readonly #limits = new WeakMap<readonly AttestedProcess[], { entries: readonly Entry[]; limits: UsageLimits }>()

  constructor(deps: GrantsDeps, wanted: readonly Wanted[] = [], all: GrantsDeps['entries'] = deps.entries) {
    this.#deps = deps
    this.#wanted = wanted
    this.#all = all
  }

  /** The same grants with other entries: for questions. */
  under(policy: ReturnType<GrantsDeps['entries']>): Grants {
    return new Grants({ ...this.#deps, entries: () => policy })
  }

  /**
   * The grants that count for a registration with this target and these names for its certificates, or for one that asks for them.
   *
   * To stand for a server of another host, an entry must name that server, and to have a DNS name, that name. Nobody may by being
   * root: whom the agent reaches with the network of its host, and what clients elsewhere trust, is for those to say who set the policy.
   */
  forClaim(claim: Pick<RegisterInput, 'dnsNames'> & { readonly target: RegisterInput['target'] | Target }): Grants {
    const { entries } = this.#deps
    const wanted: Wanted[] = []
    const { target } = claim
    if (target?.kind === 'tcp' && target.gateway === true) {
      const server = 'address' in target ? gatewayName(target.address) : formatHostPort(target)
      wanted.push({
        what: `as a gateway to ${server}`,
        gateways: [server],
        among: all => gatewayEntries(all, server)
      })
    }
    const names = dnsNamesOf(claim)
    if (names.length > 0) {
      wanted.push({
        what: `with a certificate for ${names.join(', ')}`,
        dnsNames: names,
        among: all => namingEntries(all, names)
      })
    }
    if (wanted.length === 0) return this
    const named = () => ({ entries: wanted.reduce((left, { among }) => among(left), entries().entries), strict: true })
    return new Grants({ ...this.#deps, entries: named }, wanted, entries)
  }

  /** The facts about a process, including those about its container and executable that some entry for `address` needs. */
  async attest(held: HeldProcess, address: Address): Promise<AttestedProcess> {
    const { attestor } = this.#deps
    const entries = (): readonly Entry[] => this.#deps.entries().entries
    return await attestor.attest(held, {
      container: facts => !this.isGranted(address, facts) && wantsContainer(entries(), address, facts),
      executable: facts => !this.isGranted(address, facts) && wantsExecutable(entries(), address, facts),
      hash: facts => !this.isGranted(address, facts) && wantsHash(entries(), address, facts)
    })
  }

  /** The facts about a user for whom the agent itself acts, as a file of the configuration says. */
  async attestUser(uid: number): Promise<AttestedProcess> {
    return await this.#deps.attestor.attestUser(uid)
  }

  /** Whether an entry, or the built-in one, grants `address` to a process with these facts now. */
  isGranted(address: Address, facts: AttestedProcess): boolean {
    const { entries, strict } = this.#deps.entries()
    return (
      (!strict && facts.view.isOfHost && this.#isPrivileged(facts)) ||
      grantingEntry(entries, address, facts) !== undefined
    )
  }

  /** The limits of a registration of this moment: its own, and those of the entries that grant it to any of its processes. */
  limitsOf({ address, facts, limits: own }: Pick<Workload, 'address' | 'facts' | 'limits'>): UsageLimits {
    const { entries } = this.#deps.entries()
    const known = this.#limits.get(facts)
    if (known?.entries === entries) return known.limits
    const limits = tightest([own, ...facts.flatMap(process => limitingEntries(entries, address, process))])
    this.#limits.set(facts, { entries, limits })
    return limits
  }

  /** Throws PERMISSION_DENIED that says which entry is missing, or REVOKED. */
  require(address: Address, spiffeId: string, facts: readonly AttestedProcess[]): void {
    const { scopes, requireNotRevoked } = this.#deps
    requireNotRevoked(spiffeId)
    if (scopes.length > 0 && !scopes.includes(address.scope)) {
      throw new WarrenError(ErrorCode.PermissionDenied, `this host was not admitted for scope "${address.scope}"`, {
        hint: `It may run workloads of: ${scopes.join(', ')}.`
      })
    }
    const denied = facts.find(process => !this.isGranted(address, process))
    if (denied !== undefined) throw this.#notGranted(address, denied)
  }

  /** Whether `require` would not throw REVOKED. */
  isAdmissible(spiffeId: string): boolean {
    try {
      this.#deps.requireNotRevoked(spiffeId)
      return true
    } catch {
      return false
    }
  }

  /** Whether the facts about the container and the executable, not read so far, could change the result. */
  isUndecided(address: Address, facts: readonly AttestedProcess[]): boolean {
    const { entries } = this.#deps.entries()
    return facts.every(process => this.isGranted(address, process) || wantsMore(entries, address, process))
  }

  #isPrivileged({ uid }: AttestedProcess): boolean {
    return uid === 0 || uid === this.#deps.agentUid
  }

  #notGranted(address: Address, facts: AttestedProcess): WarrenError {
    const { entries, strict } = this.#deps.entries()
    const what = this.#wanted.map(one => ` ${one.what}`).join(' and')
    const why = `${whyNotGranted(entries, address, facts)}${what}`
    const text = this.#isPrivileged(facts) && what === '' ? `${why}${whyNotBuiltIn(strict, facts)}` : why
    const narrow = narrowingOptions(entries, address, facts)
    const name = formatAddress(address).split('.').slice(0, -1).join('.')
    const { machine } = address
    // A new entry would replace that one, and end the registrations that have its names.
    const former =
      narrow === '' ? entryOfUser(this.#all().entries, { machine, uid: facts.uid, grants: name }) : undefined
    const named: ReadonlyArray<Pick<Entry, 'gateways' | 'dnsNames'>> =
      this.#wanted.length === 0 ? [] : [former ?? {}, ...this.#wanted]
    const gateways = optionFor(
      '--gateway',
      named.flatMap(one => one.gateways ?? [])
    )
    const options =
      gateways +
      optionFor(
        '--dns-name',
        named.flatMap(one => one.dnsNames ?? [])
      ) +
      limitOptions(former)
    return new WarrenError(ErrorCode.PermissionDenied, text, {
      hint: `On the founding host: warren entry add --machine ${machine} --uid ${facts.uid}${narrow}${options} ${name}${narrow === '' ? scopeOf(facts) : ''}${facts.isDeclared === true && why.startsWith('entry ') ? DECLARED : ''}`
    })
  }
}

function optionFor(option: string, names: readonly string[]): string {
  return [...new Set(names)].map(name => ` ${option} ${name}`).join('')
}

function limitOptions({ maxConnects, maxRateBytes }: Pick<Entry, 'maxConnects' | 'maxRateBytes'> = {}): string {
  const connects = maxConnects === undefined ? '' : ` --max-connects ${maxConnects}`
  return connects + (maxRateBytes === undefined ? '' : ` --max-rate ${maxRateBytes}`)
}

const DECLARED =
  '; what a file declares has no process, so entries that ask for an executable, a hash, a unit, a cgroup, a container or a label do not count'

function whyNotBuiltIn(strict: boolean, { view }: AttestedProcess): string {
  if (strict) return ', and strict is on'
  return `; its uid alone counts for nothing here, since the process ${view.whyNot}`
}

// An entry for a uid means that number in every container: an operator who grants it for one should know.
function scopeOf({ view }: AttestedProcess): string {
  return view.isOfHost
    ? ''
    : ' (holds for that uid in every container of the host: --container, --cgroup, --unit or --sha256 narrow it)'
}
