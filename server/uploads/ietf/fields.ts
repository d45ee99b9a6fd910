/** Items of RFC 9651 (structured fields): the Booleans and Integers of the draft. Their parameters mean nothing here. */

const PARAMETERS =
  /(?:; *[a-z*][a-z0-9_\-.*]*(?:=(?:"(?:[^"\\]|\\["\\])*"|\?[01]|:[A-Za-z0-9+/=]*:|[A-Za-z0-9*+\-./_~^!#$%&'|`:@]+))?)*/;
const BOOLEAN = new RegExp(`^ *\\?([01])${PARAMETERS.source} *$`);
/** "Integers have a range of -999,999,999,999,999 to 999,999,999,999,999 inclusive" */
const INTEGER = new RegExp(`^ *(-?[0-9]{1,15})${PARAMETERS.source} *$`);

export const MAX_INTEGER = 999_999_999_999_999;

type Value = string | string[] | undefined;

/** `?1` and `?0`; undefined for anything else, and when the field came twice. */
export function parseBoolean(value: Value): boolean | undefined {
  const [, digit] = BOOLEAN.exec(String(value)) ?? [];
  return digit === undefined ? undefined : digit === '1';
}

/** A non-negative Integer; undefined for anything else. */
export function parseInteger(value: Value): number | undefined {
  const [, digits] = INTEGER.exec(String(value)) ?? [];
  return digits === undefined || digits.startsWith('-') ? undefined : Number(digits);
}

export const formatBoolean = (value: boolean): string => (value ? '?1' : '?0');

/** A Dictionary of Integers; members without a value are left out. */
export function formatIntegers(members: Record<string, number | undefined>): string {
  return Object.entries(members)
    .flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${Math.min(value, MAX_INTEGER)}`]))
    .join(', ');
}
