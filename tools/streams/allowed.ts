/**
 * Where a stream may be read by an iterator, or by what is made of one, and why nothing is lost there.
 *
 * An iterator of a stream of HTTP/2 that begins after both ends are done finds it closed while bytes wait, and loses them;
 * one over a libp2p stream never pauses its sender, and can be left without an end. Whole bodies are read by `readBody` of
 * src/wire, frames by `readFrame` and FrameStream, and all else by events.
 */
export const ALLOWED: Readonly<Record<string, string>> = {
  'src/api/grpc/reflection.ts': 'messages of a call of the local API, whose stream is open until its answer has ended',
  'src/api/services/arrivals.ts': 'the same',
  'src/api/routes.ts': 'events of a handler of this process, which are no stream',
  'src/api/services/admins.ts': 'what src/cluster/admins/signing.ts yields, which is no stream',
  'src/api/services/events.ts': 'what src/events/history.ts yields, which is no stream',
  'src/api/services/observations.ts': 'what src/cluster/observations yields, which is no stream',
  'src/api/services/receipts.ts': 'what src/cluster/receipts yields, which is no stream',
  'src/audit/file.ts': 'what src/audit/lines.ts yields, which is no stream',
  'src/audit/lines.ts': 'a file',
  'src/audit/push/reader.ts': 'what src/audit/lines.ts yields, which is no stream',
  'src/audit/searches.ts': 'what src/audit/lines.ts yields, which is no stream',
  'src/audit/select.ts': 'what src/audit/lines.ts yields, which is no stream',
  'src/audit/verify.ts': 'what src/audit/lines.ts yields, which is no stream',
  'src/api/write-answer.ts': 'the parts of an answer of a handler of this process, which are no stream',
  'src/cli/commands/audit.ts': 'what src/audit/select.ts yields, which is no stream',
  'src/cli/commands/attempts.ts': 'what src/audit/select.ts yields, which is no stream',
  'src/cli/commands/policy-suggest.ts': 'a call of the local API, as of src/cli/commands/services.ts',
  'src/cli/commands/events.ts': 'a call of the local API, as of src/cli/commands/services.ts',
  'src/cli/commands/observe.ts': 'a call of the local API, as of src/cli/commands/services.ts',
  'src/cli/commands/serve.ts': 'standard input',
  'src/cli/commands/services.ts':
    'a call of the local API, over the very socket of the system; test/client/whole-answer.test.ts',
  'src/cli/commands/svid.ts': 'what src/cli/svid/source.ts yields, which is no stream',
  'src/cli/keys/signing.ts': 'calls of the local API, as of src/cli/commands/services.ts',
  'src/cli/listeners/datagram/lines.ts': 'standard input, and datagrams that are queued by events',
  'src/cli/listeners/proxy/http.ts':
    'messages of HTTP/1.1 over sockets of the system, whose bytes wait until they are read; test/cli/local-proxy.test.ts',
  'src/cli/options/passphrase.ts': 'standard input',
  'src/cli/options/receipts.ts': 'a call of the local API, as of src/cli/commands/services.ts',
  'src/cli/options/secret.ts': 'standard input',
  'src/cli/listeners/handover/pass-listener.ts': 'a call of the local API, as of src/cli/commands/services.ts',
  'src/cli/listeners/stream/relay.ts':
    'sockets of the system and standard input, which are closed only when all of them was read',
  'src/cli/watch.ts': 'a call of the local API, as of src/cli/commands/services.ts',
  'src/cli/run/names/command-names.ts': 'a call of the local API, as of src/cli/commands/services.ts',
  'src/cli/run/svid-files.ts': 'what src/cli/svid/source.ts yields, which is no stream',
  'src/cli/svid/source.ts': 'a call of the local API, as of src/cli/commands/services.ts',
  'src/cluster/admins/signing.ts': 'events of a handler of this process, which are no stream',
  'src/console/data/all-hosts.ts': 'a call of the local API, as of src/cli/commands/services.ts',
  'src/console/data/events.ts': 'a call of the local API, as of src/cli/commands/services.ts',
  'src/console/data/explanation.ts': 'a call of the local API, as of src/cli/commands/services.ts',
  'src/client/keeper.ts': 'a call of the local API, as of src/cli/commands/services.ts'
}

/** The folders that carry the bytes of others. Nothing is allowed there, except in the files above. */
export const STRICT = ['proxy', 'mesh', 'wire', 'api', 'agent', 'ca', 'cluster', 'workloads'] as const
