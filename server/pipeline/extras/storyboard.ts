/** Where the tiles of a storyboard lie, in time and on their sheets. Pure. */
import type { StoryboardDetails } from '../../media/output.ts';
import type { Size } from '../encode/filters.ts';

/** Tiles of the longest film, and seconds between those of a short one: so often rungs have key frames. */
export const MAX_TILES = 100;
const SHORTEST_INTERVAL = 2;
/** Pixels of a tile at most: wide ones on a sheet of 1200 x 675. */
const LONG_SIDE = 240;
const SHORT_SIDE = 135;
export const TILE_PIXELS = LONG_SIDE * SHORT_SIDE;
/** A sheet has 5 rows of 5, so that the first tiles are there before the whole film's. */
const PER_ROW = 5;
const PER_SHEET = PER_ROW * PER_ROW;

/** Plans a storyboard for a video of this duration (seconds) and shape. `times` is what each tile shows. */
export function planStoryboard(duration: number, video: Size): StoryboardDetails & { times: number[] } {
  const interval = Math.max(duration / MAX_TILES, SHORTEST_INTERVAL);
  const tiles = Math.max(1, Math.min(MAX_TILES, Math.ceil(duration / interval)));
  const times = Array.from({ length: tiles }, (_, n) => {
    const end = Math.min(duration, (n + 1) * interval);
    return (n * interval + end) / 2;
  });
  const columns = Math.min(PER_ROW, tiles);
  return { interval, tiles, ...tileSize(video), columns, sheets: Math.ceil(tiles / PER_SHEET), times };
}

function tileSize({ width, height }: Size): Size {
  const [box, other] = width >= height ? [LONG_SIDE, SHORT_SIDE] : [SHORT_SIDE, LONG_SIDE];
  const scale = Math.min(1, box / width, other / height);
  return { width: even(width * scale), height: even(height * scale) };
}

const even = (length: number): number => Math.max(2, Math.round(length / 2) * 2);

/** What lies on a sheet (from 0): its first tile, how many, and in how many columns and rows. */
export function sheetOf(
  { tiles, columns }: Pick<StoryboardDetails, 'tiles' | 'columns'>,
  sheet: number,
): { first: number; tiles: number; columns: number; rows: number } {
  const first = sheet * PER_SHEET;
  const here = Math.min(PER_SHEET, tiles - first);
  return { first, tiles: here, columns, rows: Math.ceil(here / columns) };
}

/** The last of them (in order of time) that is not after `time`, else the first. Throws when there is none. */
export function nearestBefore<T extends { time: number }>(frames: readonly T[], time: number): T {
  const frame = frames.findLast((f) => f.time <= time) ?? frames[0];
  if (!frame) throw new Error('a storyboard needs a frame');
  return frame;
}

/** WebVTT whose cues name a part of a sheet by a media fragment (W3C Media Fragments, 4.2.2: `xywh=x,y,w,h`). */
export function storyboardVtt(plan: StoryboardDetails, duration: number): string {
  const cues = Array.from({ length: plan.tiles }, (_, n) => {
    const sheet = Math.floor(n / PER_SHEET);
    const place = n - sheetOf(plan, sheet).first;
    const x = (place % plan.columns) * plan.width;
    const y = Math.floor(place / plan.columns) * plan.height;
    const end = n + 1 === plan.tiles ? duration : (n + 1) * plan.interval;
    return [
      `${vttTime(n * plan.interval)} --> ${vttTime(end)}`,
      `storyboard-${sheet + 1}.webp#xywh=${x},${y},${plan.width},${plan.height}`,
    ].join('\n');
  });
  return `WEBVTT\n\n${cues.join('\n\n')}\n`;
}

/** `hh:mm:ss.ttt` (WebVTT, 4.1: timestamp). */
export function vttTime(seconds: number): string {
  const ms = Math.round(seconds * 1000);
  const two = (n: number): string => String(Math.floor(n)).padStart(2, '0');
  return `${two(ms / 3_600_000)}:${two((ms / 60_000) % 60)}:${two((ms / 1000) % 60)}.${String(ms % 1000).padStart(3, '0')}`;
}
