// What both ends of the gRPC example agree on. A program of your own has it from its .proto file.
import { makeGenericClientConstructor } from '@grpc/grpc-js'

const text = {
  requestStream: false,
  responseStream: false,
  requestSerialize: value => Buffer.from(value),
  requestDeserialize: bytes => bytes.toString(),
  responseSerialize: value => Buffer.from(value),
  responseDeserialize: bytes => bytes.toString()
}
export const greeter = { hello: { path: '/example.Greeter/Hello', ...text } }
export const GreeterClient = makeGenericClientConstructor(greeter, 'example.Greeter')
