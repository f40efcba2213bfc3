import { Option } from 'commander'
import { type AgentConfig, type Environment, type Loaded, UP_OPTIONS, variableOf } from '../config/index.ts'
import type { UpOptions } from './up-options.ts'

/** One value that an agent would start with. */
export interface EffectiveValue {
  readonly name: string
  readonly value: string
  /** FILE:LINE, a variable, "command line" or "default". */
  readonly origin: string
}

export interface Origins {
  readonly options: UpOptions
  readonly mdnsGiven: boolean
  readonly variables: Environment
  readonly loaded: Pick<Loaded, 'options' | 'places' | 'placeOf'> | undefined
  /** With the defaults. */
  readonly resolved: Pick<AgentConfig, 'stateDir' | 'runtimeDir' | 'logLevel'>
}

const OTHERS = ['runtime-dir', 'init', 'join', 'log-level', 'drain-timeout']
const SECRET = '(not shown)'
const NONE = '-'

/** Every option with its value and where that comes from, in the order in which the sources override each other. */
export function effectiveValues(origins: Origins): EffectiveValue[] {
  const names = [...Object.keys(UP_OPTIONS), ...OTHERS]
  return [...names.map(name => effective(name, origins)), mdnsOf(origins), ...limitsOf(origins)]
}

function effective(name: string, { options, variables, loaded, resolved }: Origins): EffectiveValue {
  const typed = (options as unknown as Readonly<Record<string, unknown>>)[new Option(`--${name}`).attributeName()]
  if (typed !== undefined) return { name, value: shown(name, typed), origin: 'command line' }
  const variable = [name, ...(name === 'join' ? ['join-token'] : [])].find(one => variables.text(one) !== undefined)
  if (variable !== undefined)
    return { name, value: shown(name, variables.text(variable)), origin: variableOf(variable) }
  const written = (loaded?.options as Readonly<Record<string, unknown>> | undefined)?.[name]
  if (written !== undefined) return { name, value: shown(name, written), origin: placeText(loaded, name) }
  return { name, value: defaultOf(name, resolved), origin: 'default' }
}

function shown(name: string, value: unknown): string {
  const text = [value].flat().map(String).join(', ')
  // A file or standard input is no secret.
  return name === 'join' && text !== '-' && !text.startsWith('@') ? SECRET : text
}

function defaultOf(name: string, resolved: Origins['resolved']): string {
  if (name === 'state-dir') return resolved.stateDir ?? NONE
  if (name === 'runtime-dir') return resolved.runtimeDir ?? NONE
  if (name === 'log-level') return resolved.logLevel ?? NONE
  if (name === 'drain-timeout') return '10s'
  const help = name in UP_OPTIONS ? UP_OPTIONS[name as keyof typeof UP_OPTIONS].help : ''
  return /\(default: ([^)]*)\)/.exec(help)?.[1] ?? NONE
}

function mdnsOf({ options, mdnsGiven, variables, loaded }: Origins): EffectiveValue {
  const name = 'mdns'
  if (mdnsGiven) return { name, value: String(options.mdns), origin: 'command line' }
  const without = variables.flag('no-mdns')
  if (without !== undefined) return { name, value: String(!without), origin: variableOf('no-mdns') }
  const written = loaded?.options.mdns
  if (written !== undefined) return { name, value: String(written), origin: placeText(loaded, name) }
  return { name, value: 'true', origin: 'default' }
}

// Each limit is overridden alone.
function limitsOf({ options, variables, loaded }: Origins): EffectiveValue[] {
  const values = new Map<string, EffectiveValue>()
  const add = (limit: string, value: string, origin: string): void => {
    values.set(limit, { name: `limits.${limit}`, value, origin })
  }
  for (const [limit, value] of Object.entries(loaded?.options.limits ?? {})) {
    const place = loaded?.placeOf(['limits', limit])
    add(limit, String(value), place === undefined ? NONE : `${place.file}:${place.line}`)
  }
  const texts = [
    [variables.list('limit') ?? [], variableOf('limit')],
    [options.limit ?? [], 'command line']
  ] as const
  for (const [given, origin] of texts) {
    for (const text of given) {
      const [limit = '', value = ''] = text.split('=')
      add(limit, value, origin)
    }
  }
  return [...values.values()]
}

function placeText(loaded: Origins['loaded'], name: string): string {
  const place = loaded?.places.get(name)
  return place === undefined ? NONE : `${place.file}:${place.line}`
}
