export { type Fault, formatFault, formatPlace } from '../files/place.ts'
export { type FileTest, type PolicyFile, parsePolicyFile, readPolicyFile } from './read.ts'
export { formatPolicyFile, policyFileData } from './write.ts'
