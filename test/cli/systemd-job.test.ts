import assert from 'node:assert/strict'
import test from 'node:test'
import { hasRestartJob, ownUnit } from '../../src/cli/systemd-job.ts'

test('an agent knows its unit by its control group', () => {
  assert.deepEqual(ownUnit('/system.slice/warren.service'), { name: 'warren.service', isOfUser: false })
  assert.deepEqual(ownUnit('/user.slice/user-1000.slice/user@1000.service/app.slice/warren.service'), {
    name: 'warren.service',
    isOfUser: true
  })
  for (const group of ['', '/', '/user.slice/user-0.slice/session-3.scope', '/docker/0123'])
    assert.equal(ownUnit(group), undefined)
})

test('a restart is told from a stop, and from the jobs of other units', () => {
  const jobs = '9 other.service restart waiting\n12 warren.service restart running\n'
  assert.equal(hasRestartJob(jobs, 'warren.service'), true)
  assert.equal(hasRestartJob(jobs, 'other.target'), false)
  assert.equal(hasRestartJob('12 warren.service stop running\n', 'warren.service'), false)
  assert.equal(hasRestartJob('12 warren.service.restart stop running\n', 'warren.service'), false)
  assert.equal(hasRestartJob('', 'warren.service'), false)
})
