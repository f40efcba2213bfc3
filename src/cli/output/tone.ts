/** What a colour says about a piece of text. The text says it too: nobody has to see colours. */
export type Tone = 'good' | 'warning' | 'bad' | 'title'

const CODES: Readonly<Record<Tone, number>> = { good: 32, warning: 33, bad: 31, title: 1 }

/** `text` as a terminal shows it in the colour of `tone`; as it is without one. */
export function toned(text: string, tone: Tone | undefined, color: boolean): string {
  return color && tone !== undefined && text !== '' ? `\u001b[${CODES[tone]}m${text}\u001b[0m` : text
}
