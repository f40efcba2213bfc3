import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, posix, relative } from 'node:path'

/** A link or a picture, without its title: nothing in our pages has one, and a test finds any that this would miss. */
const LINK = /(!?)\[([^\]]*)\]\(([^)\s]+)\)/g
const OUTSIDE = /^[a-z][a-z+.-]*:|^#/

export interface DocumentsOptions {
  /** The repository, whose `docs` is copied. */
  readonly root: string
  /** The directory that the content of `docs` is copied to. */
  readonly to: string
  /** Paths below `docs` that are not copied. @default none */
  readonly leftOut?: readonly string[]
}

/**
 * Copies the documents of the repository to where the rest of it is not. Every link in the copy leads to a file of the copy or to
 * an address: one to anything else becomes its text, followed by the path in the repository. Returns the paths of what it copied,
 * as they are in the repository.
 */
export function copyDocuments({ root, to, leftOut = [] }: DocumentsOptions): readonly string[] {
  const from = join(root, 'docs')
  cpSync(from, to, { recursive: true, filter: path => !leftOut.includes(relative(from, path)) })
  const copied = readdirSync(to, { recursive: true, encoding: 'utf8' })
  const present = ['docs', ...copied.map(path => posix.join('docs', path))]
  for (const path of copied.filter(name => name.endsWith('.md'))) {
    const page = join(to, path)
    writeFileSync(page, withoutDeadLinks(readFileSync(page, 'utf8'), posix.join('docs', path), present))
  }
  return present
}

/**
 * A page, whose path in the repository is `page`, for readers who have only the files and directories of `present`, by their
 * paths in the repository.
 */
export function withoutDeadLinks(text: string, page: string, present: readonly string[]): string {
  const has = new Set(present)
  return text.replace(LINK, (link, picture: string, words: string, target: string) => {
    if (OUTSIDE.test(target)) return link
    const path = posix.join(posix.dirname(page), target.replace(/#.*/, '')).replace(/\/$/, '')
    if (has.has(path)) return link
    return `${picture === '' ? words : `Picture: ${words}`} (\`${path}\`)`
  })
}
