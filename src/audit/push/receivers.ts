import { connect } from 'node:net'
import { HttpReceiver, type Receiver } from '../../collectors/index.ts'
import type { AuditTarget } from '../../config/index.ts'
import { DatagramReceiver } from './datagram-receiver.ts'
import type { PushingHost } from './host.ts'
import { JOURNAL_HEADER, journalLine } from './journal.ts'
import { otlpRequest, rejectedIn } from './otlp.ts'
import { type PushedLine, READ_LINES } from './reader.ts'
import { openSyslog, StreamReceiver } from './stream-receiver.ts'
import { framedSyslog, syslogMessage } from './syslog.ts'

export interface ReceiverDeps {
  readonly host: PushingHost
  readonly nowMs: () => number
  /** Called with the number of lines that the receiver will never take. */
  readonly onRejected: (count: number) => void
}

/** The way to a target. */
export function receiverOf(target: AuditTarget, { host, nowMs, onRejected }: ReceiverDeps): Receiver<PushedLine> {
  switch (target.kind) {
    case 'syslog':
      return new StreamReceiver({
        open: openSyslog(target.host, target.port, target.tls),
        frame: line => framedSyslog(line, host)
      })
    case 'journal':
      return new StreamReceiver({
        open: () => ({ socket: connect({ path: target.path, allowHalfOpen: true }), ready: 'connect' }),
        isOneWay: true,
        header: JOURNAL_HEADER,
        frame: journalLine
      })
    case 'datagrams':
      return new DatagramReceiver(target.host, target.port, line => syslogMessage(line, host))
    case 'webhook': {
      const headers = (lines: readonly PushedLine[]) => ({
        'content-type': 'application/x-ndjson',
        'warren-machine': host.machine,
        'warren-trust-domain': host.trustDomain,
        'warren-peer': host.peer,
        'warren-first-seq': String(lines[0]?.line.seq),
        'warren-last-seq': String(lines.at(-1)?.line.seq)
      })
      return new HttpReceiver({
        ...httpOf(target),
        headers,
        body: lines => Buffer.from(lines.map(({ text }) => `${text}\n`).join('')),
        onAnswer: () => {}
      })
    }
    case 'otlp':
      return new HttpReceiver({
        ...httpOf(target),
        headers: () => ({ 'content-type': 'application/json' }),
        body: lines => otlpRequest(lines, host, nowMs()),
        onAnswer: answer => {
          const rejected = rejectedIn(answer)
          if (rejected > 0) onRejected(rejected)
        }
      })
  }
}

function httpOf({ url, tls, token }: Extract<AuditTarget, { kind: 'webhook' | 'otlp' }>) {
  return { url, tls, token, maxItems: READ_LINES }
}
