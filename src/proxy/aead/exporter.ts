/** `exportKeyingMaterial` of the session's TLS connection: RFC 5705, RFC 8446 section 7.5. Throws once it is gone. */
export type Exporter = (bytes: number, label: string, context: Buffer) => Buffer

/** Who sends: each direction has keys of its own. */
export type Sender = 'client' | 'server'
