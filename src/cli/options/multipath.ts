import { Option } from 'commander'

/** `--multipath`, each datagram on two paths. */
export function multipathOption(): Option {
  return new Option(
    '--multipath',
    'UDP: send each datagram on two paths to the other host, if it has two addresses, so that what one loses costs nothing'
  )
}
