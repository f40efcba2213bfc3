/** A word of a command line as a POSIX shell reads it, for commands that a person copies. */
export function shellWord(text: string): string {
  return /^[\w./:@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
