type Task = () => void

let tasks: Task[] = []

/**
 * Runs `task` once, when the events that the system has ready for this turn of the event loop were handled: what they
 * produced can then leave together. Tasks run in the order in which they came; what they add in turn still runs.
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
    // One that throws must not take the others with it.
    tasks = tasks.slice(done)
    if (tasks.length > 0) setImmediate(run)
  }
}
