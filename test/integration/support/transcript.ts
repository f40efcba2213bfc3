/**
 * What a page shows to be typed, and what it says that comes back. In a block of the language `console`:
 *
 *     a$ COMMAND            on host a, as root; `daemon@a$` as another user; `$` on the machine that holds the hosts
 *     a$ COMMAND &          runs on, and has written the lines below, in this order; a warning of an agent may come in between
 *     a$                    nothing: a command that runs on at this host has since written the lines below, likewise
 *     exit 1                the last line of what comes back: how the command ended, if not with 0
 *     …                     in a line, anything; alone, any lines
 *
 * TOKEN in a command is the join token that was printed last. Any run of spaces is like any other, for columns have the width
 * of their widest cell.
 */
export interface Typed {
  /** Its line in the page, from 1. */
  readonly line: number
  /** "a", "daemon@a", or "" for the machine that holds the hosts. */
  readonly where: string
  readonly command: string
  readonly runsOn: boolean
  readonly expected: readonly string[]
  readonly exit: number
}

const PROMPT = /^((?:[a-z]+@)?[a-z]|)\$(?: (.*))?$/

/** All that is typed in the console blocks of a page, in order. */
export function typedIn(page: string): Typed[] {
  const all: Array<Typed & { expected: string[] }> = []
  let inBlock = false
  for (const [index, text] of page.split('\n').entries()) {
    if (/^ *```/.test(text)) {
      inBlock = !inBlock && text.trim() === '```console'
      continue
    }
    if (!inBlock) continue
    const prompt = PROMPT.exec(text)
    const last = all.at(-1)
    if (prompt !== null) {
      const [, where = '', typed = ''] = prompt
      const runsOn = typed.endsWith(' &')
      const command = runsOn ? typed.slice(0, -2) : typed
      all.push({ line: index + 1, where, command, runsOn, expected: [], exit: 0 })
    } else if (last === undefined) {
      throw new Error(`line ${index + 1} is output of nothing: ${text}`)
    } else if (/^exit \d+$/.test(text)) {
      all[all.length - 1] = { ...last, exit: Number(text.slice(5)) }
    } else {
      last.expected.push(text)
    }
  }
  return all
}

/** Whether `actual` is what the page shows, and nothing else. */
export function agrees(expected: readonly string[], actual: string): boolean {
  const lines = expected.map(line => (line === '…' ? '(?:[^\\n]*\\n)*' : `${lineOf(line)}\\n`))
  return new RegExp(`^${lines.join('')}$`).test(tidy(actual))
}

/** Where in `actual` the page's lines have all come, in this order, whatever else there is; undefined if they have not. */
export function endOf(expected: readonly string[], actual: string): number | undefined {
  const wanted = expected.map(line => new RegExp(`^${lineOf(line)}$`))
  let end = 0
  for (const line of actual.split(/(?<=\n)/)) {
    if (wanted.length === 0) break
    end += line.length
    if (wanted[0]?.test(tidy(line).trimEnd())) wanted.shift()
  }
  return wanted.length === 0 ? end : undefined
}

function lineOf(expected: string): string {
  return tidy(expected)
    .trimEnd()
    .split('…')
    .map(part => part.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'))
    .join('[^\\n]*')
}

/** Lines as a terminal shows them: with line ends of one kind, one space for many, and none at the end of a line. */
function tidy(text: string): string {
  const lines = text
    .replaceAll('\r', '')
    .replace(/[ \t]+/g, ' ')
    .replace(/ $/gm, '')
  return lines === '' || lines.endsWith('\n') ? lines : `${lines}\n`
}
