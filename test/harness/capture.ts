import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Host } from './host.ts'
import { Program } from './program.ts'
import type { Scope } from './scope.ts'
import { waitFor } from './wait-for.ts'

/** Every byte that crosses the network of one host. Needs root and tcpdump. */
export class Capture {
  readonly #tcpdump: Program
  readonly #file: string

  private constructor(tcpdump: Program, file: string) {
    this.#tcpdump = tcpdump
    this.#file = file
  }

  /** Resolves once packets are being recorded. */
  static async on(scope: Scope, host: Host): Promise<Capture> {
    const file = join(scope.directory(), 'capture.pcap')
    // -Z root: tcpdump would give up root, and then could not write into the test's own directory.
    const argv = host.enter(['tcpdump', '-i', 'eth0', '-n', '-U', '-s', '0', '-B', '65536', '-Z', 'root', '-w', file])
    const tcpdump = new Program(scope, argv, { env: { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` } })
    await tcpdump.says(/listening on/, 'stderr')
    return new Capture(tcpdump, file)
  }

  /** Ends the recording. Rejects if the kernel dropped packets, since then it proves nothing. */
  async stop(): Promise<Buffer> {
    this.#tcpdump.signal('SIGINT')
    const { stderr } = await this.#tcpdump.outcome()
    const dropped = /(\d+) packets? dropped by kernel/.exec(stderr)?.[1]
    if (dropped !== '0') throw new Error(`the capture is incomplete: ${stderr}`)
    return await readFile(this.#file)
  }

  /** Waits until what was recorded so far holds `marker`. */
  async holds(marker: string): Promise<void> {
    await waitFor(async () => (await readFile(this.#file)).includes(marker), `"${marker}" in the capture`)
  }
}
