export { type MeshQuestionsDeps, questionsOnMesh } from './mesh-questions.ts'
export { QUESTIONS_CAPABILITY } from './question.ts'
export type { Answerer, Questions } from './questions.ts'
