import type { Command } from 'commander'
import { optionsOf, type Place, type Situation, takesValue } from './situation.ts'
import { ask, type SourceName } from './sources.ts'

/** A word that may stand there, and a few words about it. */
export interface Candidate {
  readonly value: string
  readonly about?: string
}

/** The answer to a shell: words, and whether names of files or directories fit as well. */
export interface Completion {
  readonly candidates: readonly Candidate[]
  readonly paths: 'none' | 'files' | 'directories'
}

type Values = SourceName | 'files' | 'directories'

/** What fits an option or argument, by the name of its value in the help. One that is not here has no completion. */
const VALUES: Readonly<Record<string, Values>> = {
  dir: 'directories',
  file: 'files',
  path: 'files',
  command: 'files',
  destination: 'destinations',
  address: 'addresses',
  source: 'addresses',
  pattern: 'addresses',
  what: 'addresses',
  machine: 'machines',
  rule: 'rules',
  admin: 'admins',
  entry: 'entries',
  revocation: 'revocations',
  'token-id': 'tokens'
}

/** More than this is of no use in a list: then only the next part of each address is offered. */
const MAX_CANDIDATES = 100
const MAX_ABOUT_LENGTH = 60
/** Some of it comes from other hosts, and shells insert it into a command line: nothing that a shell gives a meaning. */
const PLAIN_WORD = /^[A-Za-z0-9_.,@%+=/-][A-Za-z0-9_.,:@%+=/-]{0,400}$/
/** Nor may it pass for an option. */
const PLAIN_VALUE = /^[A-Za-z0-9]/

/** What the last word of the line may be. Asks the agent where an address or a machine stands; never throws. */
export async function complete({ place, typed, runtimeDir }: Situation): Promise<Completion> {
  const { candidates, paths = 'none' } = await candidatesFor(place, runtimeDir)
  const known = new Map<string, Candidate>()
  for (const one of candidates) {
    if (one.value.startsWith(typed) && PLAIN_WORD.test(one.value)) known.set(one.value, one)
  }
  return { candidates: [...known.values()], paths }
}

async function candidatesFor(
  place: Place,
  runtimeDir: string | undefined
): Promise<Omit<Completion, 'paths'> & Partial<Completion>> {
  switch (place.kind) {
    case 'command':
      return { candidates: commandsOf(place.command) }
    case 'option': {
      const free = optionsOf(place.command).filter(option => !place.given.has(option) || takesValue(option))
      return { candidates: free.map(({ long, short, description }) => describe(long ?? short ?? '', description)) }
    }
    case 'value': {
      const choices = place.of.argChoices ?? wordsIn(place.of.flags)
      if (choices !== undefined) return { candidates: choices.map(value => ({ value: place.before + value })) }
      const found = await valuesFor(nameOfValue(place.of.flags), place.typed, runtimeDir)
      return { ...found, candidates: found.candidates.map(({ value }) => ({ value: place.before + value })) }
    }
    case 'argument': {
      const choices = place.of.argChoices ?? wordsIn(`<${place.of.name()}>`)
      if (choices !== undefined) return { candidates: choices.map(value => ({ value })) }
      return await valuesFor(place.of.name(), place.typed, runtimeDir)
    }
    default:
      return { candidates: [] }
  }
}

async function valuesFor(
  name: string,
  typed: string,
  runtimeDir: string | undefined
): Promise<Omit<Completion, 'paths'> & Partial<Completion>> {
  const values = VALUES[name]
  if (values === undefined) return { candidates: [] }
  if (values === 'files' || values === 'directories') return { candidates: [], paths: values }
  const found = (await ask(values, typed, runtimeDir)).filter(
    value => PLAIN_VALUE.test(value) && value.startsWith(typed)
  )
  return { candidates: fewer([...new Set(found)].sort(), typed).map(value => ({ value })) }
}

/** The values, or, of very many, as much of each as leads to its next part. */
function fewer(values: readonly string[], typed: string): readonly string[] {
  if (values.length <= MAX_CANDIDATES) return values
  const parts = values.map(value => {
    const end = value.indexOf('.', typed.length)
    return end < 0 ? value : value.slice(0, end + 1)
  })
  return [...new Set(parts)].slice(0, MAX_CANDIDATES)
}

function commandsOf(command: Command): Candidate[] {
  const visible = command.createHelp().visibleCommands(command)
  return visible.map(one => describe(one.name(), one.description()))
}

function describe(value: string, text: string): Candidate {
  const short = text.length > MAX_ABOUT_LENGTH ? `${text.slice(0, MAX_ABOUT_LENGTH - 1).trimEnd()}…` : text
  return { value, about: short }
}

function nameOfValue(flags: string): string {
  return /[<[]([^>\]]+?)(?:\.\.\.)?[>\]]/.exec(flags)?.[1] ?? ''
}

/** The words that a value is one of, where the help shows no more than those: `<drop|capsule>`. */
function wordsIn(flags: string): readonly string[] | undefined {
  const words = nameOfValue(flags).split('|')
  return words.length > 1 && words.every(word => /^[a-z]+$/.test(word) && word !== 'user') ? words : undefined
}
