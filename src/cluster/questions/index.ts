export { collect } from './collect.ts'
export { type MeshQuestionsDeps, questionsOnMesh } from './mesh-questions.ts'
export { QUESTIONS_CAPABILITY } from './question.ts'
export type { AnswerContext, Answerer, QuestionSignature, Questions } from './questions.ts'
