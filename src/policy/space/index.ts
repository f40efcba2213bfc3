export { type Box, DESTINATION_SCOPE, intersection, PROTOCOL, SOURCE_SCOPE } from './box.ts'
export { type Budget, BudgetSpent, Cover } from './cover.ts'
export { ANY_NAME, common, includes, namesOfMatcher, pick, theNames, without } from './names.ts'
