export { admitRenewal, type RenewDeps, type RenewedHost } from './admit.ts'
export {
  askForRenewal,
  askForSuccession,
  openRenewalAnswer,
  type RenewalAuthority,
  renewalAnswer,
  serveRenewal
} from './exchange.ts'
export { MAX_RENEWAL_BYTES, RENEW_ALPN } from './protocol.ts'
export { type RenewKeys, renewalRequest, requireRenewed } from './request.ts'
