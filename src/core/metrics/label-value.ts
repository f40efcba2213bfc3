/** The form of a text as a value of a label: words joined by underscores. */
export type LabelValue<Text extends string> = Text extends `${infer Word}${' ' | '-'}${infer Rest}`
  ? `${Word}_${LabelValue<Rest>}`
  : Text

/** A reason as it is written in logs ("process ended") as the value of a label ("process_ended"), as Prometheus has them. */
export function labelValue<Text extends string>(text: Text): LabelValue<Text> {
  return text.replace(/[ -]/g, '_') as LabelValue<Text>
}
