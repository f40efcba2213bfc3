/** A part of the memory of a process whose pages are those of a file, unchanged. */
export interface CodePages {
  readonly address: number
  readonly bytes: number
}

const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ +(\/.*)$/
const ANY_MAPPING = /^[0-9a-f]+-[0-9a-f]+ /

/**
 * The code and constants of programs and libraries, from the text of `/proc/self/smaps`
 * (https://docs.kernel.org/filesystems/proc.html): mappings of files that cannot be written to and have no page of their own. A page
 * that the loader has changed, which is memory of this process alone, keeps its whole mapping out.
 *
 * Of files that are executed alone: these stay mapped. Any other file can be unmapped by another thread after the text was read, and
 * the place then belongs to memory that must not be lost.
 */
export function codePages(smaps: string): CodePages[] {
  const found: (CodePages & { readonly path: string })[] = []
  const executed = new Set<string>()
  let current: (CodePages & { readonly path: string }) | undefined
  for (const line of smaps.split('\n')) {
    if (ANY_MAPPING.test(line)) {
      const [, begin = '', end = '', mode = '', path = ''] = MAPPING.exec(line) ?? []
      const address = Number.parseInt(begin, 16)
      if (mode[2] === 'x') executed.add(path)
      const isCode = path !== '' && mode.startsWith('r') && mode[1] !== 'w' && mode.endsWith('p')
      current = isCode ? { path, address, bytes: Number.parseInt(end, 16) - address } : undefined
    } else if (current !== undefined && /^Anonymous: +0 kB$/.test(line)) {
      found.push(current)
      current = undefined
    }
  }
  return found.filter(({ path }) => executed.has(path)).map(({ address, bytes }) => ({ address, bytes }))
}
