import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Exporter } from '../aead/index.ts'
import type { Offer } from './continuity.ts'

const LABEL = 'EXPORTER-warren-resume'
const ID_BYTES = 16
const SECRET_BYTES = 32
const CONTEXT = 'warren-resume-v1'

/** What the two ends of a session know, and nobody else: it names their flows, and proves attempts to continue them. */
export interface SessionSecret {
  readonly id: string
  readonly secret: Buffer
}

/** Whom an attempt is for: the proof of one flow is of no use for another, or between others. */
export interface FlowName {
  /** Names the flow at the agent of its destination. */
  readonly key: string
  /** SPIFFE IDs, by the certificates that both have proved. */
  readonly source: string
  readonly destination: string
}

/** Throws once the session has closed. */
export function sessionSecret(exporter: Exporter): SessionSecret {
  const material = exporter(ID_BYTES + SECRET_BYTES, LABEL, Buffer.alloc(0))
  return { id: material.toString('hex', 0, ID_BYTES), secret: material.subarray(ID_BYTES) }
}

/** Proves that an attempt comes from the end that opened the flow. */
export function proofOf(secret: Buffer, { key, source, destination }: FlowName, { attempt, position }: Offer): string {
  const fields = [CONTEXT, key, source, destination, String(attempt), String(position)]
  return createHmac('sha256', secret).update(fields.join('\0')).digest('hex')
}

export function isProof(text: string, secret: Buffer, name: FlowName, offer: Offer): boolean {
  const right = Buffer.from(proofOf(secret, name, offer))
  const shown = Buffer.from(text)
  return shown.length === right.length && timingSafeEqual(shown, right)
}
