import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ListenDatagramOptions, listen, type MeshDatagramSocket, type MeshServer } from '../../../client/index.ts'
import { bindUnix, DropReport } from '../../../listeners/index.ts'

export interface ExposeUnixListeners {
  readonly onFailure: (err: unknown) => void
  /** Told of dropped datagrams, at most once a minute. */
  readonly onDrops: (text: string) => void
}

/**
 * Registers `address` for a server that waits at a SOCK_DGRAM unix socket: each flow reaches it from a socket of its own, to which it
 * answers.
 *
 * Those are for this user only, so the server must run as this user, or as root. Rejects as `listen` and `bindUnix`.
 */
export async function exposeUnixDatagrams(
  address: string,
  server: string,
  options: Omit<ListenDatagramOptions, 'protocol'>,
  { onFailure, onDrops }: ExposeUnixListeners
): Promise<MeshServer<MeshDatagramSocket>> {
  const drops = new DropReport(onDrops)
  const directory = mkdtempSync(join(tmpdir(), 'warren-'))
  const remove = (): void => rmSync(directory, { recursive: true, force: true })
  try {
    // Tried before the server is registered.
    const trial = await bindUnix(join(directory, 'trial'), { onFailure })
    trial.close()
    const registered = await listen(address, { ...options, protocol: 'udp' }, flow => {
      bridge(flow, join(directory, randomBytes(8).toString('hex')), server, { drops, onFailure }).catch(
        async (err: unknown) => {
          onFailure(err)
          await flow.close()
        }
      )
    })
    const over = (): void => {
      remove()
      drops.flush()
    }
    registered.closed().then(over, over)
    return registered
  } catch (err) {
    remove()
    throw err
  }
}

async function bridge(
  flow: MeshDatagramSocket,
  path: string,
  server: string,
  { drops, onFailure }: { readonly drops: DropReport; readonly onFailure: (err: unknown) => void }
): Promise<void> {
  flow.on('error', onFailure)
  const local = await bindUnix(path, { onFailure })
  flow.once('close', () => local.close())
  if (flow.closed) {
    local.close()
    return
  }
  local.onDatagram(payload => {
    try {
      if (!flow.send(payload)) drops.count('flow')
    } catch (err) {
      drops.count('size')
      onFailure(err)
    }
  })
  flow.on('message', payload => {
    if (!local.send(payload, server)) drops.count('server')
  })
}
