/** Of the executable alone: tools/release/start.mjs. */
const LOADER = Symbol.for('warren.loadStart')

/**
 * Loads what an agent executes at its start, in the executable; elsewhere all of it is loaded when the agent is imported. To be
 * called before flags of V8 are set: V8 refuses what was compiled under others, of the executable and of Node itself.
 */
export function loadStartCode(): void {
  ;(globalThis as { readonly [LOADER]?: () => void })[LOADER]?.()
}
