/** Of Debian and Ubuntu: what the tests of this folder run. */
export const PACKAGES: readonly string[] = [
  'bind9-dnsutils',
  'curl',
  'dnsmasq-base',
  'fish',
  'groff',
  'haproxy',
  'iperf3',
  'man-db',
  'mandoc',
  'nghttp2-client',
  'nginx-light',
  'openssh-client',
  'openssh-server',
  'openssl',
  'postgresql',
  'prometheus',
  'python3-websockets',
  'redis-server',
  'redis-tools',
  'rsyslog',
  'zsh'
]
