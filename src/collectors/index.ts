export { HttpReceiver, type HttpReceiverOptions } from './http-receiver.ts'
export { hostAttributes, type OtlpHost, otlpAttributes, otlpResource, otlpTime } from './otlp.ts'
export { CONNECT_MS, type Receiver, SETTLE_MS, STALL_MS, type Take } from './receiver.ts'
export { readTlsFiles, readToken } from './tls-files.ts'
