import type { FailureView, SessionView, Versioned } from '../shapes.ts'

const HEADER = 'warren-console'
/** The key stays in this tab, and with this origin: other ports have other stores, but the same cookies. */
const STORED = 'warren-console-key'

/** A refused question; `status` 401 says that there is no session any more. */
export class AskError extends Error {
  override name = 'AskError'
  readonly status: number
  readonly hint: string
  constructor(status: number, reason: string, hint: string) {
    super(reason)
    this.status = status
    this.hint = hint
  }
}

export function hasKey(): boolean {
  return sessionStorage.getItem(STORED) !== null
}

/** Opens a session by the secret of a link. */
export async function openSession(link: string): Promise<void> {
  const { key } = await request<SessionView>('POST', '/api/session', { link })
  sessionStorage.setItem(STORED, key)
}

export async function endSession(): Promise<void> {
  await request('POST', '/api/end', {})
  sessionStorage.removeItem(STORED)
}

/** Asks for data; undefined if it is the one of version `known`. */
export async function ask<T>(path: string, query: Readonly<Record<string, string>> = {}): Promise<Versioned<T>> {
  return await request<Versioned<T>>('GET', `${path}?${new URLSearchParams(query)}`)
}

export async function post<T>(path: string, body: object): Promise<T> {
  return await request<T>('POST', path, body)
}

async function request<T>(method: string, path: string, body?: object): Promise<T> {
  const headers: Record<string, string> = { [HEADER]: sessionStorage.getItem(STORED) ?? 'none' }
  if (body !== undefined) headers['content-type'] = 'application/json'
  const init: RequestInit = { method, headers, cache: 'no-store', credentials: 'same-origin', redirect: 'error' }
  const response = await fetch(path, body === undefined ? init : { ...init, body: JSON.stringify(body) })
  const answer: unknown = await response.json()
  if (response.ok) return answer as T
  const { reason, hint } = (answer as FailureView).error
  throw new AskError(response.status, reason, hint)
}
