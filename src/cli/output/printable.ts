// Control characters, and the marks that turn the direction of text around.
const UNSAFE = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

/**
 * `text` with everything that could command a terminal made visible, on one line.
 *
 * The text of another host or of an attacker's error must not be able to move the cursor or hide a word.
 */
export function printable(text: string): string {
  return text.replaceAll(/[\n\t]/g, ' ').replace(UNSAFE, char => `\\u{${char.codePointAt(0)?.toString(16) ?? ''}}`)
}
