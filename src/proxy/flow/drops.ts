/** What became of a datagram that was handed on: a drop is an outcome, no failure. */
export type Sent = 'sent' | 'full' | 'too large' | 'gone'

/** Why a datagram was dropped here. */
export type DropReason = Exclude<Sent, 'sent'> | 'rate'
