/** Sources of manual pages have short lines; escapes make them a little longer. */
const LINE_LENGTH = 72

/** Text as the man macros of groff and mandoc read it, on a line of its own. */
export function text(plain: string): string {
  return plain
    .split('\n')
    .map(line => {
      const source = escaped(line)
      // A control line begins with one of these.
      return /^[.']/.test(source) ? `\\&${source}` : source
    })
    .join('\n')
}

/** The same within one argument of a macro. */
export function argument(plain: string): string {
  return `"${escaped(plain).replaceAll('"', '\\(dq')}"`
}

/** Words of the command line: a name in `<…>` is one that the reader replaces. Quoted, for use in an argument of a macro. */
export function usage(line: string): string {
  return argument(line).replaceAll(/<([^>]+)>/g, '\\fI$1\\fR')
}

/** A text for people: flowing, with what it aligns by spaces as it is, and what it quotes by `…` in bold. */
export function prose(plain: string): string[] {
  const lines: string[] = []
  let isFixed = false
  const fix = (wanted: boolean): void => {
    if (wanted !== isFixed) lines.push(...(wanted ? ['.PP', '.nf'] : ['.fi']))
    isFixed = wanted
  }
  for (const line of plain.trim().split('\n')) {
    if (line === '') {
      fix(false)
      if (lines.length > 0 && lines.at(-1) !== '.PP') lines.push('.PP')
      continue
    }
    fix(/ {2}/.test(line))
    for (const part of isFixed ? [line] : wrapped(line)) lines.push(bold(text(part)))
  }
  fix(false)
  return lines.filter((line, at) => line !== '.PP' || lines[at + 1] !== '.PP')
}

const bold = (line: string): string => line.replaceAll(/`([^`]+)`/g, '\\fB$1\\fR')

/** The lines of a text, broken between words but not between those of a quoted command. */
function wrapped(line: string): string[] {
  const lines: string[] = []
  for (const word of line.split(/ (?=(?:[^`]*`[^`]*`)*[^`]*$)/)) {
    const last = lines.at(-1)
    if (last === undefined || last.length + word.length >= LINE_LENGTH) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}

function escaped(plain: string): string {
  return plain.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('…', '...')
}
