export {
  type Files,
  filesNamed,
  filesOf,
  formatFault,
  type Loaded,
  loadFiles,
  optionFaults,
  parseConfig,
  refuse,
  requireFiles
} from './load.ts'
export { type Fault, formatPlace, type Place } from './place.ts'
export { type FileConfig, jsonSchema, OPTION_KEYS } from './schema.ts'
