const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const

/** As in "1.5 MB". */
export function bytesText(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1_000 && unit < UNITS.length - 1) {
    value /= 1_000
    unit += 1
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1
  return `${value.toFixed(digits)} ${UNITS[unit] ?? ''}`
}

/** As in "1.5 MB/s"; a dash for a rate that is not known yet. */
export function rateText(bytesPerSecond: number | undefined): string {
  return bytesPerSecond === undefined ? '–' : `${bytesText(bytesPerSecond)}/s`
}

const SPANS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min']
] as const

/** As in "3 d" or "45 s". */
export function spanText(ms: number): string {
  for (const [lengthMs, unit] of SPANS) if (ms >= 2 * lengthMs) return `${Math.floor(ms / lengthMs)} ${unit}`
  return `${Math.max(0, Math.floor(ms / 1_000))} s`
}

/** As in "3 d ago" or "in 29 d"; a dash for a time that is not known. */
export function distanceText(atMs: number, nowMs: number): string {
  if (atMs <= 0) return '–'
  return atMs <= nowMs ? `${spanText(nowMs - atMs)} ago` : `in ${spanText(atMs - nowMs)}`
}

/** As in "2026-11-30 07:22:24", in UTC, as the commands show it. */
export function timeText(atMs: number): string {
  return atMs <= 0 ? '–' : new Date(atMs).toISOString().slice(0, 19).replace('T', ' ')
}

/** As in "1 host" or "3 hosts". */
export function countText(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`
}

/** The host in an address; empty if it names none. */
export function machineOf(address: string): string {
  return address.split('.')[4] ?? ''
}

/** An address without its machine. */
export function nameOf(address: string): string {
  return address.split('.').slice(0, 4).join('.')
}
