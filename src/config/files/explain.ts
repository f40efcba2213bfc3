import { z } from 'zod'
import { nearest } from '../../core/index.ts'
import type { Fault } from './place.ts'
import { forwardSchema, serviceSchema } from './schema.ts'
import type { Parsed } from './yaml.ts'

type Issue = z.core.$ZodIssue

const OPTIONS_HINT = 'The keys are the long options of `warren up`; lists are written as [a, b].'

/** The faults of one issue of a schema. `keys`: those of the file itself. */
export function explain(issue: Issue, parsed: Parsed, keys: readonly string[]): Fault[] {
  const { path } = issue
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(key => ({ ...parsed.placeOfKey(path, key), ...unknownKey(key, path, keys) }))
  }
  const name = path.join('.')
  const place = parsed.placeOf(path)
  const given = valueAt(parsed.value, path)
  if (given === undefined && issue.code !== 'custom') {
    const parent = path.slice(0, -1).join('.')
    return [{ ...place, text: `${parent} has no ${String(path.at(-1))}`, hint: `Add it: ${descriptionAt(path)}.` }]
  }
  const begin = name === '' ? '' : `${name}: `
  return [{ ...place, text: `${begin}${textOf(issue, given)}`, hint: hintOf(issue, given, path) }]
}

function unknownKey(key: string, path: readonly PropertyKey[], keys: readonly string[]): Pick<Fault, 'text' | 'hint'> {
  const known = Object.keys(shapeAt(path) ?? {})
  const candidates = known.length > 0 ? known : keys
  const near = nearest(key, candidates)
  const where = path.length === 0 ? '' : ` in ${path.join('.')}`
  return {
    text: `unknown key "${key.slice(0, 80)}"${where}`,
    hint: near === undefined ? `The keys are: ${candidates.join(', ')}.` : `Did you mean "${near}"?`
  }
}

function textOf(issue: Issue, given: unknown): string {
  if (issue.code === 'invalid_value') return `${shown(given)} is not one of ${issue.values.join(', ')}`
  return issue.message.replace(/^Invalid input: /, '')
}

function shown(given: unknown): string {
  return typeof given === 'string' ? JSON.stringify(given.slice(0, 80)) : JSON.stringify(given).slice(0, 80)
}

function hintOf(issue: Issue, given: unknown, path: readonly PropertyKey[]): string {
  if (issue.code === 'custom') {
    const hint: unknown = issue.params?.['hint']
    return typeof hint === 'string' ? hint : 'Correct the value.'
  }
  if (issue.code === 'invalid_value') {
    const near = typeof given === 'string' ? nearest(given, issue.values.map(String)) : undefined
    return near === undefined ? 'Choose one of them.' : `Did you mean "${near}"?`
  }
  const isItem = path[0] === 'services' || path[0] === 'forwards'
  if (issue.code === 'invalid_type' && issue.expected === 'string' && typeof given !== 'object')
    return `Write it as a text, in quotes: "${String(given).slice(0, 80)}".`
  if (issue.code === 'invalid_type' && issue.expected === 'array')
    return isItem && path.length === 1
      ? 'Begin each item with a dash: "- address: ...".'
      : 'Write it as a list: [a, b].'
  if (issue.code === 'invalid_type' && issue.expected === 'boolean') return 'Write true or false, without quotes.'
  if (issue.code === 'too_big') return `At most ${issue.maximum}.`
  if (issue.code === 'too_small') return `At least ${issue.minimum}.`
  return isItem ? `It is: ${descriptionAt(path)}.` : OPTIONS_HINT
}

function shapeAt([kind, index]: readonly PropertyKey[]): Readonly<Record<string, z.ZodType>> | undefined {
  if (index === undefined) return undefined
  if (kind === 'services') return serviceSchema.shape
  return kind === 'forwards' ? forwardSchema.shape : undefined
}

function descriptionAt(path: readonly PropertyKey[]): string {
  const schema = shapeAt(path)?.[String(path[2])]
  const inner = schema instanceof z.ZodOptional ? schema.unwrap() : schema
  return (
    schema?.meta()?.description ??
    (inner instanceof z.ZodType ? inner : undefined)?.meta()?.description ??
    'an item with keys'
  )
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let found = value
  for (const key of path) {
    if (typeof found !== 'object' || found === null) return undefined
    found = (found as Record<PropertyKey, unknown>)[key]
  }
  return found
}
