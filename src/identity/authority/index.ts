export { authorityStatusOf, openAuthorityStatus } from './authority-status.ts'
export {
  admitAuthority,
  admitAuthorityRenewal,
  authorityRenewal,
  authorityRequest,
  requireAuthority
} from './certificate.ts'
export { ORDER_FRESH_MS, type Order, openOrder, signOrder } from './order.ts'
