import { type KeyObject, sign } from 'node:crypto'
import { promisify } from 'node:util'
import { bitString, oid, sequence, set, text } from './der-writer.ts'

const signInPool = promisify(sign)

/** The AlgorithmIdentifier of ecdsa-with-SHA256, encoded. */
export const ECDSA_SHA256 = sequence(oid('1.2.840.10045.4.3.2'))

const ATTRIBUTES = Object.freeze({ CN: oid('2.5.4.3'), O: oid('2.5.4.10') })

/** A Name of X.500, encoded, with its attributes in the order that is given. */
export function distinguishedName(attributes: { readonly [name in keyof typeof ATTRIBUTES]?: string }): Buffer {
  const names = Object.keys(attributes) as (keyof typeof ATTRIBUTES)[]
  return sequence(...names.map(name => set(sequence(ATTRIBUTES[name], text(attributes[name] ?? '')))))
}

/** What a P-256 key signs, with its signature around it: a certificate or a request, in DER. */
export async function signed(content: Uint8Array, key: KeyObject): Promise<Uint8Array> {
  const signature = await signInPool('sha256', content, key)
  return Uint8Array.from(sequence(content, ECDSA_SHA256, bitString(signature)))
}
