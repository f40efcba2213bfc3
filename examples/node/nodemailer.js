// Mail through the mesh: `getSocket` gives the pool its connections.
import { createTransport } from 'nodemailer'
import { connect } from 'warren'

const mailer = createTransport({ pool: true, maxConnections: 2, name: 'shop.example', ignoreTLS: true })
mailer.getSocket = (_options, callback) => {
  connect('dev.mail.smtp.default', { as: 'dev.shop.cart.default' }).then(
    connection => callback(null, { connection }),
    callback
  )
}

const letters = Array.from({ length: 5 }, (_, i) =>
  mailer.sendMail({ from: 'shop@example.org', to: 'you@example.org', subject: `Order ${i}`, text: 'Thank you.' })
)
const sent = await Promise.all(letters)
console.log(sent.filter(({ accepted }) => accepted.length === 1).length, 'letters')
mailer.close()
