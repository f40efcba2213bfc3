export { FailureService } from './failure-service.ts'
export { PeerAllowance } from './peer-allowance.ts'
