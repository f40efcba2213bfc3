// Structures of Linux on little-endian processors of 64 bits, in glibc and musl alike; offsets in bytes.

/** `struct msghdr`. */
export const Header = { bytes: 56, vectors: 16, vectorCount: 24, control: 32, controlBytes: 40, flags: 48 } as const

/** `struct iovec`. */
export const Vector = { bytes: 16, base: 0, length: 8 } as const

/** `struct cmsghdr`, which descriptors of 4 bytes follow. */
export const Control = { bytes: 16, length: 0, level: 8, type: 12, alignment: 8 } as const

export const DESCRIPTOR_BYTES = 4
