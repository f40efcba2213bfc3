export { FailureService } from './failure-service.ts'
