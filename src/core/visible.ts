/**
 * Everything that commands a terminal or hides text: control characters, marks that turn the direction of text around, characters
 * without width, and separators of lines.
 */
export const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** The same without those that JSON escapes, or has between its values. */
const UNSEEN_IN_JSON = /[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}]/gu

/**
 * JSON of the same value in which nothing commands a terminal or hides text: JSON is read by people as well, and texts of other
 * hosts and users stand in it.
 */
export function visibleJson(json: string): string {
  return json.replace(UNSEEN_IN_JSON, escaped)
}

function escaped(character: string): string {
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index))
  return units.map(unit => `\\u${unit.toString(16).padStart(4, '0')}`).join('')
}
