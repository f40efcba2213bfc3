/**
 * `exportKeyingMaterial` of the session's TLS connection: RFC 5705, RFC 8446 section 7.5. Throws once the connection
 * has closed.
 */
export type Exporter = (bytes: number, label: string, context: Buffer) => Buffer

/** The sender: each direction has keys of its own. */
export type Sender = 'client' | 'server'
