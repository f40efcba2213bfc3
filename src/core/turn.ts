type Task = () => void

let tasks: Task[] = []

/**
 * Runs `task` once, after all events of this turn of the event loop were handled, so that their output can leave
 * together. Tasks run in order; tasks that they add run as well.
 */
export function atEndOfTurn(task: Task): void {
  if (tasks.push(task) === 1) setImmediate(run)
}

function run(): void {
  let done = 0
  try {
    while (done < tasks.length) {
      const task = tasks[done] as Task
      done += 1
      task()
    }
  } finally {
    // A task that throws must not keep the others from running.
    tasks = tasks.slice(done)
    if (tasks.length > 0) setImmediate(run)
  }
}
