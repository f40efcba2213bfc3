import { FIRST_BYTE } from './fastpath/index.ts'
import { REVERSE_FIRST_BYTE } from './reverse/index.ts'

/** The content type of a handshake record, with which a TLS client begins. RFC 8446, 5.1. */
const TLS_FIRST_BYTE = 0x16

/** Whether a connection to the mesh port that begins with this byte is one for the data plane: TLS, a fast-path connection, or one dialled back. */
export function isDataByte(byte: number): boolean {
  return byte === TLS_FIRST_BYTE || byte === FIRST_BYTE || byte === REVERSE_FIRST_BYTE
}
