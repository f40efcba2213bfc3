export type { ContainerFacts } from './facts.ts'
export { findContainer } from './find.ts'
export { ContainerFinder, type FindContainer } from './finder.ts'
export { ServiceAccounts } from './service-account.ts'
