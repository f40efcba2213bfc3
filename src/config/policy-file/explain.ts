import { z } from 'zod'
import { nearest } from '../../core/index.ts'
import type { Fault } from '../files/place.ts'
import type { Parsed } from '../files/yaml.ts'
import { FILE_KEYS, SHAPES } from './schema.ts'

type Issue = z.core.$ZodIssue

/** The faults of one issue of the schema, each where it stands. */
export function explain(issue: Issue, parsed: Parsed): Fault[] {
  const { path } = issue
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(key => ({ ...parsed.placeOfKey(path, key), ...unknownKey(key, path) }))
  }
  const given = valueAt(parsed.value, path)
  if (given === undefined && issue.code !== 'custom') {
    const key = String(path.at(-1))
    return [{ ...parsed.placeOf(path), text: `it has no ${key}`, hint: `Add it: ${descriptionAt(path)}.` }]
  }
  const place = parsed.placeOf(path)
  const key = typeof path.at(-1) === 'string' ? `${String(path.at(-1)).slice(0, 80)}: ` : ''
  return [{ ...place, text: `${key}${textOf(issue, given)}`, hint: hintOf(issue, given, path) }]
}

function unknownKey(key: string, path: readonly PropertyKey[]): Pick<Fault, 'text' | 'hint'> {
  const candidates = Object.keys(shapeOf(path[0]) ?? {})
  const known = path.length === 0 || candidates.length === 0 ? FILE_KEYS : candidates
  const near = nearest(key, known)
  return {
    text: `unknown key "${key.slice(0, 80)}"`,
    hint: near === undefined ? `The keys are: ${known.join(', ')}.` : `Did you mean "${near}"?`
  }
}

function textOf(issue: Issue, given: unknown): string {
  if (issue.code === 'invalid_value') return `${JSON.stringify(given)} is not one of ${issue.values.join(', ')}`
  return issue.message.replace(/^Invalid input: /, '')
}

function hintOf(issue: Issue, given: unknown, path: readonly PropertyKey[]): string {
  if (issue.code === 'custom') {
    const hint: unknown = issue.params?.['hint']
    return typeof hint === 'string' && hint !== '' ? hint : 'Correct the value.'
  }
  if (issue.code === 'invalid_value') {
    const near = typeof given === 'string' ? nearest(given, issue.values.map(String)) : undefined
    return near === undefined ? 'Choose one of them.' : `Did you mean "${near}"?`
  }
  if (issue.code === 'too_big') return `At most ${issue.maximum}.`
  if (issue.code === 'too_small') return `At least ${issue.minimum}.`
  if (issue.code !== 'invalid_type') return `It is: ${descriptionAt(path)}.`
  if (issue.expected === 'array')
    return path.length === 1 ? 'Begin each item with a dash.' : 'Write it as a list: [a, b].'
  if (issue.expected === 'string' && typeof given === 'object')
    return 'Put a pattern in quotes that begins with { or *, as in "{dev,test}.web.*.*".'
  return `It is: ${descriptionAt(path)}.`
}

function shapeOf(section: PropertyKey | undefined): Readonly<Record<string, z.ZodType>> | undefined {
  return section === 'rules' || section === 'entries' || section === 'invariants' ? SHAPES[section].shape : undefined
}

function descriptionAt(path: readonly PropertyKey[]): string {
  const schema = shapeOf(path[0])?.[String(path[2])]
  const inner = schema instanceof z.ZodOptional ? schema.unwrap() : schema
  const described = schema?.meta()?.description ?? (inner instanceof z.ZodType ? inner.meta()?.description : undefined)
  return described ?? (path[0] === 'tests' ? '- SOURCE -> DESTINATION: allowed' : 'an item with keys')
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let found = value
  for (const key of path) {
    if (typeof found !== 'object' || found === null) return undefined
    found = (found as Record<PropertyKey, unknown>)[key]
  }
  return found
}
