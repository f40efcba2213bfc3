import { connect, register, WarrenError } from '../../src/client/index.ts'

// Ends everything below when it aborts.
const stopping = new AbortController()

// A signal ends a registration whenever it aborts; a registration without a target only connects.
const registration = await register('dev.shop.cart.default', { signal: stopping.signal })

// For `connect` a signal and `timeoutMs` count until it resolves, and no longer.
const socket = await connect('dev.web.echo.default', {
  as: 'dev.shop.cart.default',
  signal: stopping.signal,
  timeoutMs: 3_000
})
socket.on('error', err => console.log('cut off:', err.message))
socket.on('close', () => console.log('the connection is closed'))

stopping.abort()
console.log('registration:', (await registration.closed).reason)
socket.destroy()

try {
  await connect('dev.web.echo.default', { as: 'dev.shop.cart.default', signal: stopping.signal })
} catch (err) {
  // The reason of the signal, and not a WarrenError.
  console.log('not connected:', (err as Error).name, err instanceof WarrenError)
}
