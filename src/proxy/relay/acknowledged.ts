import type { AckEntry, AckReceiver, ResumeLink } from '../resume/index.ts'

/** Where a flow is acknowledged now: in the session that carries it, if one does. */
export class Acknowledged {
  /** Changed only while it is detached. */
  link: ResumeLink
  readonly #receiver: AckReceiver
  #entry: AckEntry | undefined

  constructor(link: ResumeLink, receiver: AckReceiver) {
    this.link = link
    this.#receiver = receiver
  }

  attach(): void {
    const { acks, ref } = this.link
    this.#entry = acks.attach(ref, this.#receiver)
  }

  detach(): void {
    const entry = this.#entry
    this.#entry = undefined
    if (entry === undefined) return
    this.link.acks.detach(entry)
    this.link.left?.()
  }

  /** So many bytes have arrived, or the end. */
  note(size = 0): void {
    if (this.#entry !== undefined) this.link.acks.note(this.#entry, size)
  }
}
