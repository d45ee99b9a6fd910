/**
 * Holds a finished HLS tree against Apple's "HLS Authoring Specification for Apple Devices" and RFC 8216. It
 * reads playlists with hls-parser and media with ffprobe: nothing of the code that wrote them.
 */
import { execa } from 'execa';
import { parse, type types } from 'hls-parser';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

type Media = types.MediaPlaylist;

interface Packet {
  pts: number;
  dts: number;
  duration: number;
  key: boolean;
}

export interface Track {
  name: string;
  playlist: Media;
  packets: Packet[];
  /** Bytes of each segment. */
  sizes: number[];
  frameRate: number;
  /** What CODECS must begin with, of a picture. */
  codecs: string | undefined;
}

export interface Checked {
  /** Rules that are broken; empty when all is well. */
  broken: string[];
  video: Track[];
  audio: Track[];
}

const TARGET = 6;
/** One AAC frame at 48 kHz. */
const AUDIO_FRAME = 1024 / 48_000;

/**
 * What a picture is: ours; or the source's own, whose key frames lie where they lie: as a rung for good, or for a while,
 * with segments as long as they make them.
 */
export type Origin = 'encoded' | 'kept' | 'copied';

/** Checks the tree whose multivariant playlist is `root`/index.m3u8. Tracks are named `output/rendition`. */
export async function checkHls(
  root: string,
  originOf: (name: string) => Origin = () => 'encoded',
): Promise<Checked> {
  const broken: string[] = [];
  const must = (ok: boolean, rule: string): void => void (ok || broken.push(rule));
  const text = await readFile(join(root, 'index.m3u8'), 'utf8');
  const multi = parse(text) as types.MasterPlaylist;
  must(multi.isMasterPlaylist, 'index.m3u8 is a multivariant playlist');
  must(multi.independentSegments === true, 'EXT-X-INDEPENDENT-SEGMENTS');

  const iframes = multi.variants.filter((v) => v.isIFrameOnly);
  multi.variants = multi.variants.filter((v) => !v.isIFrameOnly);
  const renditions = [
    ...new Map(multi.variants.flatMap((v) => v.audio.map((a) => [a.uri, a] as const))).values(),
  ];
  const tracks = new Map<string, Track>();
  for (const uri of [...multi.variants, ...renditions].map((v) => v.uri!))
    if (!tracks.has(uri)) tracks.set(uri, await readTrack(root, uri));
  const own = (track: Track): Origin => (track.frameRate ? originOf(track.name) : 'encoded');
  for (const track of tracks.values()) checkTrack(track, own(track), must);
  for (const variant of multi.variants) checkVariant(variant, tracks, own(tracks.get(variant.uri)!), must);
  must(
    iframes.length === multi.variants.filter((v) => v.resolution).length,
    'an I-frame playlist for every picture',
  );
  for (const variant of iframes) await checkIFrames(root, variant, must);
  checkRenditions(text, renditions, must);
  if (renditions.length || multi.variants.some((v) => !v.resolution))
    must(
      multi.variants.some((v) => v.bandwidth <= 192_000),
      'a variant of at most 192 kb/s',
    );

  const shown = new Set(multi.variants.filter((v) => v.resolution).map((v) => v.uri));
  const video = [...shown].map((uri) => tracks.get(uri)!);
  const audio = [...tracks.entries()].filter(([uri]) => !shown.has(uri)).map(([, track]) => track);
  checkRates(multi.variants, originOf, must);
  checkAlignment(video, audio, originOf, must);
  return { broken, video, audio };
}

type Must = (ok: boolean, rule: string) => void;

