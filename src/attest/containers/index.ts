export type { ContainerFacts } from './facts.ts'
export { findContainer } from './find.ts'
export { ContainerFinder } from './finder.ts'
