// Holds TCP connections that say nothing, of several addresses of this host, and opens each again when it is closed.
// Arguments: host, port, number of addresses, connections of each. Prints "open" when each has been open once.
import { connect } from 'node:net'

const [, , host = '', port = '', addresses = '', each = ''] = process.argv
const PAUSE_MS = 200
let left = Number(addresses) * Number(each)

function hold(localAddress: string): void {
  const socket = connect({ host, port: Number(port), localAddress })
  socket.on('error', () => {})
  socket.once('connect', () => {
    left -= 1
    if (left === 0) process.stdout.write('open\n')
  })
  socket.once('close', () => setTimeout(hold, PAUSE_MS, localAddress))
}

for (let address = 0; address < Number(addresses); address += 1) {
  for (let index = 0; index < Number(each); index += 1) hold(`127.0.0.${address + 2}`)
}