function checkTrack({ name, playlist, packets, frameRate }: Track, origin: Origin, must: Must): void {
  const encoded = origin === 'encoded';
  const lasting = origin !== 'copied';
  must(playlist.playlistType === 'VOD', `${name}: EXT-X-PLAYLIST-TYPE:VOD`);
  must(playlist.endlist, `${name}: EXT-X-ENDLIST`);
  must(playlist.segments.length > 0, `${name}: has segments`);
  must(!lasting || playlist.targetDuration === TARGET, `${name}: target duration 6`);
  for (const s of playlist.segments) {
    must(!!s.map?.uri, `${name}: EXT-X-MAP`);
    must(Math.round(s.duration) <= playlist.targetDuration, `${name}: ${s.uri} rounds to the target at most`);
    must(!lasting || s.duration <= TARGET + 0.5, `${name}: ${s.uri} exceeds the target by at most 0.5 s`);
  }
  const total = sum(playlist.segments.map((s) => s.duration));
  const length = Math.max(...packets.map((p) => p.pts + p.duration)) - Math.min(...packets.map((p) => p.pts));
  // FFmpeg leaves what fills the last AAC frame out of EXTINF, and rounds each piece of a second to microseconds; Matroska says when
  // pictures begin but not when they end.
  const tolerance = !frameRate ? AUDIO_FRAME + 1e-6 * total : encoded ? 0.002 : 1 / frameRate;
  must(Math.abs(total - length) < tolerance, `${name}: EXTINF sum ${total} is its length ${length}`);
  for (let i = 1; i < packets.length; i++)
    if (Math.abs(packets[i]!.dts - packets[i - 1]!.dts - packets[i - 1]!.duration) > 0.001)
      must(false, `${name}: decode times go on without a hole at packet ${i}`);
  if (frameRate) checkKeyFrames(name, playlist, packets, encoded ? frameRate : undefined, must);
}

/** `fps` of pictures that we encoded. */
function checkKeyFrames(
  name: string,
  playlist: Media,
  packets: Packet[],
  fps: number | undefined,
  must: Must,
): void {
  must((fps ?? 0) <= 60.01, `${name}: at most 60 frames per second`);
  const keys = packets.filter((p) => p.key).map((p) => p.pts);
  for (let i = 1; i < keys.length && fps; i++)
    must(
      keys[i]! - keys[i - 1]! < 2 + 1 / fps,
      `${name}: a key frame every 2 s, not ${keys[i]! - keys[i - 1]!}`,
    );
  let at = packets[0]!.pts;
  for (const s of playlist.segments) {
    must(
      keys.some((k) => Math.abs(k - at) < 0.002),
      `${name}: ${s.uri} starts with a key frame at ${at}`,
    );
    at += s.duration;
  }
}

function checkVariant(v: types.Variant, tracks: Map<string, Track>, origin: Origin, must: Must): void {
  const track = tracks.get(v.uri)!;
  must(!!v.codecs, `${v.uri}: CODECS`);
  must(!!v.averageBandwidth, `${v.uri}: AVERAGE-BANDWIDTH`);
  if (v.resolution) {
    // The source's own clock may count in milliseconds.
    const tolerance = origin === 'encoded' ? 0.002 : track.frameRate / 1000;
    must(
      !!v.frameRate && Math.abs(v.frameRate - track.frameRate) < tolerance,
      `${v.uri}: FRAME-RATE ${v.frameRate}`,
    );
    must(v.closedCaptions?.length === 0 || v.closedCaptions === undefined, `${v.uri}: CLOSED-CAPTIONS=NONE`);
    must(
      v.codecs!.split(',')[0]!.startsWith(track.codecs!),
      `${v.uri}: CODECS ${v.codecs} says what is coded`,
    );
    must(v.resolution.width % 2 === 0 && v.resolution.height % 2 === 0, `${v.uri}: even sides`);
  }
  const sounds = v.resolution ? v.audio.map((a) => tracks.get(a.uri!)!) : [];
  const average = averageOf(track) + Math.max(0, ...sounds.map(averageOf));
  const peak = peakOf(track) + Math.max(0, ...sounds.map(peakOf));
  must(
    near(v.averageBandwidth ?? 0, average),
    `${v.uri}: AVERAGE-BANDWIDTH ${v.averageBandwidth}, measured ${average}`,
  );
  must(near(v.bandwidth, peak), `${v.uri}: BANDWIDTH ${v.bandwidth}, measured ${peak}`);
  must(v.bandwidth >= (v.averageBandwidth ?? 0), `${v.uri}: the peak is not below the average`);
}

