import type { Box, Picture } from './svg.ts'

const A: Box = { x: 20, y: 60, width: 270, title: 'host a', lines: ['192.0.2.1'] }
const B: Box = { x: 470, y: 60, width: 270, title: 'host b', lines: ['192.0.2.2'] }
const C: Box = { x: 245, y: 330, width: 270, title: 'host c', lines: ['10.0.0.2, behind the NAT 192.0.2.3'] }

const WITHIN = { height: 160 }

/** The pictures of docs/tutorial.md. */
export const PICTURES: readonly Picture[] = [
  {
    name: 'two-hosts',
    title: 'Two hosts: curl on a reaches a web server on b, through the agents of both hosts',
    width: 760,
    height: 250,
    hosts: [
      { ...A, ...WITHIN, programs: ['curl', 'warren forward', 'agent: root key, admin key'] },
      { ...B, ...WITHIN, programs: ['python3 -m http.server', 'warren expose', 'agent'] }
    ],
    walls: [],
    arrows: [
      { from: [290, 180], to: [470, 180], kind: 'flow' },
      { from: [470, 210], to: [290, 210], kind: 'mesh' }
    ],
    words: [
      { at: [380, 154], text: 'one session, mutual TLS,', anchor: 'middle' },
      { at: [380, 170], text: 'to port 7461', anchor: 'middle' },
      { at: [380, 204], text: 'to port 7460', anchor: 'middle' }
    ],
    legend: 'Arrows point from the host that dials. Thick: the connections of workloads. Dashed: the mesh.'
  },
  {
    name: 'behind-nat',
    title: 'A third host behind a NAT: c dials the others, and they reach its workload all the same',
    width: 760,
    height: 540,
    hosts: [
      { ...A, ...WITHIN, programs: ['curl', 'warren forward', 'agent'] },
      { ...B, ...WITHIN, programs: ['examples/server', 'agent'] },
      { ...C, ...WITHIN, programs: ['python3 -m http.server', 'warren expose', 'agent'] }
    ],
    walls: [{ from: [20, 280], to: [740, 280], label: 'NAT: only what c begins passes' }],
    arrows: [
      { from: [470, 200], to: [290, 200], kind: 'mesh' },
      { from: [330, 330], to: [275, 220], kind: 'mesh' },
      { from: [300, 330], to: [240, 220], kind: 'flow' },
      { from: [430, 330], to: [485, 220], kind: 'mesh' },
      { from: [470, 330], to: [530, 220], kind: 'flow' }
    ],
    words: [
      { at: [268, 308], text: 'a to c: c dials when a asks', anchor: 'end' },
      { at: [500, 308], text: 'c to b: a connection of its own', anchor: 'start' }
    ],
    legend: 'Arrows point from the host that dials. Dashed: the mesh. Thick: connections of workloads.'
  }
]
