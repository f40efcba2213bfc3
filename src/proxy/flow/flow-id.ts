import { randomUUID } from 'node:crypto'

const FLOW_ID = /^[0-9a-f]{16}$/

/** Makes the name of a flow, which is the same in the logs of both agents. */
export function newFlowId(): string {
  // Six times as quick as randomBytes: Node prepares UUIDs in advance.
  return randomUUID().replaceAll('-', '').slice(0, 16)
}

/** `text` if it has the form of a flow id, else a new one: it goes to the log. */
export function flowIdFrom(text: unknown): string {
  return typeof text === 'string' && FLOW_ID.test(text) ? text : newFlowId()
}
