import { type DescFile, type DescService, toBinary } from '@bufbuild/protobuf'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import { Code } from '@connectrpc/connect'
import type { grpcReflectionPb } from '../../wire/index.ts'
import type { ReflectionHandlers } from '../handlers.ts'

type Question = grpcReflectionPb.ServerReflectionRequest['messageRequest']

/** Tells tools such as grpcurl which services there are, with the files that describe them. */
export function reflectionHandlers(services: readonly DescService[]): ReflectionHandlers {
  const files = filesOf(services.map(({ file }) => file))
  const bySymbol = new Map<string, DescFile>()
  for (const file of files.values()) for (const name of symbolsOf(file)) bySymbol.set(name, file)

  const answerTo = (question: Question) => {
    switch (question.case) {
      case 'listServices': {
        const service = services.map(({ typeName: name }) => ({ name }))
        return { case: 'listServicesResponse', value: { service } } as const
      }
      case 'fileByFilename':
        return described(files.get(question.value), question.value)
      case 'fileContainingSymbol':
        return described(bySymbol.get(question.value), question.value)
      case 'allExtensionNumbersOfType':
        return bySymbol.has(question.value)
          ? ({ case: 'allExtensionNumbersResponse', value: { baseTypeName: question.value } } as const)
          : described(undefined, question.value)
      default:
        // No file here has an extension.
        return described(undefined, 'an extension')
    }
  }

  return {
    async *serverReflectionInfo(requests, { share }, signal) {
      for await (const originalRequest of requests) {
        yield share.timed(() => ({
          validHost: originalRequest.host,
          originalRequest,
          messageResponse: answerTo(originalRequest.messageRequest)
        }))
        await share.turn(signal)
      }
    }
  }
}

function described(file: DescFile | undefined, asked: string) {
  if (file === undefined) {
    const errorMessage = `this socket has no description of ${asked.slice(0, 200)}`
    return { case: 'errorResponse', value: { errorCode: Code.NotFound, errorMessage } } as const
  }
  const fileDescriptorProto = [...filesOf([file]).values()].map(one => toBinary(FileDescriptorProtoSchema, one.proto))
  return { case: 'fileDescriptorResponse', value: { fileDescriptorProto } } as const
}

/** These files and those that they import, by their paths. */
function filesOf(roots: readonly DescFile[]): Map<string, DescFile> {
  const files = new Map<string, DescFile>()
  const waiting = [...roots]
  for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
    if (files.has(file.proto.name)) continue
    files.set(file.proto.name, file)
    waiting.push(...file.dependencies)
  }
  return files
}

function symbolsOf({ services, messages, enums }: DescFile): string[] {
  const methods = services.flatMap(({ typeName, methods: all }) => all.map(({ name }) => `${typeName}.${name}`))
  const nested = messages.flatMap(message => [message, ...message.nestedMessages])
  return [...services, ...nested, ...enums].map(({ typeName }) => typeName).concat(methods)
}
