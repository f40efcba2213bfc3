import type { RecordConnection } from './record-connection.ts'

const carriers = new WeakMap<RecordConnection, string>()

/** Notes on which path a fast-path connection is: it may be another one than that of its session. */
export function noteCarrier(connection: RecordConnection, carrier: string): void {
  carriers.set(connection, carrier)
}

/** The path of a fast-path connection. */
export function carrierOf(connection: RecordConnection): string | undefined {
  return carriers.get(connection)
}
