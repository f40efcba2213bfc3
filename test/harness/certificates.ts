import { X509Certificate } from 'node:crypto'

/** Every certificate in `bytes`, in order, whatever stands between them. */
export function certificatesIn(bytes: Buffer): X509Certificate[] {
  const found: X509Certificate[] = []
  for (let at = 0; at + 4 < bytes.length; ) {
    const certificate = certificateAt(bytes, at)
    if (certificate === undefined) {
      at += 1
    } else {
      found.push(certificate)
      at += certificate.raw.length
    }
  }
  return found
}

// A certificate is a DER sequence whose length takes two bytes.
function certificateAt(bytes: Buffer, at: number): X509Certificate | undefined {
  if (bytes.readUInt16BE(at) !== 0x3082) return undefined
  const end = at + 4 + bytes.readUInt16BE(at + 2)
  if (end > bytes.length) return undefined
  try {
    return new X509Certificate(bytes.subarray(at, end))
  } catch {
    return undefined
  }
}
