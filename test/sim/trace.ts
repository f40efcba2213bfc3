const KEPT = 200_000

interface Line {
  readonly step: number
  readonly atMs: number
  readonly what: string
  readonly host: string
  readonly owner: string
  readonly detail: string
}

/** Everything that happened: a hash over all of it, and the last of it in full. */
export class Trace {
  readonly #lines: Line[] = []
  #first = 0
  #low = 0x811c9dc5
  #high = 0x01000193
  step = 0

  add(atMs: number, what: string, host: string, owner = '', detail = ''): void {
    this.step += 1
    const line = { step: this.step, atMs, what, host, owner, detail }
    this.#mix(`${atMs}|${what}|${host}|${owner}|${detail}`)
    if (this.#lines.length < KEPT) this.#lines.push(line)
    else {
      this.#lines[this.#first] = line
      this.#first = (this.#first + 1) % KEPT
    }
  }

  /** 16 hex digits. Two runs with the same hash did the same things at the same times. */
  get hash(): string {
    return [this.#low, this.#high].map(half => (half >>> 0).toString(16).padStart(8, '0')).join('')
  }

  /** The last `count` lines about an owner, or about everything. */
  last(count: number, owner?: string): string[] {
    const all = [...this.#lines.slice(this.#first), ...this.#lines.slice(0, this.#first)]
    return all
      .filter(line => owner === undefined || line.owner === owner || line.host === owner)
      .slice(-count)
      .map(({ step, atMs, what, host, owner: about, detail }) =>
        [`#${step}`, `${(atMs / 1_000).toFixed(3)}s`, host, what, about, detail].filter(text => text !== '').join(' ')
      )
  }

  #mix(text: string): void {
    for (let at = 0; at < text.length; at += 1) {
      const code = text.charCodeAt(at)
      this.#low = Math.imul(this.#low ^ code, 0x01000193)
      this.#high = Math.imul(this.#high ^ (code + this.#low), 0x85ebca6b)
    }
  }
}
