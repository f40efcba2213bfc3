import { ErrorCode, WarrenError } from '../core/index.ts'
import { create, decode, registryPb, toBinary } from '../wire/index.ts'
import { type Limits, MAX_DELTA_CHANGES } from './limits.ts'
import { boundFields } from './scan.ts'

const GOSSIP = { 1: {}, 2: { 7: {} } }
const REQUEST = { 1: {}, 2: { 1: {} }, 3: {} }
const RESPONSE = { 1: { 1: {}, 2: {} }, 2: { 1: { 1: {}, 3: {}, 4: {} } }, 3: { 1: {} }, 4: {} }
/** Owners in one FetchRequest. */
export const MAX_WANTS = 128
const FIELDS_PER_OWNER = 5
// A useful record takes eighty bytes or more.
const MIN_RECORD_BYTES = 64

/** Each throws MESSAGE_TOO_LARGE or MESSAGE_MALFORMED, and takes memory in proportion to the size of the message. */
export function decodeGossip(bytes: Uint8Array, limits: Limits): registryPb.Gossip {
  checkSize(bytes, limits.maxGossipBytes)
  boundFields(bytes, GOSSIP, MAX_DELTA_CHANGES + 32)
  return decode(registryPb.GossipSchema, bytes, limits.maxGossipBytes)
}

export function decodeRequest(bytes: Uint8Array, limits: Limits): registryPb.SyncRequest {
  checkSize(bytes, limits.maxRequestBytes)
  boundFields(bytes, REQUEST, FIELDS_PER_OWNER * MAX_WANTS + 32)
  return decode(registryPb.SyncRequestSchema, bytes, limits.maxRequestBytes)
}

export function decodeResponse(bytes: Uint8Array, limits: Limits): registryPb.SyncResponse {
  checkSize(bytes, limits.maxResponseBytes)
  const most = FIELDS_PER_OWNER * limits.maxOwners + Math.ceil(limits.maxResponseBytes / MIN_RECORD_BYTES)
  boundFields(bytes, RESPONSE, most)
  return decode(registryPb.SyncResponseSchema, bytes, limits.maxResponseBytes)
}

export function encodeRequest(ask: registryPb.SyncRequest['ask']): Uint8Array {
  return toBinary(registryPb.SyncRequestSchema, create(registryPb.SyncRequestSchema, { ask }))
}

export function encodeResponse(answer: registryPb.SyncResponse['answer']): Uint8Array {
  return toBinary(registryPb.SyncResponseSchema, create(registryPb.SyncResponseSchema, { answer }))
}

// Checked before the scan, because the size limits the work of the scan.
function checkSize(bytes: Uint8Array, maxBytes: number): void {
  if (bytes.length <= maxBytes) return
  throw new WarrenError(
    ErrorCode.MessageTooLarge,
    `a message of ${bytes.length} bytes exceeds the limit of ${maxBytes}`,
    { limit: 'registry_message_bytes' }
  )
}
