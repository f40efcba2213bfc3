export { healthHandlers } from './health.ts'
export { reflectionHandlers } from './reflection.ts'
