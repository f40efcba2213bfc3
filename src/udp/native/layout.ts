// Structures of Linux on little-endian processors of 64 bits, in glibc and musl alike; offsets in bytes.

/** `struct mmsghdr`. Fields that are sizes have 8 bytes, of which the upper 4 stay zero. */
export const Header = {
  bytes: 64,
  name: 0,
  nameBytes: 8,
  vectors: 16,
  vectorCount: 24,
  control: 32,
  controlBytes: 40,
  flags: 48,
  received: 56
} as const

/** `struct iovec`. */
export const Vector = { bytes: 16, base: 0, length: 8 } as const

/** `struct cmsghdr` with 2 bytes of data, and padding. */
export const Control = { bytes: 24, length: 0, level: 8, type: 12, data: 16, lengthValue: 18 } as const

/** Room for `struct sockaddr_in6`, the longest of them. */
export const NAME_BYTES = 28

/** Set in `msg_flags`: the message was longer than its room. */
export const MSG_TRUNC = 0x20
