import { v7 } from 'uuid';

/** A new identifier: UUIDv7 (RFC 9562), so that sorting by id is sorting by creation. */
export const newId = (): string => v7();

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** True for what `newId` makes. Ids come from URLs and become storage keys: check before use. */
export const isId = (value: string): boolean => UUID.test(value);
