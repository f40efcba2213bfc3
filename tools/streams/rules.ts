import type { Read } from './read.ts'

export interface Exemption {
  /** By file: why nothing is lost there. */
  readonly allowed: Readonly<Record<string, string>>
  /** Folders of src/ where the answer to a violation is another way of reading, and not another entry. */
  readonly strict: readonly string[]
}

/** Every place under src/ that must not read so, and every permission that nobody needs. */
export function checkStreams(
  reads: readonly Read[],
  files: readonly string[],
  { allowed, strict }: Exemption
): string[] {
  const needed = new Set(reads.map(({ file }) => file))
  const stale = Object.keys(allowed).filter(file => !needed.has(file) && files.some(one => one.startsWith('src/')))
  return [
    ...reads
      .filter(({ file }) => file.startsWith('src/') && !(file in allowed))
      .map(({ file, line, what }) => `${file}:${line} ${what}: ${adviceFor(file, strict)}`),
    ...stale.map(file => `tools/streams/allowed.ts: ${file} needs no permission`)
  ]
}

function adviceFor(file: string, strict: readonly string[]): string {
  const isStrict = strict.some(folder => file.startsWith(`src/${folder}/`))
  const how = 'an iterator loses what came before it began: read by events, or with readBody of src/wire'
  return isStrict ? how : `${how}; where no stream of HTTP/2 or libp2p is read, tools/streams/allowed.ts says why`
}
