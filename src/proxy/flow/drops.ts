/** Result of sending a datagram: a drop is an outcome, not a failure. */
export type Sent = 'sent' | 'full' | 'too large' | 'gone'

/** Reason why a datagram was dropped here. */
export type DropReason = Exclude<Sent, 'sent'> | 'rate'
