// MariaDB and MySQL through the mesh: a pool whose connections are made by `stream`.
import { createPool } from 'mysql2/promise'
import { createConnection } from 'warren'

const pool = createPool({
  user: process.env.MYSQL_USER ?? 'shop',
  database: process.env.MYSQL_DATABASE ?? 'shop',
  connectionLimit: 4,
  stream: () => createConnection('dev.db.mariadb.default', { as: 'dev.shop.cart.default' })
})

const words = Array.from({ length: 20 }, (_, i) => `word ${i}`)
const answers = await Promise.all(words.map(word => pool.query('SELECT ? AS word', [word])))
console.log(answers.filter(([rows], i) => rows[0].word === words[i]).length, 'answers')
await pool.end()
