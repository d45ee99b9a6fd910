/**
 * Gives events to subscribers: first what they missed, then what comes, without a gap or a repetition.
 *
 * Event ids become visible in order (see `emit`), so a subscriber is nothing but a position: the id up to which
 * it has everything. One loop reads the table's end once for all subscribers that are up to date, and a page for
 * each that is behind: because it is new, or because it is slow. So nothing is buffered, and a slow reader
 * costs no memory however far it falls behind.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from '../../db/dialect.ts';
import { onCommit } from '../../db/transaction.ts';
import type { EventRow } from '../../db/schema.ts';
import type { Logger } from '../telemetry.ts';
import { createBell } from './bell.ts';
import { eventsAfter, lastEventId, type EventFilter } from './events.ts';

export interface SubscribeOptions {
  filter: EventFilter;
  /** Everything after this event; by default, what comes after `subscribe` was called. */
  afterId?: number | undefined;
  /** Gets events in order. The next ones follow when its promise has resolved; a rejection ends the subscription. */
  onEvents(events: EventRow[]): void | Promise<void>;
  /** The feed ends the subscription: it was closed, or `onEvents` failed. Not called after `close`. */
  onEnd(): void;
}

export interface Subscription {
  close(): void;
}

export interface Feed {
  /** Resolves when nothing that is committed from now on can be missed. */
  subscribe(options: SubscribeOptions): Promise<Subscription>;
  /** Ends all subscriptions. */
  close(): void;
}

interface Reader extends SubscribeOptions {
  position: number;
  /** Has not finished with what it got. */
  busy: boolean;
}

export interface FeedOptions {
  logger?: Logger;
  /** How often to look for events of other processes; those of this one are seen at once. */
  pollMs?: number;
  /** After an error of the database. */
  retryMs?: number;
}

const PAGE = 500;

/** Reads the database only while somebody is subscribed. */
export function createFeed(db: Db, options: FeedOptions = {}): Feed {
  const { logger, pollMs = 500, retryMs = 2_000 } = options;
  const readers = new Set<Reader>();
  const bell = createBell();
  /** The id up to which the loop has read. */
  let end = 0;
  let looping = false;
  let closed = false;

  const drop = (reader: Reader): void => {
    if (readers.delete(reader)) reader.onEnd();
  };
  const give = (reader: Reader, events: EventRow[], position: number): void => {
    reader.position = Math.max(reader.position, position);
    if (!events.length || !readers.has(reader)) return;
    reader.busy = true;
    void (async () => reader.onEvents(events))().then(
      () => {
        reader.busy = false;
        if (reader.position < end) bell.ring();
      },
      (error: unknown) => {
        logger?.debug({ err: error }, 'a reader of events failed');
        drop(reader);
      },
    );
  };

  /** One page for each reader that is behind and ready. */
  const catchUp = async (): Promise<void> => {
    for (const reader of readers) {
      if (reader.busy || reader.position >= end) continue;
      const events = await eventsAfter(db, reader.position, reader.filter, PAGE);
      const last = events.at(-1)?.id ?? 0;
      give(reader, events, events.length < PAGE ? Math.max(end, last) : last);
    }
  };
  /** What is new, for those who are up to date. */
  const follow = async (): Promise<void> => {
    const events = await eventsAfter(db, end, {}, PAGE);
    const before = end;
    end = events.at(-1)?.id ?? end;
    for (const reader of readers) {
      if (reader.busy || reader.position < before) continue;
      const { position, filter } = reader;
      give(
        reader,
        events.filter((event) => event.id > position && matches(event, filter)),
        end,
      );
    }
    if (events.length === PAGE) bell.ring();
  };
  const loop = async (): Promise<void> => {
    const silence = onCommit(db, bell.ring);
    let started = false;
    while (readers.size)
      try {
        if (!started) end = await lastEventId(db);
        started = true;
        await catchUp();
        await follow();
        await bell.wait(pollMs);
      } catch (error) {
        if (!readers.size) break;
        logger?.error({ err: error }, 'events can not be read; trying again');
        await sleep(retryMs); // positions stand: nothing is lost
      }
    silence();
  };
  const keepLooping = (): void => {
    bell.ring();
    if (looping) return;
    looping = true;
    void loop().finally(() => {
      looping = false;
      if (readers.size) keepLooping();
    });
  };

  return {
    async subscribe(options) {
      const last = await lastEventId(db);
      const reader = { ...options, position: Math.min(options.afterId ?? last, last), busy: false };
      if (closed) {
        options.onEnd();
        return { close: () => undefined };
      }
      readers.add(reader);
      keepLooping();
      return {
        close() {
          readers.delete(reader);
          bell.ring();
        },
      };
    },
    close() {
      closed = true;
      for (const reader of readers) drop(reader);
      bell.ring();
    },
  };
}

const matches = (event: EventRow, filter: EventFilter): boolean =>
  (filter.owner === undefined || filter.owner === event.owner) &&
  (filter.mediaId === undefined || filter.mediaId === event.mediaId);
