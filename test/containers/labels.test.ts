import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { asRoot, needsCommand, scopeOf } from '../harness/index.ts'
import { bootWithAgent } from './support/kernel.ts'

const skip =
  asRoot.skip === false
    ? process.env['TEST_CONTAINERS'] !== 'yes' && 'is asked for by npm run test:containers'
    : asRoot.skip

/** Registers with the label in its first argument, and prints in one line what came of it. */
const REGISTER = `
register() {
  echo "$1: $(as "$2" curl -s --max-time 60 --unix-socket /run/warren/agent.sock -H 'content-type: application/json' \\
    -d '{"address":"dev.web.site.default"}' http://localhost/warren.api.v1.WorkloadService/Register)"
}
call admin.sock AdminService/SetStrict '{"strict":true}'
`

const PROFILES = `
profile wt-web flags=(attach_disconnected) { /** mrwlkix, capability, network, unix, ptrace, signal, }
profile wt-other flags=(attach_disconnected) { /** mrwlkix, capability, network, unix, ptrace, signal, }
profile wt-loose flags=(attach_disconnected, complain) { /** mrwlkix, }
`

test('a profile of AppArmor counts while a kernel enforces it, and a confined process takes no other', {
  skip
}, async t => {
  if (!['linux.uml', 'apparmor_parser', 'curl'].every(one => needsCommand(t, one))) return
  const scope = scopeOf(t)
  const profiles = join(scope.directory(), 'profiles')
  writeFileSync(profiles, PROFILES)
  const module = {
    name: 'apparmor',
    setUp: `mount -t securityfs security /sys/kernel/security
apparmor_parser --replace --skip-cache --config-file=/dev/null ${profiles}`,
    takeLabel: 'echo "exec $1" > /proc/self/attr/apparmor/exec'
  } as const
  const said = await bootWithAgent(
    scope,
    module,
    `${REGISTER}
call admin.sock AdminService/AddEntry '{"entry":{"uid":0,"apparmor":"wt-web","narrowGrants":"dev.web.site.default"}}'
for label in wt-web wt-loose wt-other unconfined; do register "$label" "$label"; done
as wt-other sh -c 'echo "exec wt-web" > /proc/self/attr/apparmor/exec; echo "change: $?"'`
  )
  assert.match(said, /^wt-web: \{"token"/m)
  assert.match(said, /^wt-loose: .*PERMISSION_DENIED.*its AppArmor profile is not established/m)
  assert.match(said, /^wt-other: .*PERMISSION_DENIED.*its AppArmor profile is wt-other/m)
  assert.match(said, /^unconfined: .*PERMISSION_DENIED.*its AppArmor profile is not established/m)
  assert.match(said, /^change: [1-9]/m)
})

const TYPES = ['wt_base_t', 'wt_web_t', 'wt_other_t']
// In the order of the kernel.
const SIDS =
  'kernel security unlabeled fs file file_labels init any_socket port netif netmsg node igmp_packet icmp_socket tcp_socket sysctl_modprobe sysctl sysctl_fs sysctl_kernel sysctl_net sysctl_net_unix sysctl_vm sysctl_dev kmod policy scmp_packet devnull'.split(
    ' '
  )
const PERMISSIONS =
  'fork transition sigchld sigkill sigstop signull signal ptrace getsched setsched getsession getpgid setpgid getcap setcap share getattr setexec setfscreate noatsecure siginh setrlimit rlimitinh dyntransition setcurrent execmem execstack execheap setkeycreate setsockcreate getrlimit'
/** A policy that knows processes alone, and in which one of the types may become another one. */
const POLICY = `class process
${SIDS.map(name => `sid ${name}`).join('\n')}
class process { ${PERMISSIONS} }
${TYPES.map(name => `type ${name};`).join('\n')}
role system_r;
role system_r types { ${TYPES.join(' ')} };
allow wt_base_t { ${TYPES.join(' ')} }:process *;
allow { wt_web_t wt_other_t } { ${TYPES.join(' ')} }:process ~{ transition dyntransition };
user system_u roles system_r;
${SIDS.map(name => `sid ${name} system_u:system_r:wt_base_t`).join('\n')}
`

test('a label of SELinux counts while a kernel enforces it, and a confined process takes no other', {
  skip
}, async t => {
  if (!['linux.uml', 'checkpolicy', 'curl'].every(one => needsCommand(t, one))) return
  const scope = scopeOf(t)
  const [source, policy] = [join(scope.directory(), 'policy.conf'), join(scope.directory(), 'policy')]
  writeFileSync(source, POLICY)
  execFileSync('checkpolicy', ['-U', 'allow', '-c', '33', '-o', policy, source])
  const module = {
    name: 'selinux',
    setUp: `mount -t selinuxfs selinux /sys/fs/selinux
cat ${policy} > /sys/fs/selinux/load`,
    takeLabel: 'printf "system_u:system_r:$1" > /proc/self/attr/current'
  } as const
  const entry = '{"uid":0,"selinux":"system_u:system_r:wt_web_t","narrowGrants":"dev.web.site.default"}'
  const said = await bootWithAgent(
    scope,
    module,
    `${REGISTER}
call admin.sock AdminService/AddEntry '{"entry":${entry}}'
register permissive wt_web_t
echo 1 > /sys/fs/selinux/enforce
for label in wt_web_t wt_other_t; do register "$label" "$label"; done
as wt_other_t sh -c 'printf system_u:system_r:wt_web_t > /proc/self/attr/current; echo "change: $?"'`
  )
  assert.match(said, /^permissive: .*PERMISSION_DENIED.*its SELinux label is not established/m)
  assert.match(said, /^wt_web_t: \{"token"/m)
  assert.match(said, /^wt_other_t: .*PERMISSION_DENIED.*its SELinux label is system_u:system_r:wt_other_t/m)
  assert.match(said, /^change: [1-9]/m)
})