/** Every picture of an I-frame playlist decodes by itself, from the bytes that the playlist names. */
async function checkIFrames(root: string, v: types.Variant, must: Must): Promise<void> {
  const folder = join(root, dirname(v.uri));
  const text = await readFile(join(root, v.uri), 'utf8');
  const { segments, isIFrame, playlistType, endlist, targetDuration } = parse(text) as Media;
  must(!!isIFrame && endlist && playlistType === 'VOD', `${v.uri}: finished, of I-frames only`);
  must(!!v.codecs && !!v.resolution, `${v.uri}: CODECS and RESOLUTION`);
  const whole = parse(await readFile(join(folder, 'index.m3u8'), 'utf8')) as Media;
  const length = (all: Media['segments']): number => sum(all.map((s) => s.duration));
  must(Math.abs(length(segments) - length(whole.segments)) < 0.01, `${v.uri}: as long as the pictures`);
  must(
    segments.every((s) => Math.round(s.duration) <= targetDuration),
    `${v.uri}: none lasts longer than the target`,
  );
  const bits = sum(segments.map((s) => s.byterange.length)) * 8;
  must(near(v.averageBandwidth ?? 0, bits / length(segments)), `${v.uri}: AVERAGE-BANDWIDTH`);
  must(
    segments.every((s) => v.bandwidth >= (s.byterange.length * 8) / Math.max(1, targetDuration * 1.5)),
    `${v.uri}: BANDWIDTH`,
  );
  const init = await readFile(join(folder, 'init.mp4'));
  for (const s of new Set([segments[0]!, segments.at(-1)!])) {
    const { offset, length: size } = s.byterange;
    const bytes = (await readFile(join(folder, s.uri))).subarray(offset, offset + size);
    const options = ['-v', 'error', '-i', 'pipe:0', '-frames:v', '1', '-f', 'framecrc', '-'];
    const decoded = await execa('ffmpeg', options, { input: Buffer.concat([init, bytes]), reject: false });
    must(/^0,/m.test(decoded.stdout), `${v.uri}: the picture in ${s.uri} decodes: ${decoded.stderr}`);
  }
}

function checkRenditions(text: string, renditions: types.Rendition[], must: Must): void {
  for (const line of text
    .split('\n')
    .filter((l) => l.startsWith('#EXT-X-STREAM-INF') && l.includes('RESOLUTION')))
    must(
      line.includes('CLOSED-CAPTIONS=NONE') && line.includes('VIDEO-RANGE=SDR'),
      'CLOSED-CAPTIONS=NONE and VIDEO-RANGE on every variant with video',
    );
  for (const r of renditions) {
    must(!!r.language, `${r.uri}: LANGUAGE`);
    must(r.channels === '2', `${r.uri}: stereo`);
  }
  must(new Set(renditions.map((r) => r.name)).size === renditions.length, 'names of renditions differ');
  if (renditions.length)
    must(renditions.filter((r) => r.isDefault).length === 1, 'one rendition is the default');
}

/** Where the rates are not the encoder's: at most twice the average. */
function checkRates(variants: types.Variant[], originOf: (name: string) => Origin, must: Must): void {
  for (const { uri, resolution, bandwidth, averageBandwidth = 0 } of variants)
    if (resolution && originOf(dirname(uri)) === 'kept')
      must(bandwidth <= 2 * averageBandwidth, `${uri}: the peak is at most twice the average`);
}

function checkAlignment(
  video: Track[],
  audio: Track[],
  originOf: (name: string) => Origin,
  must: Must,
): void {
  const encoded = video.filter(({ name }) => originOf(name) === 'encoded');
  const [first] = video;
  if (!first) return;
  const cuts = (t: Track): string => t.playlist.segments.map((s) => s.duration.toFixed(2)).join();
  const starts = (t: Track): number[] =>
    t.playlist.segments.map((_, n) => sum(t.playlist.segments.slice(0, n).map((s) => s.duration)));
  for (const track of encoded)
    must(cuts(track) === cuts(encoded[0]!), `${track.name}: is cut where ${encoded[0]!.name} is`);
  for (const { name, packets } of video)
    must(Math.abs(packets[0]!.pts - first.packets[0]!.pts) < 0.05, `${name}: begins when ${first.name} does`);
  const start = first.packets[0]!.pts;
  for (const track of audio) {
    const { name, packets, playlist } = track;
    // Its first one has the first two of the rungs, or three where it is that of a picture that is taken over as it is.
    const from = originOf(name) === 'encoded' ? 0.9 : 1.9;
    const wanted = encoded[0] && starts(encoded[0]).filter((time) => time === 0 || time > from);
    must(
      !wanted ||
        (playlist.segments.length === wanted.length &&
          starts(track).every((time, n) => Math.abs(time - wanted[n]!) < 0.1)),
      `${name}: is cut where ${encoded[0]?.name} is, at ${String(wanted)}, not at ${String(starts(track))}`,
    );
    // The encoder's priming is one frame before the first sound.
    const sound = packets[0]!.pts + AUDIO_FRAME;
    must(Math.abs(sound - start) <= 0.1, `${name}: sound begins at ${sound}, picture at ${start}`);
    const ends = [first.packets, packets].map((all) => Math.max(...all.map((p) => p.pts + p.duration)));
    must(
      Math.abs(ends[0]! - ends[1]!) < 0.1,
      `${name}: sound and picture have the same span (${ends.join(', ')})`,
    );
  }
}

