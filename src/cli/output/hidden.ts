import { isLoopback, parseHostPort } from '../../core/index.ts'

/** The reason, and what helps. */
export const ONLY_LOOPBACK = 'this one announces only loopback addresses (give one with --advertise)'

/** Whether no other host can reach one that announces these data addresses. */
export function isHidden(dataAddresses: readonly string[]): boolean {
  return dataAddresses.every(address => isLoopback(parseHostPort(address).host))
}
