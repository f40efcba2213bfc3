export { type Fault, formatFault, formatPlace } from '../files/place.ts'
export { type FileTest, type PolicyFile, parsePolicyFile, readPolicyFile } from './read.ts'
export { type FileRule, formatPolicyFile, formatRules, policyFileData } from './write.ts'
