import { existsSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { ErrorCode, WarrenError } from '../../core/index.ts'
import type { Declared } from '../declared.ts'
import { UP_OPTIONS, type UpOption, type UpOptionName } from '../options.ts'
import { explain } from './explain.ts'
import { conflicts, type Items, itemsOf, optionFault, type Placed } from './items.ts'
import { listParts, openFile } from './open.ts'
import { type Fault, formatFault, formatPlace, type Place, withoutSecret } from './place.ts'
import { type DeclaredConfig, type FileConfig, fileSchema, MAX_DECLARED, OPTION_KEYS, partSchema } from './schema.ts'
import { parseYaml } from './yaml.ts'

export const PARTS = 'conf.d'
const FILE_KEYS = [...OPTION_KEYS, 'services', 'forwards']
const PART_KEYS = ['services', 'forwards']

/** The files of a configuration. */
export interface Files {
  /** The file of the options, if there is one. */
  readonly main: string | undefined
  /** Files and directories of further items. */
  readonly parts: readonly string[]
}

/** Everything that the files say, and everything that is wrong with them. */
export interface Loaded {
  readonly options: FileConfig
  /** Where each option stands. */
  readonly places: ReadonlyMap<string, Place>
  readonly declared: Declared
  readonly faults: readonly Fault[]
  /** The files that were read. */
  readonly files: readonly string[]
  /** Where a value of the file of the options stands. */
  readonly placeOf: (path: readonly string[]) => Place
}

/** The configuration file and the directory beside it. */
export function filesOf(main: string): Files {
  return { main, parts: [join(dirname(main), PARTS)] }
}

/** Files and directories as a person names them: a directory with `warren.yaml`, one of further items, or a file. */
export function filesNamed(path: string): Files {
  const isDirectory = existsSync(path) && statSync(path).isDirectory()
  if (!isDirectory) return basename(dirname(path)) === PARTS ? { main: undefined, parts: [path] } : filesOf(path)
  const main = join(path, 'warren.yaml')
  if (existsSync(main)) return filesOf(main)
  return { main: undefined, parts: [basename(path) === PARTS ? path : join(path, PARTS)] }
}

/** Reads all files. Never throws: a file that cannot be read is a fault, too. */
export function loadFiles({ main, parts }: Files, ownUid = process.geteuid?.() ?? 0): Loaded {
  const faults: Fault[] = []
  const all: { services: Items['services'][number][]; forwards: Items['forwards'][number][] } = {
    services: [],
    forwards: []
  }
  const files: string[] = []
  let options: FileConfig = {}
  const places = new Map<string, Place>()
  let placeOf = (_path: readonly string[]): Place => ({ file: main ?? '', line: 1, column: 1 })
  const add = (path: string, isMain: boolean): void => {
    files.push(path)
    const read = readable(path, isMain, ownUid)
    faults.push(...read.faults)
    all.services.push(...read.items.services)
    all.forwards.push(...read.items.forwards)
    if (!isMain) return
    options = read.options
    placeOf = read.placeOf
    for (const [name, place] of read.places) places.set(name, place)
  }
  if (main !== undefined) add(main, true)
  for (const part of parts) {
    if (existsSync(part) && !statSync(part).isDirectory()) {
      add(part, false)
      continue
    }
    const listed = partsOf(part, ownUid)
    faults.push(...(listed?.faults ?? []))
    for (const path of listed?.paths ?? []) add(path, false)
  }
  faults.push(...conflicts(all), ...tooMany(all.services, 'services'), ...tooMany(all.forwards, 'forwards'))
  const declared = { services: all.services.map(({ item }) => item), forwards: all.forwards.map(({ item }) => item) }
  return { options, places, declared, faults: faults.map(withoutSecret), files, placeOf }
}

function partsOf(directory: string, ownUid: number): ReturnType<typeof listParts> {
  try {
    return listParts(directory, ownUid)
  } catch (err) {
    const { reason, hint = 'Make it readable for the agent.' } = WarrenError.from(err)
    return { paths: [], faults: [{ file: directory, line: 1, column: 1, text: reason, hint }] }
  }
}

/** As `loadFiles`; throws INVALID_CONFIG for any fault. */
export function requireFiles(files: Files, ownUid?: number): Loaded {
  const loaded = loadFiles(files, ownUid)
  refuse(loaded.faults)
  return loaded
}

/** As `requireFiles`, from the text of a configuration file; `path` is for the messages. */
export function parseConfig(path: string, text: string): FileConfig {
  const { options, faults } = readText(path, text, true)
  refuse(faults.map(withoutSecret))
  return options
}

/** Throws INVALID_CONFIG with the first fault and the number of others, if there is one. */
export function refuse([first, ...others]: readonly Fault[]): void {
  if (first === undefined) return
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`
  const hint = others.length === 0 ? first.hint : `${first.hint} \`warren config check\` shows all of them.`
  // A file that cannot be read is named in the text.
  const begin = first.text.startsWith(`cannot read ${first.file}`) ? '' : `${formatPlace(first)}: `
  throw new WarrenError(ErrorCode.InvalidConfig, `${begin}${first.text}${more}`, { hint })
}

interface One {
  readonly options: FileConfig
  readonly placeOf: Loaded['placeOf']
  readonly places: ReadonlyMap<string, Place>
  readonly items: Omit<Items, 'faults'>
  readonly faults: readonly Fault[]
}

const NO_ITEMS = { services: [], forwards: [] }

function readable(path: string, isMain: boolean, ownUid: number): One {
  try {
    return readOne(path, isMain, ownUid)
  } catch (err) {
    const { reason, hint = 'Make it readable for the agent.' } = WarrenError.from(err)
    const at = { file: path, line: 1, column: 1 }
    return {
      options: {},
      places: new Map(),
      placeOf: () => at,
      items: NO_ITEMS,
      faults: [{ ...at, text: reason, hint }]
    }
  }
}

function readOne(path: string, isMain: boolean, ownUid: number): One {
  const { text, owner, untrusted } = openFile(path, ownUid)
  const { options, places, config, parsed, faults } = readText(path, text, isMain)
  const { placeOf } = parsed
  const nothing = { options, places, placeOf, items: NO_ITEMS }
  if (config === undefined) return { ...nothing, faults }
  const declares = (config.services ?? []).length + (config.forwards ?? []).length > 0
  if (untrusted !== undefined && (declares || !isMain))
    return { ...nothing, faults: [...faults, { file: path, line: 1, column: 1, ...untrusted }] }
  const { faults: wrong, ...items } = itemsOf(config, parsed, owner)
  return { options, places, placeOf, items, faults: [...faults, ...wrong] }
}

function readText(path: string, text: string, isMain: boolean) {
  const parsed = parseYaml(path, text)
  const nothing = { options: {} as FileConfig, places: new Map<string, Place>(), parsed }
  if (parsed.faults.length > 0) return { ...nothing, config: undefined, faults: parsed.faults }
  const result = (isMain ? fileSchema : partSchema).safeParse(parsed.value)
  if (!result.success) {
    const faults = result.error.issues.flatMap(issue => explain(issue, parsed, isMain ? FILE_KEYS : PART_KEYS))
    return { ...nothing, config: undefined, faults }
  }
  // What the options of `up` hold is known by their names alone.
  const { services, forwards, ...options } = result.data as DeclaredConfig & FileConfig
  const places = new Map(Object.keys(options).map(name => [name, parsed.placeOfKey([], name)]))
  return { options: options as FileConfig, places, config: { services, forwards }, parsed, faults: [] }
}

/** The options whose text cannot be read. */
export function optionFaults(path: string): Fault[] {
  const { text } = openFile(path, 0)
  const { options, parsed } = readText(path, text, true)
  return (Object.keys(UP_OPTIONS) as UpOptionName[]).flatMap(name => {
    const value = options[name]
    if (value === undefined) return []
    const option: UpOption = UP_OPTIONS[name]
    const texts = [value].flat()
    try {
      if ('readAll' in option) option.readAll(texts)
      else option.read(texts.at(-1) ?? '', name)
      return []
    } catch (err) {
      return [withoutSecret(optionFault(parsed, name, err))]
    }
  })
}

function tooMany(all: readonly Placed<unknown>[], what: string): Fault[] {
  const first = all[MAX_DECLARED]
  if (first === undefined) return []
  return [{ ...first.at, text: `more than ${MAX_DECLARED} ${what} in all files`, hint: 'Remove some of them.' }]
}

export { formatFault }
