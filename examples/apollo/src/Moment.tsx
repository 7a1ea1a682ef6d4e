const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** Moment shows a Time of the schema in the local time zone. */
export function Moment({ time }: { time: string }) {
  return <time dateTime={time}>{format.format(new Date(time))}</time>;
}
