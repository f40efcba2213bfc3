import type { Violation } from './layering.ts'
import type { ModuleFacts } from './read.ts'

/** Every list of names after the first that one file imports from another, or exports from it: one list holds them all. */
export function repeated(modules: readonly ModuleFacts[]): Violation[] {
  return modules
    .filter(({ file }) => !file.startsWith('src/wire/gen/'))
    .flatMap(({ file, imports }) => {
      const seen = new Set<string>()
      return imports.flatMap(({ list, specifier, line }) => {
        if (list === undefined || specifier === undefined) return []
        const key = `${list} ${specifier}`
        if (seen.has(key)) return [{ file, line, text: `${list}s from ${specifier} twice: write one list` }]
        seen.add(key)
        return []
      })
    })
}
