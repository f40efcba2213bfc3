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
