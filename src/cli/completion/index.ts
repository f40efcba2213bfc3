import { BASH } from './bash.ts'
import { FISH } from './fish.ts'
import { ZSH } from './zsh.ts'

export { type Candidate, type Completion, complete } from './candidates.ts'
export { situationOf } from './situation.ts'

/** The script of each shell that asks `warren __complete` for the words that fit. */
export const SCRIPTS = Object.freeze({ bash: BASH, zsh: ZSH, fish: FISH })
export type Shell = keyof typeof SCRIPTS
export const SHELLS = Object.keys(SCRIPTS) as readonly Shell[]
