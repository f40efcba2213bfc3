export { RelayService } from './relay-service.ts'
