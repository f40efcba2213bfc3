import { connect, ErrorCode, WarrenError } from '../../src/client/index.ts'

try {
  await connect('dev.web.nobody.default', { as: 'dev.shop.cart.default' })
} catch (err) {
  if (!(err instanceof WarrenError)) throw err
  switch (err.code) {
    case ErrorCode.DestinationNotFound:
    case ErrorCode.DestinationUnreachable:
      console.log('not there now, worth another attempt later:', err.reason)
      break
    case ErrorCode.Unauthorized:
      console.log('not allowed, see warren explain:', err.reason)
      break
    default:
      console.log(err.message, err.hint ?? '')
  }
}
