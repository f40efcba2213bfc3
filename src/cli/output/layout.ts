/** When text is in colours: `auto` means in a terminal, unless NO_COLOR is set. */
export const COLOR_CHOICES = ['auto', 'always', 'never'] as const
export type ColorChoice = (typeof COLOR_CHOICES)[number]

/** How data is shown to a person. */
export interface Layout {
  /** Width that a line must fit, in columns. Undefined: a line is as long as what it says. */
  readonly columns: number | undefined
  /** Whether columns are shown that few readers need. */
  readonly wide: boolean
  readonly color: boolean
}

export interface Wanted {
  /** Whether lines must fit the terminal. @default false */
  readonly fits?: boolean
  /** The option of a list. @default false */
  readonly wide?: boolean | undefined
  /** The option of every command. @default 'auto' */
  readonly color?: ColorChoice | undefined
}

let wanted: Wanted = {}

/** Notes what the command line says, before anything is shown. */
export function wantLayout(options: Wanted): void {
  wanted = options
}

/** How a table is shown now: a terminal may have another width than before. */
export function layoutNow(env: NodeJS.ProcessEnv = process.env): Layout {
  const { fits = false, wide = false } = wanted
  return { columns: fits ? terminalColumns(env) : undefined, wide, color: hasColor(env) }
}

/** Width of the terminal; undefined if standard output is none, or one that does not know its width. */
export function terminalColumns(env: NodeJS.ProcessEnv = process.env): number | undefined {
  return process.stdout.isTTY ? (sizeIn(env['COLUMNS']) ?? sizeOf(process.stdout.columns)) : undefined
}

/** Height of the terminal; undefined as for its width. */
export function terminalRows(env: NodeJS.ProcessEnv = process.env): number | undefined {
  return process.stdout.isTTY ? (sizeIn(env['LINES']) ?? sizeOf(process.stdout.rows)) : undefined
}

/** The value of COLUMNS or LINES; undefined if it is no size. */
export function sizeIn(text: string | undefined): number | undefined {
  return text !== undefined && /^[1-9]\d{0,4}$/.test(text) ? Number(text) : undefined
}

// Some terminals say zero.
function sizeOf(size: number | undefined): number | undefined {
  return size !== undefined && size > 0 ? size : undefined
}

function hasColor(env: NodeJS.ProcessEnv): boolean {
  const { color = 'auto' } = wanted
  if (color !== 'auto') return color === 'always'
  const isRefused = (env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb'
  return process.stdout.isTTY === true && !isRefused
}
