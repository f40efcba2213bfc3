/** A text as the value of a label: words joined by underscores. */
export type LabelValue<Text extends string> = Text extends `${infer Word}${' ' | '-'}${infer Rest}`
  ? `${Word}_${LabelValue<Rest>}`
  : Text

/**
 * Converts a reason as in logs ("process ended") to the value of a label ("process_ended"), as is usual in Prometheus.
 */
export function labelValue<Text extends string>(text: Text): LabelValue<Text> {
  return text.replace(/[ -]/g, '_') as LabelValue<Text>
}
