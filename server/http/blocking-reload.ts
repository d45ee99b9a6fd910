/**
 * Blocking playlist reload (draft-pantos-hls-rfc8216bis, section 6.2.5.2): a player asks for a playlist that has the next segment, and gets
 * it as soon as that is there, in place of asking again and again and always too late.
 */
import type { Request, Response } from 'express';
import { z } from 'zod';
import { AppError } from '../errors.ts';
import { SEGMENT_SECONDS } from '../hls/media-playlist.ts';
import { FIRST_SEQUENCE } from '../hls/playlist.ts';
import type { Growth } from '../media/growth.ts';
import { readQuery } from './input.ts';

/**
 * The draft would answer 503 after three target durations; players take that for a failure, and wait 10 s at most. So after one
 * they get the playlist as it is, and come again by themselves.
 */
const HOLD_MS = SEGMENT_SECONDS * 1000;
/** A player that asks for more than the one after the next has lost its way. */
const MOST_AHEAD = 2;

const number = z.string().regex(/^\d{1,9}$/, 'must be a whole number');
const DIRECTIVES = z
  .object({ _HLS_msn: number.transform(Number).optional(), _HLS_part: number.optional() })
  .refine(({ _HLS_msn, _HLS_part }) => _HLS_part === undefined || _HLS_msn !== undefined, {
    path: ['_HLS_part'],
    message: 'needs _HLS_msn',
  });

/** Creates the holder of requests for the playlist of a growing output. */
export function createBlockingReload(growth: Growth) {
  /**
   * Holds the request until there is a playlist that it waits for; false when it does not wait. `segments`: how many there are now.
   * Throws AppError 400 for directives that make no sense.
   */
  return async function hold(
    req: Request,
    res: Response,
    rendition: { outputId: string; rendition: string; segments: number },
  ): Promise<boolean> {
    const { _HLS_msn: wanted } = readQuery(req, DIRECTIVES);
    const last = FIRST_SEQUENCE + rendition.segments - 1;
    if (wanted === undefined || wanted <= last) return false;
    if (wanted > last + MOST_AHEAD)
      throw new AppError(
        400,
        'too_far_ahead',
        `Segment ${wanted} is far from being made: the last one is ${last}. Load the playlist without _HLS_msn.`,
      );
    res.locals.route = `${String(res.locals.route)} (held)`; // its time says nothing about the server's
    const enough = new AbortController();
    const answer = (): void => enough.abort();
    const timer = setTimeout(answer, HOLD_MS);
    res.once('close', answer);
    const { segments: first, ...which } = rendition;
    await growth.reaches({ ...which, first, last: wanted - FIRST_SEQUENCE }, enough.signal);
    clearTimeout(timer);
    res.off('close', answer);
    return true;
  };
}
