import { dirname } from 'node:path'
import type { Plugin } from 'esbuild'

const opentelemetry = (file: string): RegExp =>
  new RegExp(`node_modules/@opentelemetry/${file.replaceAll('.', '\\.')}$`)

const SLIM: readonly (readonly [RegExp, string])[] = [
  // The rest of prom-client pushes to gateways, gathers from clusters and measures its process: every tenth module that an agent
  // loaded at its start, with the HTTP client and the zlib of Node behind it.
  [
    /node_modules\/prom-client\/index\.js$/,
    ['Counter', 'Gauge', 'Histogram', 'Registry']
      .map(name => `exports.${name} = require('./lib/${name.toLowerCase()}')`)
      .join('\n')
  ],
  // The executable holds whole modules. Those of metrics, logs, protobuf and the names of all conventions have four times the size
  // of what makes and writes a span. A name that is missing here fails the build.
  [
    opentelemetry('sdk-trace/dist/index.mjs'),
    `export { TracerProvider } from './TracerProvider.mjs'
    export { RandomIdGenerator } from './platform/node/RandomIdGenerator.mjs'`
  ],
  [
    opentelemetry('sdk-trace/dist/platform/node/index.mjs'),
    `export { RandomIdGenerator } from './RandomIdGenerator.mjs'`
  ],
  [
    opentelemetry('resources/dist/index.mjs'),
    `export { defaultResource, resourceFromAttributes } from './ResourceImpl.mjs'`
  ],
  [
    opentelemetry('resources/dist/detectors/platform/node/index.mjs'),
    `export { defaultServiceName } from './default-service-name.mjs'`
  ],
  [opentelemetry('otlp-transformer/dist/index.mjs'), `export { JsonTraceSerializer } from './trace/json/trace.mjs'`],
  [
    opentelemetry('core/dist/index.mjs'),
    `export { AddAttributeDecision, cleanAttributes, cleanSimpleAttributes, isSimpleAttributeValue, maybeAddAttribute } from './common/attributes.mjs'
    export { addHrTimes, hrTime, hrTimeDuration, hrTimeToNanoseconds, isTimeInput, isTimeInputHrTime, millisToHrTime } from './common/time.mjs'
    export { globalErrorHandler } from './common/global-error-handler.mjs'
    export { SDK_INFO } from './platform/node/sdk-info.mjs'
    export { isTracingSuppressed } from './trace/suppress-tracing.mjs'`
  ],
  [
    opentelemetry('semantic-conventions/dist/index.mjs'),
    `export {
      ATTR_EXCEPTION_MESSAGE, ATTR_EXCEPTION_STACKTRACE, ATTR_EXCEPTION_TYPE,
      ATTR_SERVICE_NAME, ATTR_TELEMETRY_SDK_LANGUAGE, ATTR_TELEMETRY_SDK_NAME, ATTR_TELEMETRY_SDK_VERSION,
      TELEMETRY_SDK_LANGUAGE_VALUE_NODEJS
    } from './stable_attributes.mjs'`
  ]
]

/** The code to take in place of the entry of a package that would load all of it: what is used here. */
export function slimCode(path: string): string | undefined {
  return SLIM.find(([file]) => file.test(path))?.[1]
}

/** Leaves out of packages what is not used here. */
export function slimPackages(): Plugin {
  return {
    name: 'slim packages',
    setup(bundler) {
      for (const [filter, contents] of SLIM) {
        bundler.onLoad({ filter }, ({ path }) => ({ loader: 'js', resolveDir: dirname(path), contents }))
      }
    }
  }
}
