import { counter, gauge } from './kinds.ts'

/** What the process of the agent uses. */
export const PROCESS_METRICS = Object.freeze({
  warren_process_cpu_seconds_total: counter({}, 'Processor time of the agent.'),
  warren_process_resident_memory_bytes: gauge({}, 'Memory of the agent.'),
  warren_process_open_fds: gauge({}, 'Open file descriptors; zero where the system does not report them.'),
  warren_process_max_fds: gauge(
    {},
    'Most file descriptors that the agent may have; zero where the system does not report it.'
  ),
  warren_process_start_time_seconds: gauge({}, 'When the agent started, Unix time.'),
  warren_nodejs_heap_size_used_bytes: gauge({}, 'Memory of the agent that holds JavaScript objects.'),
  warren_nodejs_external_memory_bytes: gauge({}, 'Memory of the agent that holds buffers.'),
  warren_nodejs_eventloop_lag_p99_seconds: gauge(
    {},
    'How late timers were, at the 99th percentile of the last one or two minutes.'
  ),
  warren_nodejs_eventloop_lag_max_seconds: gauge({}, 'How late the latest timer was, in the same time.')
})
