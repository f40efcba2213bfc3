import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

const SECRET_BYTES = 32
/** Time in which a link must be opened. */
export const LINK_MS = 5 * 60_000
/** A page asks every few seconds: one that is closed for this long needs another link. */
export const IDLE_MS = 30 * 60_000
export const SESSION_MS = 12 * 3_600_000
/** Browsers at once. Beyond them the one that was used least recently makes room. */
export const MAX_SESSIONS = 8

/** One browser that has opened a link. It must give both secrets with each request. */
export interface Session {
  /** In a cookie that pages cannot read. Browsers send it to every port of 127.0.0.1. */
  readonly cookie: string
  /** In a header. Only pages of this origin, with this port, can have it. */
  readonly key: string
  readonly endsAtMs: number
}

interface Kept extends Session {
  usedAtMs: number
}

/** Links that open a session once, and the sessions. Pure but for chance: the time is an argument. */
export class Sessions {
  #link: { readonly secret: string; readonly endsAtMs: number } | undefined
  readonly #sessions = new Map<string, Kept>()

  /** Makes a link; an older one that was not used opens nothing any more. */
  createLink(nowMs: number): string {
    const secret = newSecret()
    this.#link = { secret, endsAtMs: nowMs + LINK_MS }
    return secret
  }

  /** The session that the link opens; undefined if it was used, is too old, or is not the link. */
  open(secret: string, nowMs: number): Session | undefined {
    const link = this.#link
    if (link === undefined || nowMs >= link.endsAtMs || !isSame(link.secret, secret)) return undefined
    this.#link = undefined
    this.#prune(nowMs)
    while (this.#sessions.size >= MAX_SESSIONS) this.#removeIdlest()
    const session = { cookie: newSecret(), key: newSecret(), endsAtMs: nowMs + SESSION_MS, usedAtMs: nowMs }
    this.#sessions.set(session.cookie, session)
    return session
  }

  /** The session of a request, if both secrets are those of one that lives. */
  find(cookie: string | undefined, key: string | undefined, nowMs: number): Session | undefined {
    this.#prune(nowMs)
    const session = cookie === undefined ? undefined : this.#sessions.get(cookie)
    if (session === undefined || key === undefined || !isSame(session.key, key)) return undefined
    session.usedAtMs = nowMs
    return session
  }

  end(session: Session): void {
    this.#sessions.delete(session.cookie)
  }

  get size(): number {
    return this.#sessions.size
  }

  #prune(nowMs: number): void {
    for (const [cookie, { endsAtMs, usedAtMs }] of this.#sessions) {
      if (nowMs >= endsAtMs || nowMs - usedAtMs >= IDLE_MS) this.#sessions.delete(cookie)
    }
  }

  #removeIdlest(): void {
    const [idlest] = [...this.#sessions.values()].sort((a, b) => a.usedAtMs - b.usedAtMs)
    if (idlest !== undefined) this.#sessions.delete(idlest.cookie)
  }
}

function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url')
}

// Of hashes, which have one length.
function isSame(a: string, b: string): boolean {
  return timingSafeEqual(sha256(a), sha256(b))
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
