// PostgreSQL through the mesh: a pool whose connections are made by `stream`.
import pg from 'pg'
import { createConnection } from 'warren'

const pool = new pg.Pool({
  user: process.env.PGUSER ?? 'shop',
  database: process.env.PGDATABASE ?? 'shop',
  max: 4,
  // Connections that wait for the next query do not keep this program from ending.
  allowExitOnIdle: true,
  stream: () => createConnection('dev.db.postgres.default', { as: 'dev.shop.cart.default' })
})

const words = Array.from({ length: 20 }, (_, i) => `word ${i}`)
const answers = await Promise.all(words.map(word => pool.query('SELECT $1::text AS word', [word])))
console.log(answers.filter(({ rows }, i) => rows[0].word === words[i]).length, 'answers')
console.log(pool.totalCount, 'connections')
