import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { ErrorCode, fileFault, WarrenError } from '../../core/index.ts'
import type { adminPb } from '../../wire/index.ts'
import { contextOf } from '../context.ts'
import { asList, type List, type ListOptions, showList } from '../lists.ts'
import { collect } from '../options/index.ts'
import { type JoinTrustView, joinTrustTable, joinTrustView } from '../output/index.ts'

const MAX_FILE_BYTES = 65_536

interface TermOptions {
  readonly nameFrom: string
  readonly name: string
  readonly scope?: string[]
  readonly ephemeral?: boolean
  readonly from?: string[]
  readonly needsApproval?: boolean
}

interface OidcOptions extends TermOptions {
  readonly audience: string
  readonly jwks: string
  readonly require?: string[]
  readonly scopeFrom?: string
}

const TRUSTS: List<{ readonly trusts: readonly JoinTrustView[] }> = {
  load: async (agent, options) => ({
    trusts: (await agent.admin.listJoinTrusts({}, options)).trusts.map(joinTrustView)
  }),
  text: ({ trusts }) => joinTrustTable(trusts, Date.now())
}

/** The commands of `warren authority` for ways to join without a token. */
export function addJoinTrusts(authority: Command): void {
  authority
    .command('invite')
    .description(
      'print the address of this authority, for hosts that join by a certificate or an OIDC token; no secret'
    )
    .action(async (_options: unknown, command: Command) => {
      const { agent, show, say } = contextOf(command)
      const { invitation } = await agent.admin.invite({})
      show({ invitation }, () => invitation)
      say('there: warren up --join INVITATION --join-with-cert FILE --join-with-key FILE (or --join-with-oidc FILE)')
    })
  withTerms(authority.command('trust-ca'), "'cn', 'dns' or 'uri', with a pattern if needed, as in dns='*.example.org'")
    .description('let hosts join that have a certificate of this CA, and its key')
    .argument('<file>', 'the certificate of the CA (PEM)')
    .action(async (file: string, options: TermOptions, command: Command) => {
      const { agent } = contextOf(command)
      const request = { pem: read(file), nameFrom: options.nameFrom, terms: termsOf(options) }
      shown(command, (await agent.admin.trustCa(request)).trust)
    })
  withTerms(authority.command('trust-oidc'), "a claim, with a pattern if needed, as in sub='repo:acme/app:*'")
    .description('let hosts join that have an OIDC token of this issuer')
    .argument('<issuer>', 'the issuer, exactly as its tokens name it')
    .requiredOption('--audience <text>', 'the audience that the tokens must have')
    .requiredOption('--jwks <url>', 'https URL of the keys of the issuer, or @FILE that contains them')
    .option('--require <claim=pattern>', 'a claim that must match; may be repeated', collect)
    .option('--scope-from <claim=pattern>', 'a claim that gives a scope: the part for which * stands')
    .action(async (issuer: string, options: OidcOptions, command: Command) => {
      const { agent } = contextOf(command)
      const { audience, jwks, nameFrom, require = [], scopeFrom = '' } = options
      const keys = jwks.startsWith('@') ? { jwks: read(jwks.slice(1)), jwksUri: '' } : { jwks: '', jwksUri: jwks }
      const request = { issuer, audience, ...keys, nameFrom, require, scopeFrom, terms: termsOf(options) }
      shown(command, (await agent.admin.trustOidc(request)).trust)
    })
  asList(
    authority.command('trusts').description('list the CAs and issuers whose certificates and tokens admit hosts here')
  ).action(async (options: ListOptions, command: Command) => await showList(contextOf(command), TRUSTS, options))
  authority
    .command('distrust')
    .description('trust a CA or an issuer no more for joins; hosts that joined by it stay')
    .argument('<id>', 'its id, as `warren authority trusts` lists it')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { agent, show, say } = contextOf(command)
      const { trust } = await agent.admin.removeJoinTrust({ id })
      show({ trust: trust === undefined ? undefined : joinTrustView(trust) }, () => trust?.id ?? '')
      say(`${trust?.subject ?? ''} admits no host any more; those that it admitted stay (warren evict MACHINE)`)
    })
}

function withTerms(command: Command, nameFrom: string): Command {
  return command
    .requiredOption('--name-from <field>', `what names the host: ${nameFrom}; the part for which * stands`)
    .option('--name <pattern>', "machine name, in which * stands for that part, as in 'ci-*'", '*')
    .option('--scope <scope>', 'limit the hosts to this scope; may be repeated', collect)
    .option('--ephemeral', 'the hosts leave the mesh when they end, and their names are free then')
    .option('--from <network>', 'admit only hosts from this network, as in 10.0.0.0/8; may be repeated', collect)
    .option('--needs-approval', 'hold each host outside until `warren admit MACHINE`')
}

function termsOf({ name, scope = [], ephemeral, from = [], needsApproval }: TermOptions) {
  return { name, scopes: scope, ephemeral: ephemeral === true, from, needsApproval: needsApproval === true }
}

function shown(command: Command, trust: adminPb.JoinTrust | undefined): void {
  const { show, say } = contextOf(command)
  show({ trust: trust === undefined ? undefined : joinTrustView(trust) }, () => trust?.id ?? '')
  const scopes = trust?.terms?.scopes ?? []
  say(
    `hosts may join by ${trust?.subject ?? ''}, ${scopes.length === 0 ? 'for every scope' : `for ${scopes.join(', ')}`}`
  )
  say('they need: warren authority invite')
}

function read(path: string): string {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    const { why, hint } = fileFault(path, cause)
    throw new WarrenError(ErrorCode.InvalidArgument, `cannot read ${path}: ${why}`, { cause, hint })
  }
  if (text.length <= MAX_FILE_BYTES) return text
  throw new WarrenError(ErrorCode.InvalidArgument, `${path} is too large`)
}
