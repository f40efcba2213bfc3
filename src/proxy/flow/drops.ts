/**
 * Result of sending a datagram: a drop is an outcome, not a failure. `too large`: for any datagram; `oversize`: for a
 * packet of the path that carries the flow.
 */
export type Sent = 'sent' | 'full' | 'too large' | 'oversize' | 'gone'

/** Reason why a datagram was dropped here. */
export type DropReason = Exclude<Sent, 'sent'> | 'rate'
