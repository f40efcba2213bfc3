export { type ClaimOptions, claimDirectory, makeDirectories } from './directory.ts'
export { type FileFault, fileFault } from './fault.ts'
export { tryLock } from './flock.ts'
export { kindOf, standsAt, systemCode } from './kind.ts'
export { checkOutput, type OutputOptions, syncDirectory, writeOutput } from './output.ts'
export {
  acceptsConnections,
  identityOf,
  occupySocketPath,
  removeIfSame
} from './socket-path.ts'
