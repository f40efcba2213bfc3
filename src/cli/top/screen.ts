/** The other screen of the terminal, without a cursor; and back. */
const ENTER = '\u001b[?1049h\u001b[?25l'
const LEAVE = '\u001b[?25h\u001b[?1049l'
const HOME = '\u001b[H'
const REST_OF_LINE = '\u001b[K'
const REST_OF_SCREEN = '\u001b[J'

export interface ScreenOptions {
  readonly onKey: (key: string) => void
  /** The terminal has another size. */
  readonly onResize: () => void
}

/** The whole terminal, for one picture after the other. `close` gives it back as it was. */
export class Screen {
  readonly #options: ScreenOptions
  readonly #leave = (): void => this.close()
  readonly #read = (bytes: Buffer): void => {
    for (const key of bytes.toString('latin1')) this.#options.onKey(key)
  }
  #isOpen = true

  constructor(options: ScreenOptions) {
    this.#options = options
    process.stdout.write(ENTER)
    process.stdout.on('resize', options.onResize)
    // However the process ends, its terminal must be usable.
    process.once('exit', this.#leave)
    if (!process.stdin.isTTY) return
    process.stdin.setRawMode(true)
    process.stdin.on('data', this.#read)
  }

  /** Draws over what is there, so that nothing flickers. */
  draw(text: string): void {
    if (!this.#isOpen) return
    const lines = text.split('\n').map(line => line + REST_OF_LINE)
    process.stdout.write(HOME + lines.join('\r\n') + REST_OF_SCREEN)
  }

  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    process.removeListener('exit', this.#leave)
    process.stdout.removeListener('resize', this.#options.onResize)
    if (process.stdin.isTTY) {
      process.stdin.removeListener('data', this.#read)
      process.stdin.setRawMode(false)
      process.stdin.pause()
    }
    process.stdout.write(LEAVE)
  }
}
