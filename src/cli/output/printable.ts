import { UNSEEN } from '../../core/index.ts'

/**
 * `text` with everything that could command a terminal made visible, on one line.
 *
 * The text of another host or of an attacker's error must not be able to move the cursor or hide a word.
 */
export function printable(text: string): string {
  return text.replaceAll(/[\n\t]/g, ' ').replace(UNSEEN, char => `\\u{${char.codePointAt(0)?.toString(16) ?? ''}}`)
}
