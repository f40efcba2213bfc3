export { type Checker, type CheckIo, checkerFor } from './checkers/index.ts'
export { HealthService } from './health-service.ts'