async function readTrack(root: string, uri: string): Promise<Track> {
  const folder = join(root, dirname(uri));
  const playlist = parse(await readFile(join(root, uri), 'utf8')) as Media;
  const sizes = await Promise.all(playlist.segments.map(async (s) => (await stat(join(folder, s.uri))).size));
  const init = await readFile(join(folder, playlist.segments[0]!.map.uri));
  const bodies = await Promise.all(playlist.segments.map((s) => readFile(join(folder, s.uri))));
  const dir = await mkdtemp(join(tmpdir(), 'millrace-hls-'));
  try {
    const file = join(dir, 'whole.mp4');
    await writeFile(file, Buffer.concat([init, ...bodies]));
    return { name: dirname(uri), playlist, sizes, ...(await inspect(file)) };
  } finally {
    await rm(dir, { recursive: true });
  }
}

async function inspect(file: string): Promise<Pick<Track, 'packets' | 'frameRate' | 'codecs'>> {
  const { stdout } = await execa('ffprobe', [
    ...['-v', 'error', '-of', 'json', '-show_data'],
    ...[
      '-show_entries',
      'packet=pts_time,dts_time,duration_time,flags:stream=codec_type,codec_tag_string,profile,level,avg_frame_rate,extradata',
    ],
    file,
  ]);
  const { packets, streams } = JSON.parse(stdout) as {
    packets: { pts_time: string; dts_time: string; duration_time?: string; flags: string }[];
    streams: Stream[];
  };
  const [top = 0, bottom = 1] = streams[0]!.avg_frame_rate.split('/').map(Number);
  const isVideo = streams[0]!.codec_type === 'video';
  // ffprobe forgets those of the first AV1 pictures, and of sounds.
  const usual = isVideo ? bottom / top : AUDIO_FRAME;
  return {
    packets: packets.map((p) => ({
      pts: Number(p.pts_time),
      dts: Number(p.dts_time),
      duration: Number(p.duration_time ?? usual),
      key: p.flags.startsWith('K'),
    })),
    frameRate: isVideo ? top / bottom : 0,
    codecs: isVideo ? codecsOf(streams[0]!) : undefined,
  };
}

interface Stream {
  codec_type: string;
  codec_tag_string: string;
  profile?: string;
  level?: number;
  avg_frame_rate: string;
  extradata?: string;
}

/** RFC 6381, of 8 bit pictures in the profiles that players have. */
function codecsOf({ codec_tag_string: tag, profile, level, extradata = '' }: Stream): string {
  if (tag === 'hvc1' && profile === 'Main') return `hvc1.1.6.L${level}.`;
  if (tag === 'av01' && profile === 'Main') return `av01.0.${String(level).padStart(2, '0')}M.08`;
  // "\n00000000: 0142 c01e ffe1 …": the four bytes after the version are profile, constraints, level.
  const hex = extradata.replace(/^\s*[0-9a-f]+: /, '').replace(/\s/g, '');
  return `${tag}.${hex.slice(2, 8)}`;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
const near = (declared: number, measured: number): boolean => Math.abs(declared - measured) <= measured * 0.1;
const averageOf = ({ sizes, playlist }: Track): number =>
  (sum(sizes) * 8) / sum(playlist.segments.map((s) => s.duration));

/** The fastest run of segments that lasts between 0.5 and 1.5 target durations (RFC 8216, 4.1). */
function peakOf(track: Track): number {
  const { sizes, playlist } = track;
  let peak = averageOf(track);
  for (let i = 0; i < sizes.length; i++) {
    for (let j = i + 1; j <= sizes.length; j++) {
      const seconds = sum(playlist.segments.slice(i, j).map((s) => s.duration));
      if (seconds < TARGET * 0.5 || seconds > TARGET * 1.5) continue;
      peak = Math.max(peak, (sum(sizes.slice(i, j)) * 8) / seconds);
    }
  }
  return peak;
}
