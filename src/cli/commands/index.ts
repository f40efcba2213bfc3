import type { Command } from 'commander'
import { addAdmin } from './admin.ts'
import { addAdmit } from './admit.ts'
import { addAudit } from './audit.ts'
import { addAuthority } from './authority.ts'
import { addBackup, addRestore } from './backup.ts'
import { addClock } from './clock.ts'
import { addCompletion } from './completion.ts'
import { addConfig } from './config.ts'
import { addConnect } from './connect.ts'
import { addConsole } from './console.ts'
import { addDeregister } from './deregister.ts'
import { addDns } from './dns.ts'
import { addDoctor } from './doctor.ts'
import { addDrain } from './drain.ts'
import { addEntry } from './entry.ts'
import { addEvents } from './events.ts'
import { addEvict, addRevoke, addUnrevoke } from './evict.ts'
import { addExplain } from './explain.ts'
import { addExpose } from './expose.ts'
import { addFlows } from './flows.ts'
import { addForward } from './forward.ts'
import { addInspect } from './inspect.ts'
import { addMembers } from './members.ts'
import { addMetrics } from './metrics.ts'
import { addOidc } from './oidc.ts'
import { addPolicy } from './policy.ts'
import { addProxy } from './proxy.ts'
import { addWhatCan, addWhoCanReach } from './reach.ts'
import { addRegister } from './register.ts'
import { addReload } from './reload.ts'
import { addRoot } from './root.ts'
import { addAllow, addDeny } from './rule.ts'
import { addRun } from './run.ts'
import { addServe } from './serve.ts'
import { addServices } from './services.ts'
import { addStatus } from './status.ts'
import { addSvid } from './svid.ts'
import { addToken } from './token.ts'
import { addTop } from './top.ts'
import { addUp } from './up.ts'
import { addUpgrade } from './upgrade.ts'

/** Every command, under its heading of the help. A new one is a file of this folder, and its name here. */
export const COMMAND_GROUPS: ReadonlyArray<readonly [heading: string, ReadonlyArray<(program: Command) => void>]> = [
  [
    'Host:',
    [
      addUp,
      addToken,
      addAdmit,
      addStatus,
      addMembers,
      addTop,
      addMetrics,
      addEvents,
      addAudit,
      addDoctor,
      addConsole,
      addDrain,
      addConfig,
      addReload,
      addUpgrade,
      addCompletion
    ]
  ],
  [
    'Workloads:',
    [
      addServices,
      addFlows,
      addServe,
      addConnect,
      addExpose,
      addForward,
      addProxy,
      addDns,
      addRun,
      addRegister,
      addDeregister,
      addInspect,
      addSvid,
      addOidc
    ]
  ],
  ['Policy:', [addAllow, addDeny, addPolicy, addExplain, addWhoCanReach, addWhatCan, addEntry, addAdmin]],
  ['Trust:', [addAuthority, addEvict, addRevoke, addUnrevoke, addRoot, addBackup, addRestore, addClock]]
]
