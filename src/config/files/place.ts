/** Where something stands in a file; lines and columns begin with 1. */
export interface Place {
  readonly file: string
  readonly line: number
  readonly column: number
}

/** Something wrong in a file of the configuration. */
export interface Fault extends Place {
  readonly text: string
  /** What to do about it, as a sentence. */
  readonly hint: string
}

/** One line: place, fault and cure. */
export function formatFault(fault: Fault): string {
  return `${formatPlace(fault)}: ${fault.text}. ${fault.hint}`
}

export function formatPlace({ file, line, column }: Place): string {
  return `${file}:${line}:${column}`
}

/** A join token, or the beginning of one (identity/join/token.ts). */
const TOKEN = /\bwarren1\.[\w-]+/g

/** Without the secret of a token that the file has: every user of the host may see why a reload was refused. */
export function withoutSecret(fault: Fault): Fault {
  const { text, hint } = fault
  return { ...fault, text: text.replace(TOKEN, 'warren1.…'), hint: hint.replace(TOKEN, 'warren1.…') }
}
