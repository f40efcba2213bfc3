export { collect } from './collect.ts'
export { type MeshQuestionsDeps, questionsOnMesh } from './mesh-questions.ts'
export { CAPABILITY_FOR, HOST_QUESTIONS_CAPABILITY, QUESTIONS_CAPABILITY } from './question.ts'
export type { AnswerContext, Answerer, QuestionSignature, QuestionSigner, Questions } from './questions.ts'
