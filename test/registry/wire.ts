import { decode, registryPb } from '../../src/wire/index.ts'

export { create, registryPb, toBinary } from '../../src/wire/index.ts'

export function fromBytes(response: Uint8Array): registryPb.SyncResponse {
  return decode(registryPb.SyncResponseSchema, response, 1_048_576)
}
